"""The papers' protocols: which pictures are compared, by what, and what the user's folder must hold.

A protocol reads DATA, a folder of cases at any depth. A case is a folder with roles in it; a role is a folder of pictures,
a video, or a single picture. Roles whose pictures belong together have the same file names:

    DATA/CASE/predicted/   ours                 DATA/CASE/truth/       what it should be, picture by picture
    DATA/CASE/reference/   photos of the person DATA/CASE/driver/      who was copied, picture by picture
    DATA/CASE/expressive/  ours with another expression: the names of predicted/, or a folder of such for each expression

Where a protocol has views, a case may also be a finished workspace: they are rendered, its photo is the reference.
"""

from dataclasses import dataclass
from typing import Literal

PREDICTED = "predicted"


@dataclass(frozen=True)
class Comparison:
    """Ours against a role. `how`: "pixels" and "poses" picture by picture, "persons" each against each; "expressions": the
    role is ours too, picture by picture against `predicted`."""

    role: str
    how: Literal["pixels", "persons", "poses", "expressions"]


@dataclass(frozen=True)
class Protocol:
    """`metrics` as of --metrics; `columns` of the table; `mean` over pictures, or first within cases and then within
    persons (the first folder of a case)."""

    paper: str
    data: str
    comparisons: tuple[Comparison, ...]
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    caveats: tuple[str, ...] = ()
    mean: Literal["pictures", "persons"] = "pictures"
    azimuths_deg: tuple[float, ...] = ()  # views of a workspace
    expressions: tuple[str, ...] = (
        "",
    )  # names of POSES; "" is the photo's; the first is what others are compared with
    by_view: bool = False  # cases have the same views, whose means are told too
    on_black: bool = False  # pictures lie on black and count whole
    side_px: int = 0  # of the paper's pictures; 0 where it does not matter
    fps: float = 25.0
    video_metric: Literal["cvvdp", "pyfvvdp"] = "cvvdp"  # whose JOD is taken where both are installed


EMBEDDER = "The papers' ID and CSIM are ArcFace's cosine: an open embedder's is on another scale."
FITTED = "AED and APD are of our open head in ARKit weights and degrees, the papers' of Deep3DFaceRecon or DECA."
LANDMARKS = "AKD is of MediaPipe's 478 points, the paper's of {}."
UNKNOWN = "The paper's figures are not known to this version."

_SELF, _CROSS = (Comparison("truth", "pixels"),), (Comparison("reference", "persons"), Comparison("driver", "poses"))
_STATIC = dict(
    comparisons=(Comparison("reference", "persons"),),
    metrics=("clip-i", "id", "fid"),
    columns=("clip_i", "id", "fid"),
    by_view=True,
)
_FILM = dict(mean="persons", fps=24, video_metric="pyfvvdp")
_BLACK = dict(on_black=True, side_px=512)

PROTOCOLS = {
    "facecraft4d-static": Protocol(
        "FaceCraft4D, tables 2, 4, 5",
        "100 unoccluded photos of FFHQ, as workspaces",
        **_STATIC,
        caveats=(
            EMBEDDER,
            "The paper names five views, not their angles; ours are 0, ±30 and ±60 degrees.",
            "The paper names neither its CLIP nor the reference set of its FID; ours are the photos.",
        ),
        azimuths_deg=(0, 30, -30, 60, -60),
    ),
    "facecraft4d-anim": Protocol(
        "FaceCraft4D, table 3",
        "the same photos, animated and seen from the side and from behind",
        **_STATIC,
        caveats=(
            EMBEDDER,
            "The paper renders LivePortrait's animations from 60 to 180 degrees; ours are four expressions at 60, 90, 120, "
            "150 and 180 degrees.",
        ),
        azimuths_deg=(60, 90, 120, 150, 180),
        expressions=("smile", "jaw open", "pucker", "brows up"),
    ),
    "facecraft4d-mead": Protocol(
        "FaceCraft4D, section 7",
        "frames of MEAD beside ours",
        _SELF,
        ("psnr", "ssim", "lpips", "id"),
        ("psnr", "ssim", "lpips", "id"),
        (EMBEDDER, "The paper does not say which frames."),
    ),
    "joker-2d": Protocol(
        "Joker, 2D evaluation",
        "10,000 pictures each of CelebV-Text, NeRSemble, studio and in-the-wild, backgrounds transparent (MODNet)",
        (*_SELF, *_CROSS),
        ("psnr", "lpips", "ssim", "fid", "id", "akd", "aed"),
        ("psnr", "lpips", "ssim", "fid", "id", "akd", "aed", "apd"),
        (
            EMBEDDER,
            FITTED,
            "AKD here is in % of the face width; the paper's .007 is normalised in a way it does not tell.",
        ),
    ),
    "joker-3d": Protocol(
        "Joker, 3D evaluation",
        "30 samples of NeRSemble's validation set",
        _SELF,
        ("lpips", "ssim", "psnr", "mse"),
        ("lpips", "ssim", "psnr", "mse"),
    ),
    "arc2avatar-isd": Protocol(
        "Arc2Avatar, identity similarity distribution",
        "renders from the front and the sides of 30 celebrities, 20 photos of each; the same views with expressions",
        (Comparison("reference", "persons"), Comparison("expressive", "expressions")),
        ("isd", "fid"),
        ("id", "id_distance", "fid"),
        (
            EMBEDDER,
            "The paper prints distributions, no figures. Its FID is pytorch-fid's, ours clean-fid's.",
            "A workspace is compared with the photo that it was made of, from 0 and ±45 degrees; the paper keeps photos back.",
            "Expressive views are compared with neutral ones of the same name; in workspaces they are five of our expressions.",
        ),
        azimuths_deg=(0, 45, -45),
        expressions=("neutral", "smile", "jaw open", "pucker", "brows up", "frown"),
        by_view=True,
    ),
    "da-self": Protocol(
        "DiffusionAvatars, tables 1 and 5",
        "PERSON/SEQUENCE cases of NeRSemble: unseen view and expressions",
        _SELF,
        ("psnr", "lpips", "jod", "akd", "id", "aed"),
        ("psnr", "lpips", "jod", "akd_px", "aed", "apd", "id"),
        (EMBEDDER, FITTED, LANDMARKS.format("PIPNet"), "The paper's JOD is FovVideoVDP's."),
        **_FILM,
    ),
    "da-nvs": Protocol(
        "DiffusionAvatars, table 4",
        "PERSON/SEQUENCE cases of NeRSemble: unseen view",
        _SELF,
        ("psnr", "lpips", "jod", "akd", "id"),
        ("psnr", "lpips", "jod", "akd_px", "id"),
        (EMBEDDER, LANDMARKS.format("PIPNet"), "The paper's JOD is FovVideoVDP's."),
        **_FILM,
    ),
    "goha-recon": Protocol(
        "GOHA, CelebA reconstruction",
        "29,954 pictures of CelebA at 512x512 on black (MODNet)",
        _SELF,
        ("l1", "lpips", "psnr", "ssim", "fid"),
        ("l1", "lpips", "psnr", "ssim", "fid"),
        (UNKNOWN, "The paper's FID is torch-fidelity's. Methods that do not keep the crop need --align."),
        **_BLACK,
    ),
    "goha-self": Protocol(
        "GOHA, HDTF same identity",
        "37,860 frames of HDTF, the first of each clip as source",
        _SELF,
        ("psnr", "ssim", "id", "aed", "akd", "lpips", "l1", "fid"),
        ("psnr", "ssim", "id", "aed", "apd", "akd_px", "lpips", "l1", "fid"),
        (UNKNOWN, EMBEDDER, FITTED, LANDMARKS.format("FAN (68)"), "Methods that do not keep the crop need --align."),
        **_BLACK,
    ),
    "goha-cross": Protocol(
        "GOHA, cross identity",
        "CelebA 14,977 pairs, HDTF 67,203 frames, or HDTF to CelebA 60 sources times 100 frames; reference is the source",
        _CROSS,
        ("id", "aed", "fid"),
        ("id", "aed", "apd", "fid"),
        (UNKNOWN, EMBEDDER, FITTED),
        **_BLACK,
    ),
}
"""By the name of --protocol."""

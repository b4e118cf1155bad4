"""A head fitted to one photo or several, and its files: what `fit-3dmm` writes and later stages read."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.ndimage import binary_dilation

from facecraft import __version__
from facecraft.camera import Camera, frame_record, read_frames, transforms_text
from facecraft.errors import InputError
from facecraft.face.portrait import Portrait, Source, source_folder
from facecraft.head.albedo import SKIN_FILE
from facecraft.head.cover import COVER_FILE
from facecraft.head.fit import LandmarkFit, fit_together, pose_vertices
from facecraft.head.hair import HAIR_FILE, has_long_hair, load_hair
from facecraft.head.lips import LIPS, settle_lips
from facecraft.head.model import HeadModel, load_head
from facecraft.head.mouth import fit_teeth
from facecraft.head.occlusion import uncover
from facecraft.head.photometric import fit_photos
from facecraft.head.scene import Photo
from facecraft.head.silhouette import coverage, fit_silhouette
from facecraft.head.teeth import close_gaps
from facecraft.head.texture import Texture, make_texture, render_textured
from facecraft.image import SYNTHETIC, write_png
from facecraft.mesh.raster import rasterize_mesh
from facecraft.progress import log
from facecraft.records import digest_file

SCHEMA = "facecraft-fitted-head/2"
RIM = 0.012  # of the picture's height: of a cover, more than the fit leaves out; its edge would colour all that is painted


@dataclass(frozen=True)
class FittedHead:
    """Model, its parameters for the photo, the camera of the photo in the head's frame, the texture, and what covers the face
    in the photo, if anything does; the fits to further photos, of the same shape, while it is being made."""

    head: HeadModel
    camera: Camera
    shape: np.ndarray  # [K]
    expression: np.ndarray  # [52]
    gaze: np.ndarray  # [2, 2] rad
    offsets: np.ndarray  # [V, 3] m
    texture: Texture
    errors_px: np.ndarray  # [478]
    others: tuple[LandmarkFit, ...] = ()
    covered: np.ndarray | None = None  # [H, W] bool

    def vertices(self, expression: np.ndarray | None = None) -> np.ndarray:
        """Vertices [V, 3], m, as in the photo or with another `expression` [52]."""
        expression = self.expression if expression is None else expression
        return pose_vertices(self.head, self.shape, expression, self.gaze, self.offsets)

    def save(self, run, sources: list[Source]) -> None:
        """Write the folder `head` of a workspace; `sources` are the photos, for the overlay."""
        header = {"schema": SCHEMA, "facecraft": __version__, "head": self.head.name, "head_sha256": self.head.digest}
        header |= {"expression_names": self.head.expression_names, "units": "m, rad", "synthetic": True}
        arrays = {
            "shape": self.shape,
            "expression": np.stack([self.expression, *(fit.expression for fit in self.others)]),
            "gaze": np.stack([self.gaze, *(fit.gaze for fit in self.others)]),
            "offsets": self.offsets,
            "light": self.texture.light,
            "errors_px": self.errors_px,
        }
        arrays = {k: np.ascontiguousarray(v, np.float32) for k, v in arrays.items()}
        save_file(arrays, run.output("head/head.safetensors"), {"facecraft": json.dumps(header)})
        frames = []
        for number, camera in enumerate((self.camera, *(fit.camera for fit in self.others))):
            picture = f"../{source_folder(number)}/images/{number:05d}_00.png"
            frames.append(frame_record(camera, file_path=picture, timestep_index=number, camera_index=0))
        run.output("head/transforms.json").write_text(transforms_text(frames))
        write_png(run.output("head/texture.png"), self.texture.albedo, SYNTHETIC)
        write_png(run.output("head/shut_eyes.png"), self.texture.for_shut_eyes().albedo, SYNTHETIC)
        write_png(run.output("head/seen.png"), self.texture.seen, SYNTHETIC)
        if self.covered is not None:
            write_png(run.output("head/covered.png"), self.covered.astype(np.float32))
        rows = [
            self.overlay(source.image, source.alpha, fit)
            for fit, source in zip((None, *self.others), sources, strict=True)
        ]
        write_png(run.output("head/overlay.png"), np.concatenate(rows), SYNTHETIC)
        self._export_mesh(run.output("head/mesh.glb"))
        run.use_weights(f"head/{self.head.name}", self.head.licence, self.head.digest)
        for path in (SKIN_FILE, COVER_FILE, HAIR_FILE):
            run.use_weights(f"facecraft/{path.stem}", "Apache-2.0", digest_file(path))

    def overlay(self, image: np.ndarray, alpha: np.ndarray, fit: LandmarkFit | None = None) -> np.ndarray:
        """Photo, mesh wires over it, textured head: [H, 3 W, 3]; of the photo that `fit` is to, or the reference."""
        faces = self.head.faces.numpy()
        vertices, camera = (
            (fit.vertices(self.head, self.offsets), fit.camera) if fit else (self.vertices(), self.camera)
        )
        photo = image * alpha[..., None] + 1 - alpha[..., None]
        buffers = rasterize_mesh(camera.project(vertices), faces, *alpha.shape)
        wires = (buffers.barycentrics.min(2) < 0.07) & buffers.mask
        wired = np.where(wires[..., None], 0.4 * photo + 0.6 * np.array([0.1, 0.9, 0.3]), photo)
        rgb, covered, _, _ = render_textured(self.head, vertices, self.texture, camera)
        return np.concatenate([photo, wired, rgb * covered[..., None] + 1 - covered[..., None]], 1)

    def _export_mesh(self, path: Path) -> None:
        corners, where = np.unique(self.head.faces_uv.numpy(), return_index=True)
        vertices = np.zeros((len(self.head.uvs), 3))
        vertices[corners] = self.vertices()[self.head.faces.numpy().ravel()[where]]
        picture = Image.fromarray((self.texture.albedo * 255).round().astype(np.uint8))
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=0.8
        )
        visual = trimesh.visual.TextureVisuals(uv=self.head.uvs.numpy(), material=material)
        mesh = trimesh.Trimesh(vertices, self.head.faces_uv.numpy(), visual=visual, process=False)
        mesh.metadata["synthetic"] = "generated by facecraft"
        path.write_bytes(mesh.export(file_type="glb"))


def fit_head(
    sources: list[Source | Portrait], head: HeadModel, texture_size: int = 1024, quality: str = "standard"
) -> FittedHead:
    """Pose, shape, expression, gaze, hair shell and texture from one portrait or several of one person, the reference first.

    `quality` is one of photometric.LEVELS.
    """
    photos = [Photo(source.image, source.alpha, source.landmarks) for source in sources]
    cameras = [source.camera for source in sources]
    photos = [uncover(head, photo, camera) for photo, camera in zip(photos, cameras, strict=True)]
    first, *others = fit_faces(head, photos, cameras, quality)
    fitted = complete_fit(head, first, photos[0], texture_size)
    return replace(fitted, others=tuple(others))


def fit_faces(head: HeadModel, photos: list[Photo], cameras: list[Camera], quality: str) -> list[LandmarkFit]:
    """The most probable head in each of several photos of one person, `uncover`ed."""
    for photo in photos:
        if photo.hidden:
            log.info(f"something covers the face: {len(photo.hidden)} of {len(photo.landmarks)} landmarks are left out")
    starts = fit_together(head, [p.landmarks for p in photos], cameras, hidden=[p.hidden for p in photos])
    log.info(f"landmarks fitted within {np.mean([fit.errors_px for fit in starts]):.2f} px on average")
    fits = fit_photos(head, starts, photos, quality)
    return [settle_lips(head, fit, photo) for fit, photo in zip(fits, photos, strict=True)]


def complete_fit(head: HeadModel, fit: LandmarkFit, photo: Photo, texture_size: int = 1024) -> FittedHead:
    """Hair shell, teeth and texture of a head whose face is fitted; what covers it in the photo is in none of them."""
    vertices, image, alpha = fit.vertices(head), photo.image, photo.alpha
    covered = None if photo.covered is None else binary_dilation(photo.covered, iterations=round(RIM * len(alpha)))
    long_hair = has_long_hair(head, vertices, fit.camera, alpha)
    offsets = fit_silhouette(head, vertices, fit.camera, alpha, load_hair(head, long_hair), covered)
    offsets += close_gaps(head)
    if not photo.hides(LIPS):
        offsets += fit_teeth(head, fit.vertices(head, offsets), fit.camera, image)
    vertices = fit.vertices(head, offsets)
    mask = rasterize_mesh(fit.camera.project(vertices), head.faces.numpy(), *alpha.shape).mask
    log.info(f"silhouette covers the matte with an IoU of {coverage(mask, alpha):.3f}")
    texture = make_texture(head, vertices, fit.camera, image, alpha, texture_size, long_hair, covered)
    found = fit.camera, fit.shape, fit.expression, fit.gaze, offsets, texture, fit.errors_px
    return FittedHead(head, *found, covered=covered)


def load_fitted(workspace) -> FittedHead:
    """What fit-3dmm wrote. InputError when a file is damaged or belongs to another head model."""
    path = workspace.require("head/head.safetensors")
    try:
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {}).get("facecraft", "{}"))
            arrays = {key: file.get_tensor(key).astype(float) for key in file.keys()}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); run `facecraft fit-3dmm --force`") from error
    if header.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {header.get('schema')}, not {SCHEMA}; run `facecraft fit-3dmm --force`")
    head = load_head(header["head"])
    if header["head_sha256"] != head.digest:
        raise InputError(f"{path} was made with another version of the head; run `facecraft fit-3dmm --force`")
    (_, camera), *_ = read_frames(workspace.require("head/transforms.json"))
    albedo, shut_eyes = (
        np.asarray(Image.open(workspace.require(f"head/{name}.png")).convert("RGB"), np.float32) / 255
        for name in ("texture", "shut_eyes")
    )
    seen = np.asarray(Image.open(workspace.require("head/seen.png")).convert("L"), np.float32) / 255
    texture = Texture(albedo, seen, arrays["light"], shut_eyes)
    mask = workspace / "head/covered.png"
    covered = np.asarray(Image.open(mask).convert("L")) > 127 if mask.is_file() else None
    return FittedHead(
        head,
        camera,
        arrays["shape"],
        arrays["expression"][0],
        arrays["gaze"][0],
        arrays["offsets"],
        texture,
        arrays["errors_px"],
        covered=covered,
    )

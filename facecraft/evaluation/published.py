"""Figures that the papers print, by protocol, in the units of the papers; `None` where the paper has none."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublishedRow:
    """One row of a table: whose figures, where they stand, and the figures by measure."""

    label: str
    where: str
    figures: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)  # what keeps a figure from being read as ours


def _rows(columns: str, *rows: tuple, notes: dict[str, str] | None = None) -> tuple[PublishedRow, ...]:
    names = columns.split()
    return tuple(
        PublishedRow(label, where, {n: v for n, v in zip(names, values, strict=True) if v is not None}, notes or {})
        for label, where, *values in rows
    )


PUBLISHED = {
    "facecraft4d-static": _rows(
        "clip_i id fid",
        ("FaceCraft4D", "table 2", 0.8053, 0.5082, 174.36),
        ("PanoHead", "table 2", 0.8233, None, None),
        ("FaceCraft4D", "table 4", 0.8162, 0.4984, 166.96),
        ("without warping and attention", "table 4", 0.7328, 0.4787, 182.27),
        ("with COIN", "table 5", 0.7729, 0.5010, 142.80),
        ("without COIN", "table 5", 0.7688, 0.4952, 144.95),
    ),
    "facecraft4d-anim": _rows("clip_i id fid", ("FaceCraft4D", "table 3", 0.5737, 0.4602, 201.76)),
    "facecraft4d-mead": _rows("psnr ssim lpips id", ("FaceCraft4D", "section 7", 15.74, 0.7495, 0.2010, 0.8006)),
    "joker-2d": _rows(
        "psnr lpips ssim fid id akd aed apd",
        ("Joker, self", "2D evaluation", 18.63, 0.212, 0.619, 7.57, 0.62, 0.007, 0.11, 0.31),
        ("Joker, cross", "2D evaluation", None, None, None, 8.48, 0.57, None, 0.22, 0.49),
        notes={"akd": "normalised"},
    ),
    "joker-3d": _rows(
        "lpips ssim psnr mse",
        ("Joker, both stages", "3D evaluation", 0.19, 0.82, 21.5, 0.008),
        ("second stage alone", "3D evaluation", 0.18, 0.81, 22.0, 0.007),
        ("first stage alone", "3D evaluation", 0.27, 0.83, 20.1, 0.012),
    ),
    "arc2avatar-isd": (),
    "da-self": _rows(
        "psnr lpips jod akd_px aed apd id",
        ("DiffusionAvatars", "table 1, 8 persons", 24.9, 0.081, 7.55, 1.79, 0.50, 0.023, 0.917),
        ("DiffusionAvatars on Multiface", "table 5", 25.5, 0.077, 7.77, 1.86, 0.503, 0.025, 0.914),
    ),
    "da-nvs": _rows(
        "psnr lpips jod akd_px id", ("DiffusionAvatars", "table 4, 5 persons", 26.93, 0.067, 8.28, 1.16, 0.939)
    ),
    "goha-recon": (),
    "goha-self": (),
    "goha-cross": (),
}

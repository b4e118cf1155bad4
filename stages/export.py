"""Write the avatar for other programs: viewers of Gaussians, Blender, three.js, GaussianAvatars.

Reads avatar/avatar.safetensors and, for glb, head/texture.png; writes exports/avatar.FORMAT. Gaussians of one pose: ply
(3DGS, 62 properties), splat, spz and gltf-splats (KHR_gaussian_splatting, experimental). An animatable mesh: glb, with
texture, skeleton and 52 morph targets by ARKit name. For avatars on FLAME: gaussian-avatars (a folder). All but splat, which
has no place for it, say that they are synthetic.

Example: facecraft export ann.ws --format spz --out ann.spz
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace

READS = ("head", "avatar/avatar.safetensors")
WRITES = ("exports",)

NAMES = {
    **{"ply": "avatar.ply", "splat": "avatar.splat", "spz": "avatar.spz", "glb": "avatar.glb"},
    **{"gltf-splats": "avatar-splats.glb", "gaussian-avatars": "gaussian-avatars"},
}
EXPRESSION = "as of facecraft render, smile=0.8,jawOpen=0.3; the pose of ply, splat, spz, gltf-splats, at first of glb; default: the photo's"


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    format: Annotated[
        Literal["ply", "splat", "spz", "gltf-splats", "glb", "gaussian-avatars"], typer.Option(help="what to write")
    ],
    out: Annotated[
        Path | None, typer.Option(help="also copy it to this file (a folder for gaussian-avatars)", show_default=False)
    ] = None,
    expression: Annotated[str, typer.Option(help=EXPRESSION, show_default=False)] = "",
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Write the export to the workspace, and to `out`."""
    options, name = {"format": format, "expression": expression}, f"exports/{NAMES[format]}"
    with Workspace.open(workspace).stage("export", READS, options, force=force, key=format) as run:
        if not run.up_to_date:
            from facecraft.export.formats import export_avatar

            export_avatar(run, format, expression, name)
    if out is None:
        return run.workspace / name
    from facecraft.export.delivery import deliver

    return deliver(run.workspace / name, out)

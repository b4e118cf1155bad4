"""Render the avatar: stills and videos of any camera, motion, expression and head turn.

Reads avatar/avatar.safetensors; writes renders/NAME/00000_00.png [H, W, 3 or 4], ... (timestep_camera) with their cameras
in renders/NAME/transforms.json, and renders/NAME.mp4 when there is more than one frame. Weights of --motion and
--expression add up; without both, the face keeps the expression of the photo. A motion turns the head on its neck but does
not move it from its place. --edit changes the shape of the head, not its colours. All outputs say that they are synthetic.

Example: facecraft render ann.ws --motion talk.mp4 --camera orbit --head-turn 10,0,0
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.workspace import Workspace, check_name

READS = ("avatar/avatar.safetensors",)
WRITES = ("renders",)

CAMERA = "front, source (of the photo), orbit (once around) or a transforms.json; default: front, orbit for turntable"
MOTION = "turntable, expressions, talking; a video of a face, with its sound; or a file that `facecraft motion` reads"
EXPRESSION = "weights in [0, 1] by ARKit name or smile, frown, blink, pucker, browsUp; as smile=0.8,jawOpen=0.3"
TURN = "yaw,pitch,roll of the head on the neck, degrees: to its left, down, to its right shoulder"
EDIT = """amounts in [-2, 2] by name, as age=+0.3,weight=-0.2; 1 is the end of MakeHuman's slider; also child, sex (+ is male),
muscle, jawWidth, noseLength and more: a wrong name lists all"""
BACKGROUND = "white, black, #rrggbb or transparent (PNG; the video is over white)"


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    camera: Annotated[str, typer.Option(help=CAMERA, show_default=False)] = "",
    motion: Annotated[str, typer.Option(help=MOTION, show_default=False)] = "",
    expression: Annotated[str, typer.Option(help=EXPRESSION, show_default=False)] = "",
    head_turn: Annotated[str, typer.Option(help=TURN)] = "0,0,0",
    edit: Annotated[str, typer.Option(help=EDIT, show_default=False)] = "",
    size: Annotated[int, typer.Option(help="longer side of the picture in pixels", min=16, max=4096)] = 512,
    fps: Annotated[float, typer.Option(help="frames per second", min=1, max=240)] = 25,
    background: Annotated[str, typer.Option(help=BACKGROUND)] = "white",
    out: Annotated[str, typer.Option(help="name of the result; default: motion or camera", show_default=False)] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    name = check_name(out or Path(motion or camera or "front").stem)
    look = dict(camera=camera, motion=motion, expression=expression, head_turn=head_turn, size=size, fps=fps)
    files = tuple(path for path in map(Path, (camera, motion)) if path.is_file())
    options = {**look, "edit": edit, "background": background, "device": device}
    with Workspace.open(workspace).stage("render", READS, options, files, force, key=name) as run:
        if not run.up_to_date:
            from facecraft.shots import film

            frames, video = run.output(f"renders/{name}/transforms.json").parent, run.output(f"renders/{name}.mp4")
            film(workspace / READS[0], edit, look, background, device, frames, video)
    video = workspace / f"renders/{name}.mp4"
    return video if video.exists() else workspace / f"renders/{name}/00000_00.png"

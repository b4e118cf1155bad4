"""Drive the views by a motion: pictures of one moment from several sides, many moments, with the pose of the head at each.

Reads head/ and views/enhanced/; writes frames/ in the layout of GaussianAvatars and VHAP: transforms.json, images/ [H, W, 4],
fg_masks/, head_param/. The driver `mesh` warps each view through the head; what it uncovers (mouth, lids, eyeballs) comes
from the head's texture. The driver `liveportrait` draws the views that show the face by networks whose weights you have. Heads
keep their pose. `coin-fit` learns from frames/ when it is there.

Example: facecraft drive-video ann.ws --motion talk.mp4
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace

READS = ("head", "views/enhanced")
WRITES = ("frames",)

MOTION = "expressions or talking; a video of a face; or a file that `facecraft motion` reads"
WEIGHTS = "folder with those of LivePortrait, for --driver liveportrait"
RETARGET = "what LivePortrait opens as far as the driver's is open, instead of as much more"
Retarget = Literal["none", "eyes", "lips", "both"]


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    motion: Annotated[str, typer.Option(help=MOTION)] = "expressions",
    driver: Annotated[Literal["mesh", "liveportrait"], typer.Option(help="what makes the pictures")] = "mesh",
    weights: Annotated[Path | None, typer.Option(help=WEIGHTS, show_default=False)] = None,
    retarget: Annotated[Retarget, typer.Option(help=RETARGET)] = "none",
    views: Annotated[int, typer.Option(min=1, max=24, help="the photo and the views nearest to the front")] = 12,
    moments: Annotated[int, typer.Option(min=2, max=1000, help="frames of the motion, chosen to differ most")] = 24,
    fps: Annotated[float, typer.Option(help="frames per second to choose from", min=1, max=240)] = 25,
    device: Annotated[str, typer.Option(help="of LivePortrait: auto, cpu, cuda or cuda:N")] = "auto",
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Drive the views and write them to the workspace."""
    options = {"motion": motion, "driver": driver, "views": views, "moments": moments, "fps": fps}
    files = (Path(motion),) if Path(motion).is_file() else ()
    if driver == "liveportrait":
        from facecraft.prior.liveportrait.weights import find_weights

        options, files = options | {"retarget": retarget}, (*files, *find_weights(weights).values())
    with Workspace.open(workspace).stage("drive-video", READS, options, files, force) as run:
        if not run.up_to_date and driver == "liveportrait":
            from facecraft.prior.liveportrait.drive import animate_workspace

            animate_workspace(run, weights, retarget, device, motion, fps, views, moments)
        elif not run.up_to_date:
            from facecraft.footage import open_motion
            from facecraft.head.fitted import load_fitted
            from facecraft.prior.drive import drive_views
            from facecraft.views import load_views

            fitted, pictures = load_fitted(run.workspace), load_views(run.workspace, "views/enhanced")
            drive_views(run.output, fitted, pictures, open_motion(motion, fps), views, moments)
    return run.workspace / "frames"

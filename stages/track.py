"""Follow the face of a video and write its motion: ARKit channels, turns of the head and its way, frame by frame.

Reads nothing of a workspace; writes one motion file. The motion is relative to the driver's neutral face, so that it suits
any avatar; --neutral none keeps it as tracked, against the camera. One Euro filter; channels are clamped to [0, 1].

Example: facecraft track talk.mp4 -o talk.safetensors
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

READS = ()
WRITES = ()

GAIN = "factors in [0, 4] by ARKit name or smile, frown, blink, pucker, browsUp; as smile=1.3,jawOpen=0.8"


def main(
    video: Annotated[Path, typer.Argument(help="video of one face")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the motion file, .safetensors")],
    neutral: Annotated[
        Literal["auto", "first", "mean", "none"],
        typer.Option(
            help="the driver at rest: the calmest frames, the first, the mean of all; none keeps all as it is"
        ),
    ] = "auto",
    gain: Annotated[str, typer.Option(help=GAIN, show_default=False)] = "",
    smooth: Annotated[bool, typer.Option(help="take the jitter out")] = True,
) -> Path:
    """Track, retarget, write."""
    from facecraft.footage import track_video
    from facecraft.motion import save_motion
    from facecraft.retarget import parse_gains, retarget

    gains = parse_gains(gain)
    save_motion(retarget(track_video(video), neutral, gains, smooth), out)
    return out

"""Follow the face of a video and write its motion: ARKit channels, turns of the head and its way, frame by frame.

Reads nothing of a workspace; writes one motion file. The motion is relative to the driver's neutral face, so that it suits
any avatar; --neutral none keeps it as tracked, against the camera. One Euro filter; channels are clamped to [0, 1].

Example: facecraft track talk.mp4 -o talk.safetensors
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.options import Gain, Neutral, Smooth

READS = ()
WRITES = ()


def main(
    video: Annotated[Path, typer.Argument(help="video of one face")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the motion file, .safetensors")],
    neutral: Neutral = "auto",
    gain: Gain = "",
    smooth: Smooth = True,
) -> Path:
    """Track, retarget, write."""
    from facecraft.footage import track_video
    from facecraft.motion import save_motion
    from facecraft.retarget import parse_gains, retarget

    gains = parse_gains(gain)
    save_motion(retarget(track_video(video), neutral, gains, smooth), out)
    return out

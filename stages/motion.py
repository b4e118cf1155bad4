"""Convert a motion of any known kind into a motion file of facecraft.

Reads nothing of a workspace; writes one motion file. Known are ARKit curves (.json of LAM or plain, .csv of Live Link Face),
motion files (.safetensors), FLAME parameters of VHAP or GaussianAvatars (.npz, or the folder flame_param; head, jaw and eyes
only) and LivePortrait templates (.pkl, read without running what is in them; lids, lips and tilt only).

Example: facecraft motion take.csv -o take.safetensors --neutral first
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.options import Gain, Neutral, Smooth

READS = ()
WRITES = ()


def main(
    motion: Annotated[Path, typer.Argument(help="motion of any known kind")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the motion file, .safetensors")],
    neutral: Neutral = "none",
    gain: Gain = "",
    smooth: Smooth = False,
) -> Path:
    """Read, retarget, write."""
    from facecraft.curves import read_motion
    from facecraft.motion import save_motion
    from facecraft.retarget import parse_gains, retarget

    gains = parse_gains(gain)
    save_motion(retarget(read_motion(motion), neutral, gains, smooth), out)
    return out

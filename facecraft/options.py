"""Options that several stages have."""

from typing import Annotated, Literal

import typer

Neutral = Annotated[
    Literal["auto", "first", "mean", "none"],
    typer.Option(help="the driver at rest: the calmest frames, the first, the mean of all; none keeps all as it is"),
]
Gain = Annotated[
    str,
    typer.Option(
        help="factors in [0, 4] by ARKit name or smile, frown, blink, pucker, browsUp; as smile=1.3,jawOpen=0.8",
        show_default=False,
    ),
]
Smooth = Annotated[bool, typer.Option(help="take the jitter out")]

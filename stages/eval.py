"""Measure an avatar against its photo and, for synthetic subjects, the truth; or pictures against pictures.

Reads source/, avatar/avatar.safetensors and, when it is there, truth/; writes eval/NAME/metrics.json, images.csv (one line
for each picture) and report.html (one file, opens offline). With two folders or two videos, ours first, the results go to
eval/NAME/ in the current folder.

Example: facecraft eval ann.ws
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.errors import InputError
from facecraft.workspace import Workspace

READS = ("source", "avatar/avatar.safetensors")
OPTIONAL_READS = ("truth",)
WRITES = ("eval",)

METRICS = "which, as psnr,ssim,id; of l1, mse, psnr, ssim, ms-ssim, id, akd; default: all"


def main(
    subject: Annotated[Path, typer.Argument(help="workspace; or a folder of pictures, or a video")],
    truth: Annotated[Path | None, typer.Argument(help="what the pictures should be", show_default=False)] = None,
    metrics: Annotated[str, typer.Option(help=METRICS, show_default=False)] = "",
    region: Annotated[
        Literal["head", "inside", "outside", "all"],
        typer.Option(
            help="where pixels are compared: head is inside of the truth's alpha without clothes, where known"
        ),
    ] = "head",
    embedder: Annotated[str, typer.Option(help="of identity: dlib, or an ArcFace-like .onnx file")] = "dlib",
    out: Annotated[str, typer.Option(help="name of the result", show_default=False)] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Measure, and write the results; the path of the report."""
    name = out or ("avatar" if truth is None else subject.stem)
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise InputError(f"name {name!r} of the result is not letters, digits, '-', '_' and '.'; give another --out")
    options = {"metrics": metrics, "region": region, "embedder": embedder, "device": device}
    if truth is not None:
        from facecraft.evaluation.evaluate import Options, evaluate_pairs

        evaluate_pairs(subject, truth, Path("eval") / name, Options(**options))
        return Path("eval") / name / "report.html"
    opened = Workspace.open(subject)
    reads = (*READS, *(name for name in OPTIONAL_READS if (opened / name).exists()))
    inputs = (Path(embedder),) if Path(embedder).is_file() else ()
    with opened.stage("eval", reads, options, inputs, force, key=name) as run:
        if not run.up_to_date:
            from facecraft.evaluation.evaluate import Options, evaluate_workspace

            evaluate_workspace(opened, Options(**options), lambda file: run.output(f"eval/{name}/{file}"))
    return opened / f"eval/{name}/report.html"

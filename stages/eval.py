"""Measure an avatar against its photo and, for synthetic subjects, the truth; pictures against pictures; or a protocol.

Reads source/, avatar/avatar.safetensors and, when it is there, truth/; writes eval/NAME/metrics.json, images.csv (a line for
each picture) and report.html (opens offline). With two folders or two videos, ours first, or with --protocol and its data
(docs/eval.md has the layouts), the results go to eval/NAME/ in the current folder.

Example: facecraft eval ann.ws
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace, check_name

READS = ("source", "avatar/avatar.safetensors")
OPTIONAL_READS = ("truth",)
WRITES = ("eval",)

METRICS = (
    "of l1,mse,psnr,ssim,ms-ssim,lpips,clip-i,id,akd,aed,fid,jod,jitter,consistency,isd; default: those that apply"
)
REGION = "where pixels are compared: head is inside of the truth's alpha, without clothes where they are known"
PROTOCOL = "facecraft4d-static, -anim, -mead, joker-2d, -3d, arc2avatar-isd, da-self, -nvs, goha-recon, -self, -cross"


def main(
    subject: Annotated[Path, typer.Argument(help="workspace; a folder of pictures or a video; the data of a protocol")],
    truth: Annotated[Path | None, typer.Argument(help="what the pictures should be", show_default=False)] = None,
    protocol: Annotated[str, typer.Option(help=PROTOCOL, show_default=False)] = "",
    metrics: Annotated[str, typer.Option(help=METRICS, show_default=False)] = "",
    region: Annotated[Literal["head", "inside", "outside", "all"], typer.Option(help=REGION)] = "head",
    align: Annotated[bool, typer.Option("--align", help="move ours onto the truth by their landmarks first")] = False,
    embedder: Annotated[str, typer.Option(help="of identity: dlib, or an ArcFace-like .onnx file")] = "dlib",
    lpips: Annotated[Literal["alex", "vgg"], typer.Option(help="network of LPIPS")] = "alex",
    out: Annotated[str, typer.Option(help="name of the result", show_default=False)] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Measure, and write the results; the path of the report."""
    name = check_name(out or protocol or ("avatar" if truth is None else subject.stem))
    tools = {"embedder": embedder, "lpips": lpips, "device": device}
    chosen = {"metrics": metrics, "region": region, "align": align}
    if protocol or truth is not None:
        from facecraft.evaluation.evaluate import evaluate_data, make_options

        return evaluate_data(subject, truth, protocol, Path("eval") / name, make_options(chosen, tools))
    from facecraft.metrics import optional_versions  # with other packages, other metrics can be measured

    opened = Workspace.open(subject)
    reads = (*READS, *(name for name in OPTIONAL_READS if (opened / name).exists()))
    inputs = (Path(embedder),) if Path(embedder).is_file() else ()
    found = {"packages": optional_versions()}
    with opened.stage("eval", reads, chosen | tools | found, inputs, force, key=name) as run:
        if not run.up_to_date:
            from facecraft.evaluation.evaluate import evaluate_workspace, make_options

            evaluate_workspace(opened, make_options(chosen, tools), lambda file: run.output(f"eval/{name}/{file}"))
    return opened / f"eval/{name}/report.html"

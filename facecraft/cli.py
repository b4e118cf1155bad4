"""The `facecraft` command: one subcommand for each module of `facecraft.stages`."""

import functools
import importlib
import inspect
import sys
from typing import Annotated, Literal

import typer

from facecraft import __version__
from facecraft.errors import FacecraftError

STAGES = (
    "doctor",
    "sample",
    "synth",
    "preprocess",
    "fit-3dmm",
    "enhance-views",
    "drive-video",
    "coin-fit",
    "track",
    "motion",
    "render",
    "sheet",
    "export",
    "eval",
    "status",
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="One portrait photo in, an animatable 3D Gaussian head avatar out. Stages work on one folder, the workspace.",
)

Log = Annotated[Literal["text", "json"], typer.Option(help="how to talk on stderr")]


def _show_version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False) -> None:
    pass


def as_command(main):
    """`main` of a stage as a command: adds --log, prints the path it returns, turns a FacecraftError into exit code 1."""

    @functools.wraps(main)
    def command(*args, log: str = "text", **kwargs):
        from facecraft.console import install_handler
        from facecraft.progress import log as logger

        handler = install_handler(log)
        try:
            result = main(*args, **kwargs)
        except FacecraftError as error:
            logger.error(str(error))
            raise typer.Exit(1)
        finally:
            handler.close()
        if result is not None:
            typer.echo(result)

    signature = inspect.signature(main)
    log = inspect.Parameter("log", inspect.Parameter.KEYWORD_ONLY, default="text", annotation=Log)
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), log])
    command.__annotations__ = {**main.__annotations__, "log": Log}
    return command


for name in STAGES:
    module = importlib.import_module(f"facecraft.stages.{name.replace('-', '_')}")
    app.command(name, help=inspect.cleandoc(module.__doc__))(as_command(module.main))


def main() -> None:
    """Entry point of the `facecraft` script."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)

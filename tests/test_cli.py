"""The command line: exit codes, one-line errors, paths on stdout, and three ways to talk on stderr."""

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import facecraft
from facecraft import console
from facecraft.cli import STAGES, app
from facecraft.progress import log, track
from facecraft.workspace import PRODUCERS, Workspace

MOST_OPTIONS = 9
"""Rule 9 of the house: at most so many options per stage, beside --log, --device, --seed, --force and --help."""


def run(*words: str):
    return CliRunner().invoke(app, words)


def module(stage: str):
    return importlib.import_module(f"facecraft.stages.{stage.replace('-', '_')}")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_says_what_it_reads_and_writes_with_an_example(stage):
    text = " ".join(run(stage, "--help").output.split())
    assert "Reads" in text and "writes" in text
    assert f"Example: facecraft {stage}" in text


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_has_help(stage):
    import typer.main

    parameters = typer.main.get_command(app).commands[stage].params
    assert all(parameter.help for parameter in parameters if parameter.name not in ("help", "log"))
    options = {parameter.name for parameter in parameters} - {"help", "log", "device", "seed", "force", "workspace"}
    assert len(options) <= MOST_OPTIONS, options


def test_every_stage_file_is_a_command():
    files = Path(module("sample").__file__).parent.glob("[!_]*.py")
    assert sorted(STAGES) == sorted(path.stem.replace("_", "-") for path in files)


def test_the_chain_reads_only_what_was_written_before():
    written = set()
    for stage in STAGES:
        for name in module(stage).READS:
            assert any(name == done or name.startswith(done + "/") for done in written), (stage, name)
        written |= set(module(stage).WRITES)


def test_every_folder_has_the_stage_that_writes_it():
    assert {folder: stage for stage in STAGES for folder in module(stage).WRITES} == PRODUCERS


def test_version():
    assert run("--version").output.strip() == facecraft.__version__


def test_no_stage_shows_the_help():
    assert "preprocess" in run().output


@pytest.mark.parametrize("words", [["nonsense"], ["preprocess"], ["status"], ["preprocess", "a", "b", "--size", "1"]])
def test_wrong_usage_exits_2(words):
    assert run(*words).exit_code == 2


def test_a_mistake_of_the_user_is_one_line_and_exits_1(tmp_path):
    result = run("status", str(tmp_path / "none.ws"))
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/none.ws is not a facecraft workspace; run `facecraft preprocess")


def test_a_mistake_in_json(tmp_path):
    result = run("status", str(tmp_path), "--log", "json")
    entry = json.loads(result.stderr)
    assert result.exit_code == 1 and entry["level"] == "error" and "is not a facecraft workspace" in entry["message"]


def test_a_bug_is_not_dressed_up_as_a_mistake(monkeypatch):
    monkeypatch.setattr("facecraft.image.write_sample", lambda path: 1 / 0)
    assert isinstance(run("sample", "/tmp/none/x.png").exception, ZeroDivisionError)


def test_stdout_is_the_path_written(tmp_path):
    result = run("sample", str(tmp_path / "a.png"))
    assert result.exit_code == 0 and result.stdout == f"{tmp_path}/a.png\n" and result.stderr == ""


def test_status_prints_its_table(tmp_path):
    with Workspace.create(tmp_path / "ann.ws").stage("preprocess", (), {}) as stage:
        stage.output("source/a").touch()
    lines = run("status", str(tmp_path / "ann.ws")).stdout.splitlines()
    assert lines[0].split() == ["stage", "state", "when", "time", "size", "memory"]
    assert lines[1].split()[:2] == ["preprocess", "done"]


def test_ctrl_c_ends_quietly():
    code = """
import sys
from facecraft import cli

def stop():
    raise KeyboardInterrupt

cli.app.command("stop")(cli.as_command(stop))
sys.argv = ["facecraft", "stop"]
cli.main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 130 and "Traceback" not in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch):
    """Installs a handler on a stderr of our own; undone afterwards."""
    handlers, propagate = log.handlers, log.propagate
    opened = []

    def install(style: str, stream: io.StringIO) -> io.StringIO:
        monkeypatch.setattr(sys, "stderr", stream)
        opened.append(console.install_handler(style))
        return stream

    yield install
    for handler in opened:
        handler.close()
    log.handlers, log.propagate = handlers, propagate


def work() -> None:
    for _ in track(range(8), "carve"):
        pass
    log.info("carved")
    log.warning("the chisel is blunt")
    log.error("the marble broke")


def test_work_in_pieces_is_counted_as_a_whole(stderr):
    stream = stderr("text", io.StringIO())
    for before in (0, 4):
        for _ in track(range(4), "carve", 8, before):
            pass
    assert stream.getvalue().splitlines() == [f"carve: {done}/8" for done in (2, 4, 6, 8)]


def test_plain_lines_tell_each_quarter(stderr):
    stream = stderr("text", io.StringIO())
    work()
    assert stream.getvalue().splitlines() == [
        *(f"carve: {done}/8" for done in (2, 4, 6, 8)),
        "carved",
        "warning: the chisel is blunt",
        "error: the marble broke",
    ]


def test_json_lines_parse(stderr):
    stream = stderr("json", io.StringIO())
    work()
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["done"], e["total"]) for e in entries[:8]] == [(i, 8) for i in range(1, 9)]
    assert [e["level"] for e in entries[8:]] == ["info", "warning", "error"]


def test_a_terminal_gets_a_bar_and_unbroken_errors(stderr):
    stream = stderr("text", Terminal())
    work()
    long = "the marble " + "cracked and " * 30 + "broke"
    log.error(long)
    assert "carve" in stream.getvalue() and "8/8" in stream.getvalue()
    assert f"error: {long}" in stream.getvalue()


def test_a_bar_can_begin_again(stderr):
    """The same label twice, as when several videos are rendered, is two bars."""
    stream = stderr("text", Terminal())
    for _ in range(2):
        for _ in track(range(3), "carve"):
            pass
    assert len(log.handlers[0].progress.tasks) == 2
    log.handlers[0].close()
    assert stream.getvalue().count("3/3") >= 2

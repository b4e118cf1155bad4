"""The shape of the repository: who imports whom, what the wheel holds, how fast it answers."""

import ast
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import facecraft
from facecraft.cli import STAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "facecraft").rglob("*.py"))
STAGE_FILES = sorted((ROOT / "stages").glob("[!_]*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HELP_S = 0.3
"""Rule 10 of the house: `--help` is there at once."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> set[str]:
    """Full names of the modules that are imported anywhere in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_knows_no_stages_and_no_command_line(path):
    found = imports(ast.parse(path.read_text()))
    assert not any(is_below(module, "facecraft.stages") for module in found)
    if path.name not in ("cli.py", "console.py", "options.py"):
        assert not any(is_below(m, "facecraft.cli") or is_below(m, "facecraft.console") for m in found)
        assert not any(is_below(module, "typer") for module in found)


@pytest.mark.parametrize("path", STAGE_FILES, ids=name_of)
def test_stages_are_short_and_import_only_the_library(path):
    text = path.read_text()
    found = imports(ast.parse(text))
    assert not any(is_below(module, "facecraft.stages") or is_below(module, "facecraft.cli") for module in found)
    ours = {module.split(".")[0] for module in found} - sys.stdlib_module_names
    assert ours <= {"facecraft", "typer"}
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("path", STAGE_FILES, ids=name_of)
def test_stages_import_nothing_heavy_at_the_top(path):
    top = ast.Module([n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    allowed = sys.stdlib_module_names | {"typer", "facecraft.workspace", "facecraft.errors", "facecraft.options"}
    assert all(any(is_below(module, name) for name in allowed) for module in imports(top))


@pytest.mark.parametrize("path", LIBRARY + STAGE_FILES, ids=name_of)
def test_files_are_documented_quiet_and_not_too_long(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= 300
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls)


def test_no_module_of_the_library_is_in_a_cycle():
    """Of top-level imports; those inside of functions are for speed."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in LIBRARY}
    edges = {}
    for module, path in modules.items():
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        edges[module] = {name for name in imports(ast.Module(top, [])) if name in modules}
    done = set()
    while len(done) < len(edges):
        ready = {module for module in edges.keys() - done if edges[module] <= done}
        assert ready, f"cycle among {sorted(edges.keys() - done)}"
        done |= ready


def test_every_package_on_disk_is_in_the_wheel():
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in LIBRARY if path.name == "__init__.py"}
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in LIBRARY}
    assert on_disk == folders, "a folder of modules without __init__.py"
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == on_disk | {"facecraft.stages"}


def test_every_shell_chain_is_installed():
    chains = {f"bin/{path.name}" for path in (ROOT / "bin").iterdir()} - {"bin/facecraft"}
    assert set(PROJECT["tool"]["setuptools"]["script-files"]) == chains


def test_versions_agree():
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert newest == facecraft.__version__ == PROJECT["project"]["version"]


def test_the_readme_and_make_know_every_stage_and_target():
    readme = (ROOT / "README.md").read_text()
    assert [stage for stage in STAGES if f"`facecraft {stage}" not in readme] == []
    targets = subprocess.run(["make", "-s", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^make (\w+)", targets, re.MULTILINE))
    assert listed >= {"demo", "test", "check", "format", "bench", "gallery", "build", "clean"}
    assert set(re.findall(r"`?make (\w+)[` ]", readme)) - {"rules"} <= listed


@pytest.mark.parametrize("script", ["bin/facecraft-quick", "examples/batch.sh", ".ci/run"])
def test_shell_scripts_stop_at_the_first_error(script):
    path = ROOT / script
    assert os.access(path, os.X_OK) and "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def test_the_quick_chain_runs_every_stage_that_writes_into_a_workspace_in_order():
    chain = re.findall(r'^"\$facecraft" (\S+)', (ROOT / "bin/facecraft-quick").read_text(), re.MULTILINE)
    assert list(dict.fromkeys(chain)) == [
        s
        for s in STAGES
        if s not in ("doctor", "sample", "synth", "drive-video", "track", "motion", "export", "eval", "status")
    ]


def test_scripts_without_arguments_tell_their_usage():
    for script in ("bin/facecraft-quick", "examples/batch.sh"):
        result = subprocess.run([ROOT / script], capture_output=True, text=True)
        assert result.returncode == 2 and result.stderr.startswith("usage: ") and result.stdout == ""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the wheel of this tree is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("facecraft", "stages", "bin"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel], check=True)
    shutil.rmtree(source)
    return folder / "site"


def run_installed(site: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the installed `facecraft` from / with nothing of the checkout on the path."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, site / "bin/facecraft", *words]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_library_the_stages_the_head_and_the_licences(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    modules = {name_of(path) for path in LIBRARY} | {f"facecraft/stages/{path.name}" for path in STAGE_FILES}
    assert modules <= files
    assert {"facecraft/head/open_head.safetensors", "facecraft/head/cover.safetensors"} <= files
    assert {"facecraft/head/skin.safetensors", "facecraft/head/LICENSE-ICT-FaceKit.txt"} <= files
    assert {"bin/facecraft", "bin/facecraft-quick"} <= files
    assert {path.name for path in installed.glob("*.dist-info/licenses/*")} == {"LICENSE", "NOTICE"}
    assert not any(name.startswith(("tests/", "training/", "stages/")) for name in files)


@pytest.mark.parametrize("stage", ["", *STAGES])
def test_the_installed_command_answers_help_from_anywhere(installed, stage):
    result = run_installed(installed, *filter(None, [stage, "--help"]))
    assert result.returncode == 0, result.stderr
    assert "Usage: " in result.stdout and result.stderr == ""


def test_the_installed_library_is_the_one_in_the_wheel(installed):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = "import facecraft.stages.status as s, facecraft; print(facecraft.__file__); print(s.__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True)
    assert [Path(line).parts[: len(installed.parts)] for line in result.stdout.splitlines()] == [installed.parts] * 2


def best_time(command: list, environment: dict, runs: int = 5) -> float:
    """Least processor time of a command in s: what the clock shows when nothing else runs."""
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd="/", env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize("stage", ["", *STAGES])
def test_help_is_there_at_once(installed, stage):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, installed / "bin/facecraft", *filter(None, [stage, "--help"])]
    assert best_time(command, environment, runs=3) < HELP_S


def test_the_import_is_quick(installed):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    assert best_time([sys.executable, "-c", "import facecraft"], environment) < HELP_S


def test_a_checkout_runs_without_being_installed(tmp_path):
    """bin/facecraft in a copy, by a Python whose site has no facecraft: -S would also hide the dependencies."""
    for name in ("facecraft", "stages", "bin"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    code = "import sys, runpy; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]; "
    code += f"sys.argv = ['facecraft', '--version']; runpy.run_path({str(tmp_path / 'bin/facecraft')!r}, run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True)
    assert result.stdout.strip() == facecraft.__version__, result.stderr

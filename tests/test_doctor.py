"""The doctor: what is there is found, what is not is named with the command that mends it."""

import ctypes
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facecraft import doctor
from facecraft.cli import app


@pytest.fixture
def lack(monkeypatch):
    """Takes a package away: its metadata and its modules."""

    def take(name: str) -> None:
        version = metadata.version

        def without(package: str) -> str:
            if package == name:
                raise metadata.PackageNotFoundError(package)
            return version(package)

        monkeypatch.setattr(metadata, "version", without)

    return take


def finding(name: str, folder: Path = Path()) -> doctor.Finding:
    (found,) = (f for f in doctor.examine(folder) if f.name == name)
    return found


def test_the_machine_that_runs_the_tests_is_healthy():
    import torch

    result = CliRunner().invoke(app, ["doctor"])
    lines = {line.split()[1]: line for line in result.stdout.splitlines()}
    assert lines["torch"].split() == ["ok", "torch", torch.__version__]
    assert lines["python"].split()[2] == sys.version.split()[0]
    assert lines.keys() >= {"mediapipe", "ffmpeg", "disk", "memory", "cuda", "numba"}
    broken = [name for name, line in lines.items() if line.startswith("MISSING")]
    assert broken == [name for name in broken if name in ("disk", "memory")]  # a matter of the day
    assert result.exit_code == (1 if broken else 0)


def test_a_missing_package_is_named_with_its_remedy_and_exits_1(lack):
    lack("trimesh")
    result = CliRunner().invoke(app, ["doctor"])
    assert "MISSING  trimesh       not installed; mend: pip install trimesh" in result.stdout.splitlines()
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "trimesh" in line and "run the commands above" in line


def test_a_mediapipe_without_models_is_refused(monkeypatch):
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.10.30" if name == "mediapipe" else version(name))
    assert not finding("mediapipe").ok
    assert "'mediapipe>=0.10.9,<0.10.22'" in finding("mediapipe").remedy


def test_a_package_that_does_not_load_is_told_from_one_that_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    found = finding("trimesh")
    assert not found.ok and metadata.version("trimesh") in found.found and "--force-reinstall" in found.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="the library comes with the system elsewhere")
def test_a_missing_libgl_names_its_debian_package(monkeypatch):
    load = ctypes.CDLL

    def without(name, *args, **kwargs):
        if name == "libGL.so.1":
            raise OSError("libGL.so.1: cannot open shared object file")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(ctypes, "CDLL", without)
    assert finding("libGL").remedy == "apt-get install libgl1"


def test_a_full_disk_and_little_memory(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(100 * 2**30, 99 * 2**30, 2**30))
    monkeypatch.setattr(doctor, "_available_memory", lambda: 3 * 2**30)
    assert not finding("disk").ok and "1.0 GiB" in finding("disk").found
    assert not finding("memory").ok and "3.0 GiB" in finding("memory").found


def test_no_gpu_is_no_fault():
    import torch

    found = finding("cuda")
    assert found.ok == torch.cuda.is_available() and not found.needed


def test_available_memory_is_plausible():
    assert 2**27 < doctor._available_memory() < 2**50


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path):
    assert CliRunner().invoke(app, ["doctor", "--folder", str(tmp_path / "none")]).exit_code == 2

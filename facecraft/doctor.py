"""A look at the machine: what facecraft needs, what is there, and the command that mends what is not."""

import ctypes
import importlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from facecraft.errors import FacecraftError

DISK_GIB = 2
MEMORY_GIB = 4


@dataclass(frozen=True)
class Finding:
    """One line of the check: `needed` ones must be `ok` for the CPU chain to run; `remedy` is a command or an advice."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(folder: Path) -> list[Finding]:
    """Check everything; `folder` is where workspaces will lie."""
    return [
        _check_python(),
        *_check_libraries(),
        *(_check_package(name, module) for name, module in _PACKAGES.items()),
        _check_ffmpeg(),
        _check_head(),
        _check_disk(folder),
        _check_memory(),
        *_check_gpu(),
    ]


_PACKAGES = {
    "torch": "torch",
    "numba": "numba",
    "mediapipe": "mediapipe.python.solutions.face_mesh",
    "scikit-image": "skimage",
    "trimesh": "trimesh",
}
"""Package -> a module of it whose import needs what the package needs."""


def _check_python() -> Finding:
    ok = (3, 10) <= sys.version_info < (3, 13)
    return Finding("python", ok, platform.python_version(), "make PYTHON=python3.11 .venv/stamp")


def _check_libraries() -> list[Finding]:
    """The system library that OpenCV, and so mediapipe, loads; macOS has it."""
    if platform.system() != "Linux":
        return []
    try:
        ctypes.CDLL("libGL.so.1")
    except OSError as error:
        return [Finding("libGL", False, str(error), "apt-get install libgl1")]
    return [Finding("libGL", True, "libGL.so.1")]


def _check_package(name: str, module: str, needed: bool = True) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", f"pip install {_requirement(name)}", needed)
    try:
        importlib.import_module(module)
    except (ImportError, OSError, AttributeError) as error:  # a binary that does not fit this machine or numpy
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        return Finding(
            name, False, f"{version}, but: {first_line}", f"pip install --force-reinstall {_requirement(name)}", needed
        )
    if name == "mediapipe" and not (0, 10, 9) <= tuple(int(part) for part in version.split(".")[:3]) < (0, 10, 22):
        return Finding(name, False, f"{version}, without bundled models", f"pip install {_requirement(name)}")
    return Finding(name, True, version, needed=needed)


def _requirement(name: str) -> str:
    return "'mediapipe>=0.10.9,<0.10.22'" if name == "mediapipe" else name


def _check_ffmpeg() -> Finding:
    remedy = "pip install 'imageio[ffmpeg]'"
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        text = subprocess.run([get_ffmpeg_exe(), "-version"], capture_output=True, text=True, check=True).stdout
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        return Finding("ffmpeg", False, str(error).splitlines()[0], remedy)
    return Finding("ffmpeg", True, text.split()[2])


def _check_head() -> Finding:
    """The trained head that the package ships."""
    try:
        from facecraft.head.model import load_head

        head = load_head()
    except (FacecraftError, ImportError, OSError) as error:
        return Finding("open head", False, str(error).splitlines()[0], "pip install --force-reinstall facecraft")
    return Finding("open head", True, f"{head.name}, {len(head.template)} vertices, {head.licence}")


def _check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 2**30
    return Finding(
        "disk",
        free >= DISK_GIB,
        f"{free:.1f} GiB free in {folder.resolve()}",
        f"free {DISK_GIB} GiB, or work in another folder",
    )


def _check_memory() -> Finding:
    free = _available_memory() / 2**30
    return Finding(
        "memory",
        free >= MEMORY_GIB,
        f"{free:.1f} GiB available",
        f"close other programs; {MEMORY_GIB} GiB are used at most",
    )


def _available_memory() -> int:
    """Bytes that this process can still get: of the machine, and of its container's limit."""
    meminfo, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if not meminfo.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int(limit.with_name("memory.current").read_text())
        available = min(available, max(int(text) - used, 0))
    return available


def _check_gpu() -> list[Finding]:
    """CUDA and gsplat: both optional, gsplat only of use with CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return [Finding("cuda", False, "no GPU found; the CPU is used", needed=False)]
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    gpu = Finding("cuda", True, f"{torch.cuda.get_device_name()}, {memory:.0f} GiB", needed=False)
    gsplat = _check_package("gsplat", "gsplat", needed=False)
    return [gpu, gsplat]


def describe_findings(findings: list[Finding]) -> str:
    """The findings as lines: ok, MISSING or optional; then what was found and the remedy."""
    lines = []
    for finding in findings:
        word = "ok" if finding.ok else "MISSING" if finding.needed else "optional"
        remedy = f"; mend: {finding.remedy}" if finding.remedy and not finding.ok else ""
        lines.append(f"{word:9}{finding.name:14}{finding.found}{remedy}")
    return "\n".join(lines)

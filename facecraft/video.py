"""Frames to H.264 in mp4 that says it is synthetic, and frames of any video back; through the ffmpeg of imageio-ffmpeg."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from facecraft.errors import DependencyError, InputError
from facecraft.image import COMMENT

_CRF = 18  # visually lossless
# the matrix that players assume is a matter of size unless it is named
_COLOUR = "scale=out_color_matrix=bt709:out_range=tv,"
_COLOUR += "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"


class VideoWriter:
    """Writes frames of one size to an mp4; use it as a context manager. Nothing valid is left when the body fails.

    Odd sizes get one more row or column that repeats the edge, as yuv420p has half the colours in each direction.
    """

    def __init__(self, path: Path, fps: float, comment: str = COMMENT):
        self.path, self.fps, self.comment = Path(path), fps, comment
        self.process: subprocess.Popen | None = None
        self.messages = tempfile.TemporaryFile()

    def write(
        self,
        rgb: np.ndarray,  # [H, W, 3] uint8
    ) -> None:
        """Append one frame. DependencyError when ffmpeg cannot encode."""
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3, (rgb.dtype, rgb.shape)
        height, width = rgb.shape[:2]
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else rgb
        if self.process is None:
            self.size = even.shape
            self.process = self._start()
        assert even.shape == self.size, (even.shape, self.size)
        try:
            self.process.stdin.write(np.ascontiguousarray(even).data)
        except BrokenPipeError:
            self._fail()

    def _start(self) -> subprocess.Popen:
        height, width = self.size[:2]
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self.fps}", "-i", "-"]
        codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", f"{_CRF}", "-preset", "veryfast", "-vf", _COLOUR]
        form = ["-metadata", f"comment={self.comment}", "-movflags", "+faststart", "-f", "mp4", str(self.path)]
        command = [_ffmpeg(), "-y", "-loglevel", "error", *source, *codec, *form]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.messages)

    def _fail(self):
        self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {self.process.returncode}"
        raise DependencyError(f"ffmpeg could not write {self.path} ({reason}); check the disk, and `facecraft doctor`")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, value, traceback) -> None:
        try:
            if self.process is None:
                return
            if kind is not None:
                self.process.kill()
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass  # ffmpeg has gone; its exit code tells why
            if self.process.wait() and kind is None:
                self._fail()
        finally:
            self.messages.close()


def read_video(path: Path) -> tuple[float, Iterator[np.ndarray]]:
    """Frames per second, and the frames [H, W, 3] uint8, upright, read one at a time. InputError when it is no video."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    # ffmpeg without an output ends with an error, but describes its input first
    about = subprocess.run(
        [_ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True, text=True, errors="replace"
    )
    video = re.search(r"Stream .* Video: .*?([\d.]+) (?:fps|tbr)", about.stderr)
    if not video or float(video[1]) <= 0:
        raise InputError(f"{path} is not a video that ffmpeg can read; give an mp4, mov or webm")
    return float(video[1]), _frames(path)


def copy_audio(source: Path, video: Path) -> None:
    """Give the mp4 `video` the first sound track of `source`, cut to its length; nothing happens when there is none.

    DependencyError when ffmpeg cannot, with `video` left as it was.
    """
    about = subprocess.run(
        [_ffmpeg(), "-hide_banner", "-i", str(source)], capture_output=True, text=True, errors="replace"
    )
    if not re.search(r"Stream .* Audio: ", about.stderr):
        return
    mixed = video.with_name(f".{video.name}")
    streams = ["-i", str(video), "-i", str(source), "-map", "0:v", "-map", "1:a:0", "-map_metadata", "0", "-shortest"]
    codec = ["-c:v", "copy", "-c:a", "aac", "-movflags", "+faststart", "-f", "mp4", str(mixed)]
    done = subprocess.run([_ffmpeg(), "-y", "-loglevel", "error", *streams, *codec], capture_output=True, text=True)
    if done.returncode:
        mixed.unlink(missing_ok=True)
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DependencyError(f"ffmpeg could not copy the sound of {source} ({reason}); cut it off, or mend it")
    os.replace(mixed, video)


def _frames(path: Path) -> Iterator[np.ndarray]:
    """Frames through a pipe of PPM pictures, whose headers hold the size after rotation."""
    command = [_ffmpeg(), "-loglevel", "error", "-i", str(path), "-an", "-f", "image2pipe", "-c:v", "ppm", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            while process.stdout.readline() == b"P6\n":
                width, height = map(int, process.stdout.readline().split())
                process.stdout.readline()
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    return
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
        finally:
            process.kill()


def _ffmpeg() -> str:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise DependencyError("ffmpeg is not there; run `pip install 'imageio[ffmpeg]'`") from error

"""`facecraft render`: what it writes, when it runs again, what it refuses."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from facecraft.stages import render
from PIL import Image

from facecraft.errors import InputError, WorkspaceError
from facecraft.image import write_sample
from facecraft.video import read_video
from facecraft.workspace import Workspace


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture, int)


def test_a_motion_becomes_frames_cameras_and_a_video(subject):
    path = render.main(subject, motion="turntable", size=64, fps=2)
    assert path == subject / "renders/turntable.mp4"
    frames = sorted((subject / "renders/turntable").glob("*.png"))
    fps, video = read_video(path)
    assert fps == 2 and len(list(video)) == len(frames) == 8
    assert (subject / "renders/turntable/transforms.json").is_file()


def test_a_still_is_one_picture_and_its_name_can_be_given(subject):
    path = render.main(subject, camera="source", size=64, out="again")
    assert path == subject / "renders/again/00000_00.png"
    assert pixels(path).shape == (64, 48, 3)


def test_results_stand_side_by_side_and_are_made_once(subject):
    first = render.main(subject, size=32)
    made = first.stat().st_mtime_ns
    render.main(subject, size=32, expression="blink=1", out="blink")
    assert render.main(subject, size=32).stat().st_mtime_ns == made
    render.main(subject, size=40)
    assert pixels(first).shape == (40, 40, 3)
    assert pixels(subject / "renders/blink/00000_00.png").shape == (32, 32, 3)


def test_a_video_is_gone_when_the_same_name_becomes_a_still(subject):
    render.main(subject, camera="orbit", size=32, fps=1, out="a")
    assert (subject / "renders/a.mp4").is_file()
    assert render.main(subject, size=32, out="a").suffix == ".png"
    assert not (subject / "renders/a.mp4").exists() and len(list((subject / "renders/a").glob("*.png"))) == 1


def test_a_changed_motion_file_is_rendered_again(subject, tmp_path):
    curves = tmp_path / "say.json"
    curves.write_text('{"fps": 25, "frames": [{"jawOpen": 0}, {"jawOpen": 0}]}')
    closed = pixels(render.main(subject, motion=str(curves), size=64).parent / "say/00001_00.png")
    curves.write_text('{"fps": 25, "frames": [{"jawOpen": 0}, {"jawOpen": 1}]}')
    opened = pixels(render.main(subject, motion=str(curves), size=64).parent / "say/00001_00.png")
    assert np.abs(closed - opened)[40:].max() > 60


def test_a_video_drives_in_one_command_and_brings_its_sound(subject, tmp_path):
    write_sample(tmp_path / "a.png")
    tone, clip = ["-f", "lavfi", "-i", "sine=440:duration=1"], tmp_path / "talk.mp4"
    loop = ["-loop", "1", "-framerate", "8", "-t", "1", "-i", tmp_path / "a.png", *tone, "-pix_fmt", "yuv420p"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *loop, clip], check=True)
    path = render.main(subject, motion=str(clip), size=32, fps=8)
    about = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr
    assert path == subject / "renders/talk.mp4" and "Audio: aac" in about
    assert len(list((subject / "renders/talk").glob("*.png"))) == 8


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a b", ".."])
def test_names_that_leave_the_folder_are_refused(subject, name):
    with pytest.raises(InputError, match="name"):
        render.main(subject, out=name)


def test_a_failure_leaves_the_last_result(subject):
    path = render.main(subject, size=32, out="a")
    with pytest.raises(InputError, match="grin"):
        render.main(subject, size=32, out="a", expression="grin=1")
    assert path.is_file() and not (subject / ".partial").exists()


def test_without_an_avatar_the_stage_to_run_is_named(tmp_path):
    with Workspace.create(tmp_path / "b.ws").stage("preprocess", (), {}) as run:
        run.output("source/report.json").write_text("{}")
    with pytest.raises(WorkspaceError, match="coin-fit"):
        render.main(tmp_path / "b.ws")

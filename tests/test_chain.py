"""From the sample portrait to an avatar that moves: the bars of the chain, at settings that a test can afford.

`make bench` measures the same on every portrait at the settings of the demo.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from facecraft.stages import render, sheet
from PIL import Image

from facecraft.face.landmarks import find_faces
from facecraft.report import Likeness, landmark_distance, measure_likeness
from facecraft.status import stage_states
from facecraft.video import read_video
from facecraft.workspace import Workspace


@pytest.fixture(scope="module")
def likeness(astronaut_workspace) -> Likeness:
    return measure_likeness(Workspace.open(astronaut_workspace), azimuths_deg=(-30, 30))


@pytest.fixture
def copy(astronaut_workspace, tmp_path) -> Path:
    return shutil.copytree(astronaut_workspace, tmp_path / "astronaut.ws")


def test_the_chain_leaves_all_that_the_design_names(astronaut_workspace):
    names = """source/transforms.json source/images/00000_00.png source/fg_masks/00000_00.png source/landmarks.npz
    source/report.json head/head.safetensors head/transforms.json head/texture.png head/mesh.glb head/overlay.png
    views/enhanced/transforms.json views/enhanced/images/00000_00.png views/enhanced/depths/00000_00.png
    avatar/avatar.safetensors avatar/avatar.ply avatar/preview.png workspace.json records/coin-fit.json"""
    assert [name for name in names.split() if not (astronaut_workspace / name).is_file()] == []
    assert not (astronaut_workspace / ".lock").exists() and not (astronaut_workspace / ".partial").exists()


def test_the_chain_is_done_and_names_its_licences(astronaut_workspace):
    states = {state.name: state for state in stage_states(Workspace.open(astronaut_workspace))}
    for stage in ("preprocess", "fit-3dmm", "enhance-views", "coin-fit"):
        assert states[stage].state == "done", states[stage]
    used = {(w["name"], w["licence"]) for state in states.values() for w in state.record.get("weights", [])}
    assert {"facecraft/irises", "facecraft/skin", "facecraft/cover", "head/open"} <= {name for name, _ in used}
    licences = " ".join(licence for _, licence in used)
    assert "Apache-2.0" in licences and "MIT" in licences and "CC0" in licences


def test_the_avatar_looks_like_the_photo_from_where_it_was_taken(likeness):
    assert likeness.psnr_db > 25
    assert likeness.landmark_percent < 2


def test_a_face_is_there_from_the_sides(likeness):
    assert likeness.faces_found == {-30: True, 30: True}


def test_the_same_picture_has_no_landmark_distance_and_a_shifted_one_its_shift(astronaut_workspace):
    with Image.open(astronaut_workspace / "source/images/00000_00.png") as picture:
        rgb = np.asarray(picture.convert("RGB"), np.float32) / 255
    assert landmark_distance(rgb, rgb) == 0
    shifted = np.roll(rgb, 10, 1)
    (face,) = find_faces(rgb)
    width = np.linalg.norm(np.diff(face.landmarks[[234, 454], :2], axis=0))
    assert landmark_distance(shifted, rgb) == pytest.approx(100 * 10 / width, rel=0.2)
    assert np.isnan(landmark_distance(np.ones_like(rgb), rgb))


def seen(workspace: Path, expression: str):
    """The face in a rendered expression."""
    picture = render.main(workspace, expression=expression, size=320, out="look", device="cpu", force=True)
    with Image.open(picture) as frame:
        (face,) = find_faces(np.asarray(frame, np.float32) / 255)
    return face


def eye_opening(face) -> float:
    """Gap between the lids (landmarks 159 and 145, 386 and 374), mean of both eyes, in face heights."""
    upper, lower = face.landmarks[[159, 386], :2], face.landmarks[[145, 374], :2]
    return float(np.linalg.norm(upper - lower, axis=1).mean() / face.height)


def test_the_mouth_opens_and_the_eyes_close(copy):
    still, jaw, blink = (seen(copy, text) for text in ("jawOpen=0", "jawOpen=0.6", "blink=1"))
    assert jaw.mouth_opening > still.mouth_opening + 0.05
    assert eye_opening(blink) < 0.8 * eye_opening(still)  # MediaPipe never calls a rendered lid quite closed


def test_the_turntable_is_a_video_that_comes_back_to_its_start(copy):
    path = render.main(copy, motion="turntable", size=96, fps=6, device="cpu")
    fps, frames = read_video(path)
    frames = [frame.astype(float) for frame in frames]
    assert (fps, len(frames)) == (6, 24)
    change = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert change[-1] < max(change) / 2 and change[1] < max(change) / 2


def test_the_sheet_shows_ten_pictures_and_says_that_it_is_synthetic(copy):
    path = sheet.main(copy, size=100)
    with Image.open(path) as picture:
        assert picture.size == (1000, 110) and "synthetic" in picture.text["Comment"]
        pixels = np.asarray(picture, float)[10:]
    panels = [pixels[:, 100 * i : 100 * (i + 1)] for i in range(10)]
    assert all((panel < 128).any() and (panel > 250).any() for panel in panels)
    photo, source_view, back = panels[0], panels[1], panels[6]
    assert np.abs(photo - source_view).mean() < 0.5 * np.abs(photo - back).mean()


def test_a_photo_without_a_face_stops_the_quick_chain_with_one_line(tmp_path):
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "wall.png")
    (tmp_path / "facecraft").symlink_to(Path(sys.executable).parent / "facecraft")
    quick = shutil.copy(Path(__file__).parent.parent / "bin/facecraft-quick", tmp_path)
    result = subprocess.run([quick, tmp_path / "wall.png", tmp_path / "wall.ws"], capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == "" and not (tmp_path / "wall.ws").exists()
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")] != []
    assert "Traceback" not in result.stderr


TRAIN = ["--quality", "draft", "--iterations", "120", "--gaussians", "4000", "--checkpoint-every", "10", "--seed", "1"]


def start_training(workspace: Path) -> subprocess.Popen:
    command = [Path(sys.executable).parent / "facecraft", "coin-fit", workspace, *TRAIN, "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_coin_fit_goes_on_from_its_last_checkpoint(copy):
    before = (copy / "avatar/avatar.safetensors").read_bytes()
    checkpoint = copy / "avatar/checkpoints/train.safetensors"
    process = start_training(copy)
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.communicate()
    process.communicate()
    assert checkpoint.is_file() and (copy / "avatar/avatar.safetensors").read_bytes() == before

    output, messages = start_training(copy).communicate()
    assert output == f"{copy}/avatar/avatar.safetensors\n", messages
    (line,) = [line for line in messages.splitlines() if line.startswith("going on from iteration ")]
    assert int(line.split()[-1]) >= 10
    assert (copy / "avatar/avatar.safetensors").read_bytes() != before and not checkpoint.exists()
    assert json.loads((copy / "records/coin-fit.json").read_text())["options"]["seed"] == 1


def test_the_batch_goes_on_after_a_bad_photo_and_lists_it(tmp_path):
    """With a stand-in for the chain, as what is tested is the shell around it."""
    (tmp_path / "photos").mkdir()
    for name in ("ann.jpg", "bad one.jpg", "cy.PNG", "notes.txt"):
        (tmp_path / "photos" / name).touch()
    batch = copy_of_batch(tmp_path)
    result = subprocess.run([batch, tmp_path / "photos", tmp_path / "out", "2"], capture_output=True, text=True)
    assert result.returncode == 1
    assert sorted(result.stdout.split()) == [f"{tmp_path}/out/ann.ws", f"{tmp_path}/out/cy.ws"]
    assert result.stderr.splitlines()[-1] == f"{tmp_path}/photos/bad one.jpg: error: no face in it; give another"
    (tmp_path / "photos/bad one.jpg").unlink()
    again = subprocess.run([batch, tmp_path / "photos", tmp_path / "out"], capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr == ""
    (tmp_path / "photos/ann.png").touch()
    twice = subprocess.run([batch, tmp_path / "photos", tmp_path / "out"], capture_output=True, text=True)
    assert twice.returncode == 2 and "several photos are called ann" in twice.stderr


def test_a_stopped_batch_stops_the_work_it_began(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("ann.jpg", "bob.jpg", "cy.jpg"):
        (tmp_path / "photos" / name).touch()
    batch = copy_of_batch(tmp_path)
    (tmp_path / "bin/facecraft-quick").write_text('#!/bin/sh\necho begun >> "$2.begun"\nsleep 1\ntouch "$2.ended"\n')
    process = subprocess.Popen([batch, tmp_path / "photos", tmp_path / "out", "2"])
    while len(list((tmp_path / "out").glob("*.begun"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 130
    time.sleep(1.2)
    assert len(list((tmp_path / "out").glob("*.begun"))) == 2 and not list((tmp_path / "out").glob("*.ended"))


def copy_of_batch(folder: Path) -> Path:
    """examples/batch.sh beside a facecraft-quick that fails for every name with `bad` in it."""
    (folder / "bin").mkdir()
    quick = folder / "bin/facecraft-quick"
    quick.write_text(
        '#!/bin/sh\ncase $1 in *bad*) echo "error: no face in it; give another" >&2; exit 1 ;; esac\nmkdir -p "$2"\n'
    )
    quick.chmod(0o755)
    (folder / "examples").mkdir()
    return Path(shutil.copy(Path(__file__).parent.parent / "examples/batch.sh", folder / "examples/batch.sh"))

"""Tracking: a head is recovered from landmarks that it made; a video becomes a motion."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.drive import ARKIT_NAMES, Motion, built_in_motion
from facecraft.errors import InputError
from facecraft.footage import (
    LOW,
    lid_gaps,
    pair_eyes,
    raise_channels,
    settle_opposites,
    shut_lids,
    shut_shares,
    to_motion,
    track_video,
)
from facecraft.head.belief import ASIDE_SIGMA, EXPRESSION_SIGMA, expression_belief
from facecraft.head.model import load_head
from facecraft.head.track import HeadTrack, _solve_chain, track_head
from facecraft.image import write_sample
from facecraft.video import VideoWriter

CAMERA = Camera(400, 400, 900.0, 900.0, 200.0, 200.0)
FACING = np.diag([1.0, -1.0, -1.0])


def talk(count: int) -> Motion:
    motion = built_in_motion("talking", 25)
    part = slice(15, 15 + count)
    return Motion(motion.expression[part], motion.neck[part], motion.gaze[part], motion.times[:count])


def landmarks_of(motion: Motion, shape: np.ndarray, noise_px: float) -> np.ndarray:
    """The landmarks [T, 478, 2] of a head 0.7 m away that does all of `motion` with its whole body."""
    head = load_head()
    weights = torch.as_tensor(motion.expression_for(head.expression_names), dtype=torch.float32)
    shapes = torch.as_tensor(shape, dtype=torch.float32)[None]
    points = head.landmarks(head.vertices(shapes, weights)).double().numpy()
    turns = FACING @ Rotation.from_rotvec(motion.neck).as_matrix()
    points = points @ turns.transpose(0, 2, 1) + [0.01, -0.02, 0.7]
    exact = points[..., :2] / points[..., 2:] * CAMERA.fx + 200
    return exact + noise_px * np.random.default_rng(3).normal(size=exact.shape)


def follow(motion: Motion, noise_px: float = 0.3) -> tuple[HeadTrack, np.ndarray]:
    head = load_head()
    shape = np.random.default_rng(5).normal(0, 0.7, head.shape_count)
    landmarks = landmarks_of(motion, shape, noise_px)
    return track_head(head, landmarks, CAMERA, motion.times), landmarks_of(motion, shape, 0.0)


def test_a_talking_head_is_followed():
    motion = talk(60)
    track, exact = follow(motion)
    assert np.linalg.norm(track.landmarks - exact, axis=2).mean() < 0.5
    found = to_motion(load_head(), track, exact, motion.times)
    for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp"):
        pair = (m.expression[:, ARKIT_NAMES.index(name)] for m in (found, motion))
        assert np.corrcoef(*pair)[0, 1] > 0.93, name
    off = Rotation.from_rotvec(found.neck) * Rotation.from_rotvec(motion.neck).inv()
    assert np.degrees((off.mean().inv() * off).magnitude()).max() < 1.0


def test_a_still_head_holds_still():
    still = Motion(np.zeros((40, 52)), np.zeros((40, 3)), np.zeros((40, 2, 2)), np.arange(40) / 25)
    track, _ = follow(still, noise_px=0.5)
    assert np.linalg.norm(np.diff(track.landmarks, axis=0), axis=2).mean() < 0.3  # a third of the noise


def test_the_sides_of_a_face_are_believed_to_move_together_but_for_winks():
    names = load_head().expression_names
    belief = expression_belief(names)

    def cost(**channels: float) -> float:
        values = load_head().expression_vector(channels)[0].double().numpy()
        return float(values @ belief @ values)

    alone = 0.4**2 / EXPRESSION_SIGMA**2
    assert cost(mouthSmileLeft=0.4, mouthSmileRight=0.4) == pytest.approx(2 * alone, rel=1e-5)
    assert cost(mouthSmileLeft=0.4) > 3 * alone
    for name in ("eyeBlinkLeft", "eyeLookOutLeft", "jawOpen"):
        assert cost(**{name: 0.4}) == pytest.approx(alone, rel=1e-5)
    for name in ("jawLeft", "mouthRight"):
        assert cost(**{name: 0.4}) == pytest.approx(0.4**2 / ASIDE_SIGMA**2, rel=1e-5)


def test_a_chain_of_blocks_is_solved_exactly():
    rng = np.random.default_rng(0)
    T, n = 5, 4
    halves = rng.normal(size=(T, n, n))
    blocks, links = halves @ halves.transpose(0, 2, 1) + 6 * np.eye(n), -rng.uniform(0, 1, (T - 1, n))
    right = rng.normal(size=(T, n))
    dense = np.zeros((T * n, T * n))
    for t in range(T):
        dense[t * n : t * n + n, t * n : t * n + n] = blocks[t]
    for t in range(T - 1):
        at = np.arange(n)
        dense[t * n + at, t * n + n + at] = dense[t * n + n + at, t * n + at] = links[t]
    assert np.allclose(_solve_chain(blocks, links, right).ravel(), np.linalg.solve(dense, right.ravel()))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """The sample portrait for twelve frames, the face gone in the first two and moving to the right."""
    from facecraft.image import read_picture, to_bytes

    folder = tmp_path_factory.mktemp("video")
    write_sample(folder / "a.png")
    photo = to_bytes(read_picture(folder / "a.png").rgb)
    with VideoWriter(folder / "a.mp4", 12) as writer:
        for t in range(12):
            writer.write(np.full_like(photo, 127) if t < 2 else np.roll(photo, 2 * t, 1))
    return folder / "a.mp4"


def test_a_video_becomes_a_motion_of_its_length(video):
    motion = track_video(video)
    assert motion.times[0] == 0 and motion.times[-1] >= 11 / 12 - 1e-9 and motion.source == "a.mp4"
    assert len(motion.resampled(12)) == 12
    assert np.allclose(motion.expression[0], motion.expression[1])  # held until the face is there
    assert motion.expression[:, ARKIT_NAMES.index("mouthSmileLeft")].mean() > 0.3  # the sample smiles
    moved = motion.translation[-1] - motion.translation[1]
    assert moved[0] > 0 and np.linalg.norm(motion.neck, axis=1).max() < 0.6


def test_a_video_without_a_face_is_refused(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 12) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 127, np.uint8))
    with pytest.raises(InputError, match="no face"):
        track_video(tmp_path / "a.mp4")


def test_lids_shut_where_the_drivers_do_and_only_then():
    gaps = np.full((30, 2), 0.009)
    gaps[10:13, 0] = [0.004, 0.001, 0.004]  # a blink of the left eye; the right one narrows
    gaps[20:23, 1] = 0.006
    shut = shut_shares(gaps)
    assert shut[11, 0] == 1 and 0 < shut[10, 0] < 1 and not shut[20:].any() and not shut[:, 1].any()
    gaps[11, 1] = 0.0045
    assert shut_shares(gaps)[11, 1] == 1
    gaps[:] = 0.0055  # always half open is how these eyes are
    assert not shut_shares(gaps).any()


def test_the_eye_of_a_wink_is_shut_at_a_gap_that_a_look_down_has():
    gaps = np.full((30, 2), 0.009)
    gaps[10], gaps[20] = [0.0035, 0.0085], [0.005, 0.005]
    shut = shut_shares(gaps)
    assert shut[10, 0] > 0.9 and shut[10, 1] == 0 and not shut[20].any()


def test_shut_lids_are_a_blink_and_no_look_down():
    tracked, shut = np.zeros((3, 52)), np.array([[0, 0], [1, 0], [0.5, 0]])
    blink, down = (ARKIT_NAMES.index(f"{name}Left") for name in ("eyeBlink", "eyeLookDown"))
    tracked[:, [blink, down]] = 0.4
    out = shut_lids(tracked, shut)
    assert np.allclose(out[:, blink], [0.4, 1, 0.7]) and np.allclose(out[:, down], [0.4, 0, 0.2])


def test_low_channels_are_raised_and_stay_weights():
    given = np.full((2, 52), [[0.35], [0.9]])
    raised = raise_channels(given)
    smile, jaw = (ARKIT_NAMES.index(name) for name in ("mouthSmileLeft", "jawOpen"))
    assert np.allclose(raised[:, smile], [0.35 / LOW["mouthSmile"], 1]) and np.array_equal(
        raised[:, jaw], given[:, jaw]
    )
    moved = [name for i, name in enumerate(ARKIT_NAMES) if raised[0, i] != given[0, i]]
    assert len(moved) == 6 and not raise_channels(np.zeros((1, 52))).any()


def test_a_mouth_is_on_one_side_only():
    given = np.full((2, 52), [[0.3], [0.0]])
    left, right, smile = (ARKIT_NAMES.index(name) for name in ("mouthLeft", "mouthRight", "mouthSmileLeft"))
    given[0, [left, right]] = 0.2, 0.5
    settled = settle_opposites(given)
    assert np.allclose(settled[0, [left, right, smile]], [0, 0.3, 0.3]) and not settled[1].any()


def test_shut_eyes_say_nothing_of_the_look():
    look = np.zeros((5, 52))
    left, right = (ARKIT_NAMES.index(name) for name in ("eyeLookOutLeft", "eyeLookInRight"))
    look[:, left], look[:, right] = [0.2, 0.9, 0.4, 0.4, 0.4], [0.4, 0.9, 0.9, 0.6, 0.6]
    seen = np.array([[1, 1], [0, 0], [1, 0], [1, 1], [0.5, 0.5]])
    found = pair_eyes(look, seen)
    assert np.array_equal(found[:, left], found[:, right])
    # both open: their mean; both shut: on the way to the next look; a wink: the open eye's
    assert np.allclose(found[:, left], [0.3, 0.35, 0.4, 0.5, 0.5])
    assert not pair_eyes(look, np.zeros((5, 2))).any()


def test_gaps_of_lids_are_metres_whatever_the_tilt():
    head = load_head()
    tilt = Rotation.from_euler("z", [[0], [40], [-70]], degrees=True).as_matrix()
    points = head.landmarks(head.vertices())[0].double().numpy()
    rotation = FACING @ tilt
    seen = points @ rotation.transpose(0, 2, 1) + [0, 0, 0.8]
    pixels = seen[..., :2] / seen[..., 2:] * CAMERA.fx + 200
    track = HeadTrack(CAMERA, np.zeros(1), np.zeros((3, 52)), rotation, np.tile([0, 0, 0.8], (3, 1)), pixels)
    gaps = lid_gaps(track, pixels)
    assert np.allclose(gaps, gaps[0], atol=2e-4) and 0.007 < gaps.mean() < 0.013

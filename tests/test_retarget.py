"""Retargeting: a driver at rest leaves the face at rest, closures stay closures, filters take noise and leave blinks."""

import logging

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facecraft.drive import ARKIT_NAMES, Motion, built_in_motion
from facecraft.errors import InputError
from facecraft.head.model import load_head
from facecraft.retarget import NEUTRALS, meet_lips, one_euro, own_rest, parse_gains, perform, retarget

AT = {name: i for i, name in enumerate(ARKIT_NAMES)}


def at_rest(rest: dict[str, float], turn=(0.0, 0.0, 0.0), count: int = 20) -> Motion:
    """A driver whose face at rest is not ours: they rest, then open the mouth, blink, look left and turn."""
    weights = np.zeros((count, 52))
    for name, value in rest.items():
        weights[:, AT[name]] = value
    half = count // 2
    ramp = np.linspace(0, 1, count - half)
    for name in ("jawOpen", "eyeBlinkLeft", "eyeLookOutLeft"):
        weights[half:, AT[name]] = np.maximum(weights[half:, AT[name]], ramp)
    neck = Rotation.from_rotvec(turn) * Rotation.from_rotvec(np.outer(np.r_[np.zeros(half), ramp], [0.3, 0, 0]))
    moved = np.full((count, 3), 0.7)
    return Motion(weights, neck.as_rotvec(), np.full((count, 2, 2), 0.1), np.arange(count) / 25, moved)


@pytest.mark.parametrize("neutral", ["first", "auto"])
def test_a_driver_at_rest_leaves_the_face_at_rest_and_full_closures_stay_full(neutral):
    driver = at_rest({"jawOpen": 0.1, "eyeBlinkLeft": 0.3, "mouthSmileLeft": 0.2}, turn=(0.0, 0.4, 0.1))
    driven = retarget(driver, neutral, smooth=False)
    assert np.abs(driven.expression[:10]).max() < 1e-9 and np.abs(driven.neck[:10]).max() < 1e-9
    assert np.abs(driven.gaze).max() < 1e-9 and np.abs(driven.translation).max() < 1e-9
    for name in ("jawOpen", "eyeBlinkLeft"):
        assert driven.expression[-1, AT[name]] == pytest.approx(1)
        assert (np.diff(driven.expression[:, AT[name]]) >= 0).all()
    # a nod is a nod in the driver's own axes, whatever the camera's
    assert np.allclose(driven.neck[-1], [0.3, 0, 0], atol=1e-9)


def test_the_neutral_face_is_a_usual_one_and_not_the_least_that_was_tracked():
    """Brows at rest are tracked at 0.2, and at 0.05 while the driver frowns."""
    rng = np.random.default_rng(0)
    weights = np.zeros((60, 52))
    weights[:, AT["browInnerUp"]] = 0.2 + rng.uniform(-0.02, 0.02, 60)
    weights[20:30, AT["browInnerUp"]] = 0.05
    weights[40:, AT["mouthSmileLeft"]] = weights[40:, AT["mouthSmileRight"]] = 0.6
    driver = Motion(weights, np.zeros((60, 3)), np.zeros((60, 2, 2)), np.arange(60) / 25)
    driven = retarget(driver, "auto", smooth=False)
    assert driven.expression[:20].max() < 0.05
    assert np.allclose(driven.expression[40:, AT["mouthSmileLeft"]], 0.6)


def test_none_keeps_everything():
    driver = at_rest({"mouthSmileLeft": 0.2}, turn=(0.0, 0.4, 0.1))
    driven = retarget(driver, "none", smooth=False)
    for name in ("expression", "neck", "gaze", "translation"):
        assert np.array_equal(getattr(driven, name), getattr(driver, name))


def test_looking_beside_the_resting_gaze_uses_the_opposite_channel():
    driver = at_rest({"eyeLookOutLeft": 0.3})
    driver.expression[:, AT["eyeLookOutLeft"]] = np.linspace(0.3, 0, 20)
    driven = retarget(driver, "first", smooth=False)
    assert driven.expression[-1, AT["eyeLookInLeft"]] == pytest.approx(0.3)
    assert driven.expression[:, AT["eyeLookOutLeft"]].max() == 0


def test_gains_multiply_and_clamp():
    driver = at_rest({})
    driven = retarget(driver, "first", parse_gains("jawOpen=0.5,blink=3"), smooth=False)
    assert driven.expression[-1, AT["jawOpen"]] == pytest.approx(0.5)
    assert driven.expression[:, AT["eyeBlinkLeft"]].max() == 1
    for wrong in ("jawOpen=5", "jawOpen=nan", "wiggle=1", "jawOpen"):
        with pytest.raises(InputError, match="gain"):
            parse_gains(wrong)


@pytest.mark.parametrize("neutral", NEUTRALS)
def test_what_is_driven_is_in_range(neutral):
    driven = retarget(built_in_motion("talking", 30), neutral)
    assert driven.expression.min() >= 0 and driven.expression.max() <= 1


def test_a_first_frame_that_is_not_neutral_and_far_turns_are_told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("facecraft"), "propagate", True)
    driver = at_rest({})
    retarget(driver, "first")
    assert caplog.text == ""
    backwards = Motion(driver.expression[::-1], driver.neck[::-1], driver.gaze, driver.times)
    retarget(backwards, "first")
    assert "first frame is not neutral" in caplog.text
    turned = Motion(driver.expression, np.linspace(0, [0, 1.2, 0], 20), driver.gaze, driver.times)
    retarget(turned, "first")
    assert "turns by up to 68 degrees" in caplog.text  # the filter takes one off at the end


def test_the_filter_has_no_lag_takes_noise_and_keeps_a_blink():
    times = np.arange(100) / 25
    noise = np.random.default_rng(0).normal(0, 0.02, (100, 1))
    assert one_euro(noise, times, 3.0, 3.0).std() < 0.6 * noise.std()
    # symmetric in time: what comes in backwards comes out backwards
    assert np.allclose(one_euro(noise, times, 3.0, 3.0)[::-1], one_euro(noise[::-1], times, 3.0, 3.0))
    blink = np.interp(times, [1, 1.1, 1.14, 1.3], [0, 1, 1, 0])[:, None]
    smooth = one_euro(blink, times, 3.0, 3.0)
    assert smooth.max() > 0.85 and abs(int(smooth.argmax()) - int(blink.argmax())) <= 1
    assert np.allclose(one_euro(np.full((9, 2), 0.4), times[:9], 3.0, 3.0), 0.4)


def lip_gaps(shape: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Smallest distance of upper to lower inner lip [T], m, negative where they overlap."""
    head = load_head()
    vertices = head.vertices(torch.as_tensor(shape).float()[None], torch.as_tensor(weights).float())
    upper, lower = vertices[:, head.lip_pairs, 1].chunk(2, 1)
    return (upper - lower).amin(1).numpy()


def test_lips_that_the_motion_closes_touch_on_every_head_and_open_ones_stay_open():
    head, still = load_head(), np.zeros(load_head().template.shape)
    names = [head.expression_names.index(n) for n in ("jawOpen", "mouthClose", "mouthSmileLeft", "mouthPressRight")]
    shut, open_ = np.zeros((5, 52)), np.zeros((2, 52))
    shut[:, names] = [[0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.2, 0, 0], [1, 1, 0, 0], [0.3, 0.3, 0.7, 0.3]]
    open_[:, names] = [[0.3, 0, 0, 0], [0.5, 0.25, 0, 0]]
    ajar = 0
    for shape in np.random.default_rng(0).normal(0, 0.7, (20, head.shape_count)):
        ajar += (lip_gaps(shape, shut) > 1e-3).sum()
        assert (lip_gaps(shape, meet_lips(head, shape, still, shut, shut)) < 5e-5).all()
        assert np.array_equal(meet_lips(head, shape, still, open_, open_), open_)
    assert ajar > 10  # without it, many of these mouths do not shut


def test_lips_that_are_apart_in_the_photo_do_not_open_twice():
    head, still = load_head(), np.zeros(load_head().template.shape)
    jaw = head.expression_names.index("jawOpen")
    photo, motion = np.zeros(52), np.zeros((3, 52))
    photo[jaw], motion[:, jaw] = 0.12, [0.0, 0.15, 0.4]
    shape = np.random.default_rng(1).normal(0, 0.7, head.shape_count)
    driven = perform(head, shape, still, photo, motion)
    assert (driven[:, jaw] >= motion[:, jaw] + 0.1).all()  # the jaw stays the face's own
    assert np.abs(lip_gaps(shape, driven) - lip_gaps(shape, motion).clip(0))[1:].max() < 1e-3


def test_a_mouth_that_shuts_does_not_jump():
    head = load_head()
    shape = np.random.default_rng(3).normal(0, 0.7, head.shape_count)
    weights = np.zeros((200, 52))
    weights[:, head.expression_names.index("jawOpen")] = np.linspace(0, 0.3, 200)
    gaps = lip_gaps(shape, meet_lips(head, shape, np.zeros(head.template.shape), weights, weights))
    assert (np.diff(gaps) > -1e-6).all() and np.diff(gaps).max() < 4e-4


def test_a_resting_driver_leaves_the_photos_own_look_and_takes_its_expression_back():
    head = load_head()
    photo = head.expression_vector(
        {"browOuterUpLeft": 0.5, "mouthSmileLeft": 0.1, "mouthSmileRight": 0.5, "jawOpen": 0.3, "eyeBlinkLeft": 0.2}
    )
    motion = np.vstack([np.zeros(52), head.expression_vector({"mouthSmileLeft": 1, "eyeBlinkLeft": 1})[0]])
    motion[1, head.expression_names.index("browOuterUpLeft")] = 0.75
    still = np.zeros(head.template.shape)
    driven = perform(head, np.zeros(head.shape_count), still, photo[0].numpy(), motion)
    names = ("browOuterUpLeft", "mouthSmileLeft", "mouthSmileRight", "jawOpen", "eyeBlinkLeft")
    columns = [head.expression_names.index(name) for name in names]
    assert np.allclose(driven[0, columns], [0.5, 0.1, 0, 0, 0.2], atol=1e-6)
    # brows and smile go as far as on any face, lids shut
    assert np.allclose(driven[1, columns], [1.25, 1.1, 0, 0, 1], atol=1e-6)
    assert np.allclose(own_rest(head.expression_names, np.zeros(52)), 0)

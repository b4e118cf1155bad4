"""Motions: smoothness and range of the built-in ones, resampling, adding, what users write."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facecraft.drive import (
    ALIASES,
    ARKIT_NAMES,
    MOTIONS,
    POSES,
    Motion,
    built_in_motion,
    parse_expression,
    parse_turn,
    still_motion,
)
from facecraft.errors import InputError


def channel(motion: Motion, name: str) -> np.ndarray:
    return motion.expression[:, ARKIT_NAMES.index(name)]


def test_there_are_52_distinct_names_and_aliases_use_them():
    assert len(set(ARKIT_NAMES)) == 52 and list(ARKIT_NAMES) == sorted(ARKIT_NAMES)
    assert {name for names in ALIASES.values() for name in names} <= set(ARKIT_NAMES)


@pytest.mark.parametrize("name", MOTIONS)
def test_built_in_motions_stay_in_range_and_begin_and_end_neutral(name):
    motion = built_in_motion(name, 25)
    assert motion.expression.min() >= 0 and motion.expression.max() <= 1
    assert np.allclose(np.diff(motion.times), 1 / 25)
    for frame in (0, -1):
        assert not motion.expression[frame].any() and not motion.neck[frame].any()


@pytest.mark.parametrize("name", ["expressions", "talking"])
def test_built_in_motions_have_continuous_derivatives(name):
    # a kink's second difference falls with the step, a smooth curve's with its square
    bends = [np.abs(np.diff(built_in_motion(name, fps).expression, 2, axis=0)).max() for fps in (500, 4000)]
    assert bends[1] < bends[0] / 30
    turns = [np.abs(np.diff(built_in_motion(name, fps).neck, 2, axis=0)).max() for fps in (500, 4000)]
    assert turns[1] <= turns[0] / 30


def test_the_sweep_stops_at_every_pose():
    motion = built_in_motion("expressions", 100)
    for i, text in enumerate(POSES.values()):
        frame = round(100 * (0.7 * i + 0.15))
        expected = parse_expression(text)
        found = {name: motion.expression[frame, j] for j, name in enumerate(ARKIT_NAMES)}
        assert {name: round(weight, 6) for name, weight in found.items() if weight} == expected


def test_talking_opens_the_mouth_blinks_and_repeats_exactly():
    motion, again = built_in_motion("talking", 50), built_in_motion("talking", 50)
    assert np.array_equal(motion.expression, again.expression) and np.array_equal(motion.neck, again.neck)
    assert channel(motion, "jawOpen").max() > 0.3
    closed = channel(motion, "eyeBlinkLeft") > 0.9
    assert np.count_nonzero(np.diff(closed.astype(int)) == 1) == 3
    assert 2 < np.degrees(np.linalg.norm(motion.neck, axis=1).max()) < 12


def test_resampling_is_exact_for_straight_lines_and_great_arcs():
    times = np.array([0.0, 0.5, 1.0])
    expression = np.outer(times, np.linspace(0, 1, 52))
    neck = np.outer(times, [0.3, -0.8, 0.2])
    gaze = np.multiply.outer(times, np.array([[0.1, 0.2], [0.3, 0.4]]))
    dense = Motion(expression, neck, gaze, times).resampled(8)
    assert len(dense) == 9
    assert np.allclose(dense.expression, np.outer(dense.times, np.linspace(0, 1, 52)))
    assert np.allclose(dense.neck, np.outer(dense.times, [0.3, -0.8, 0.2]))
    assert np.allclose(dense.gaze[:, 1, 0], 0.3 * dense.times)


def test_resampling_to_its_own_rate_changes_nothing():
    motion = built_in_motion("talking", 30)
    again = motion.resampled(30)
    assert len(again) == len(motion)
    assert np.allclose(again.expression, motion.expression) and np.allclose(again.neck, motion.neck)


def test_one_frame_can_be_resampled():
    assert len(still_motion(1).resampled(25)) == 1


def test_channels_are_put_in_the_order_of_a_head_by_name():
    motion = still_motion(2).added({"jawOpen": 0.6, "tongueOut": 0.2}, np.zeros(3))
    assert motion.expression_for(["tongueOut", "notArkit", "jawOpen"]).tolist() == [[0.2, 0, 0.6]] * 2


def test_adding_saturates_at_one_and_composes_rotations():
    motion = still_motion(1).added({"jawOpen": 0.7}, np.array([0, 0.4, 0]))
    more = motion.added({"jawOpen": 0.7}, np.array([0.3, 0, 0]))
    assert channel(more, "jawOpen") == 1
    expected = Rotation.from_rotvec([0.3, 0, 0]) * Rotation.from_rotvec([0, 0.4, 0])
    assert np.allclose(more.neck[0], expected.as_rotvec())


def test_expression_text_with_aliases_and_names():
    weights = parse_expression(" smile=0.8, jawOpen = 0.3,")
    assert weights == {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.3}
    assert parse_expression("") == {}


@pytest.mark.parametrize("text", ["smile", "smile=", "smile=big", "smile=1.5", "jawOpen=-0.1", "jawopen=nan", "grin=1"])
def test_wrong_expressions_name_the_part(text):
    with pytest.raises(InputError, match=text.split("=")[0]):
        parse_expression(text)


def test_head_turn_follows_the_conventions():
    left = Rotation.from_rotvec(parse_turn("30,0,0")).apply([0, 0, 1])
    down = Rotation.from_rotvec(parse_turn("0,30,0")).apply([0, 0, 1])
    tip = Rotation.from_rotvec(parse_turn("0,0,30")).apply([0, 1, 0])
    assert np.allclose(left, [0.5, 0, np.sqrt(0.75)])  # +X is the subject's left
    assert np.allclose(down, [0, -0.5, np.sqrt(0.75)])
    assert np.allclose(tip, [-0.5, np.sqrt(0.75), 0])  # to the right shoulder


@pytest.mark.parametrize("text", ["", "30", "1,2", "1,2,x", "1,2,3,4", "120,0,0", "nan,0,0"])
def test_wrong_turns_are_refused(text):
    with pytest.raises(InputError, match="head turn"):
        parse_turn(text)

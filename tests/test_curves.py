"""Files of ARKit curves: spellings of one motion agree; damage is named."""

import json
import logging

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facecraft.curves import read_motion
from facecraft.drive import ANGLE_NAMES, ARKIT_NAMES
from facecraft.errors import InputError

FRAMES = [
    {"jawOpen": 0.0, "eyeBlinkLeft": 0.25, "headYaw": 0.0},
    {"jawOpen": 0.5, "eyeBlinkLeft": 0.5, "headYaw": 0.1},
    {"jawOpen": 0.75, "eyeBlinkLeft": 0.125, "headYaw": 0.2},
]


@pytest.fixture
def warnings_of(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("facecraft"), "propagate", True)
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def write_plain(path, frames=FRAMES, fps=30):
    path.write_text(json.dumps({"fps": fps, "frames": frames}))
    return path


def write_lam(path, frames=FRAMES):
    names = ["eyeBlinkLeft", "jawOpen"]
    records = [
        {"weights": [f[n] for n in names], "time": 5 + i / 30, "rotation": [0, f["headYaw"], 0]}
        for i, f in enumerate(frames)
    ]
    path.write_text(json.dumps({"names": names, "frames": records}))
    return path


def live_link_text(frames=FRAMES, codes=None, reverse=False) -> str:
    names = [*ARKIT_NAMES, *ANGLE_NAMES]
    names = names[::-1] if reverse else names
    codes = codes or [f"23:59:58:{i:02d}.000" for i in (58, 59)] + ["23:59:59:00.000"]
    lines = ["Timecode,BlendShapeCount," + ",".join(name[0].upper() + name[1:] for name in names)]
    lines += [f"{c},61," + ",".join(str(f.get(n, 0)) for n in names) for c, f in zip(codes, frames, strict=True)]
    return "\n".join(lines) + "\n"


def write_text(path, text):
    path.write_text(text)
    return path


def same(a, b):
    return np.allclose(a.expression, b.expression) and np.allclose(a.neck, b.neck) and np.allclose(a.gaze, b.gaze)


def test_spellings_of_one_motion_agree(tmp_path):
    plain = read_motion(write_plain(tmp_path / "plain.json"))
    lam = read_motion(write_lam(tmp_path / "lam.json"))
    csv = read_motion(write_text(tmp_path / "live.csv", live_link_text()))
    mixed = read_motion(write_text(tmp_path / "mixed.csv", live_link_text(reverse=True)))
    assert plain.expression[:, ARKIT_NAMES.index("jawOpen")].tolist() == [0, 0.5, 0.75]
    assert np.allclose(plain.neck[:, 1], [0, 0.1, 0.2])
    assert all(same(plain, other) for other in (lam, csv, mixed))
    assert np.allclose(lam.times, plain.times)
    assert np.allclose(csv.times, np.arange(3) / 60)


def test_frame_rate_of_a_timecode_follows_from_its_numbers(tmp_path):
    def times(codes):
        return read_motion(write_text(tmp_path / "a.csv", live_link_text(codes=codes))).times

    assert np.allclose(times(["00:00:01:28", "00:00:01:29", "00:00:02:00"]), np.arange(3) / 30)
    assert np.allclose(times(["00:00:01:10", "00:00:01:11", "00:00:01:12"]), np.arange(3) / 60)
    assert np.allclose(times(["00:00:01:10.0", "00:00:01:10.5", "00:00:01:11.0"]), np.arange(3) / 120)
    assert np.allclose(times(["23:59:59:29", "00:00:00:00", "00:00:00:01"]), np.arange(3) / 30)


def test_rows_without_a_face_are_bridged(tmp_path):
    lines = live_link_text().splitlines()
    lines.insert(2, "23:59:58:58.500,0")
    assert len(read_motion(write_text(tmp_path / "a.csv", "\n".join(lines)))) == 3


def test_head_angles_compose_as_yaw_after_pitch_after_roll(tmp_path):
    frame = {"jawOpen": 0, "headYaw": 0.3, "headPitch": 0.2, "headRoll": 0.1}
    motion = read_motion(write_plain(tmp_path / "a.json", [frame]))
    turns = [Rotation.from_rotvec(v) for v in ([0, 0.3, 0], [0.2, 0, 0], [0, 0, 0.1])]
    assert np.allclose(motion.neck[0], (turns[0] * turns[1] * turns[2]).as_rotvec())


def test_eye_angles_count_only_without_look_channels(tmp_path):
    frame = {"jawOpen": 0, "leftEyeYaw": 0.2, "rightEyePitch": -0.1}
    angles = read_motion(write_plain(tmp_path / "a.json", [frame]))
    assert np.allclose(angles.gaze[0], [[0.2, 0], [0, -0.1]])
    both = read_motion(write_plain(tmp_path / "a.json", [frame | {"eyeLookOutLeft": 0.5}]))
    assert not both.gaze.any() and both.expression[0, ARKIT_NAMES.index("eyeLookOutLeft")] == 0.5


def test_unknown_channels_are_warned_about_once_and_missing_ones_are_zero(tmp_path, warnings_of):
    frames = [{"jawOpen": 0.1, "wiggle": 1}, {"eyeBlinkLeft": 0.2, "wiggle": 1}]
    motion = read_motion(write_plain(tmp_path / "a.json", frames))
    assert len(warnings_of()) == 1 and "wiggle" in warnings_of()[0]
    assert motion.expression[0].sum() == 0.1 and motion.expression[1].sum() == 0.2


def test_weights_beyond_the_range_are_clipped_with_a_warning(tmp_path, warnings_of):
    motion = read_motion(write_plain(tmp_path / "a.json", [{"jawOpen": 60, "eyeBlinkLeft": -0.001}]))
    assert motion.expression.max() == 1 and motion.expression.min() == 0
    assert "1 weights outside" in warnings_of()[0]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"fps": 30, "frames": [{"jawOpen": 0}, {"jawOpen": float("nan")}]}, "frame 1 has jawOpen = nan"),
        ({"fps": 30, "frames": [{"jawOpen": "wide"}]}, "frame 0 has jawOpen = 'wide'"),
        ({"fps": 30, "frames": [{"jawOpen": None}]}, "frame 0"),
        ({"fps": 30, "frames": []}, "no frames"),
        ({"fps": 30, "frames": [[0.1]]}, "no frames"),
        ({"fps": 0, "frames": [{"jawOpen": 0}]}, "fps 0"),
        ({"frames": [{"jawOpen": 0}]}, "fps None"),
        ({"fps": 30, "frames": [{"wiggle": 0}]}, "no ARKit channel"),
        ({"fps": 30, "frames": [{}]}, "no ARKit channel"),
        ([1, 2], "no frames"),
        ({"names": ["jawOpen"], "frames": [{"weights": [0.1, 0.2]}]}, "frame 0 has not 1 weights"),
        ({"names": ["jawOpen"], "frames": [{"weights": [0.1], "time": 1}, {"weights": [0.1], "time": 0}]}, "frame 1"),
        ({"names": ["jawOpen"], "frames": [{"weights": [0.1], "rotation": [1, 2]}]}, "rotation"),
        ({"names": "jawOpen", "frames": [{"weights": [0.1]}]}, "names"),
    ],
)
def test_unusable_json_is_refused_by_frame(tmp_path, data, named):
    with pytest.raises(InputError, match=named):
        read_motion(write_text(tmp_path / "a.json", json.dumps(data)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("0.75", "nan"), "line 4 has JawOpen = 'nan'"),
        (("0.75", "abc"), "line 4 has JawOpen = 'abc'"),
        (("0.75,", ""), "line 4 has 62 values for 63"),
        (("23:59:59:00.000", "noon"), "line 4 has timecode 'noon'"),
        (("23:59:59:00.000", "23:59:50:00.000"), "earlier"),
        (("Timecode", "Time"), "no column Timecode"),
    ],
)
def test_unusable_csv_is_refused_by_line(tmp_path, change, named):
    text = live_link_text()
    assert change[0] in text
    with pytest.raises(InputError, match=named):
        read_motion(write_text(tmp_path / "a.csv", text.replace(*change)))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "Timecode,JawOpen\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_files_that_hold_no_motion_are_refused(tmp_path, text, name):
    with pytest.raises(InputError, match=name):
        read_motion(write_text(tmp_path / name, text))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"a\.json"):
        read_motion(tmp_path / "a.json")

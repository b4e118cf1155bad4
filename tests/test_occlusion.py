import numpy as np
import pytest
from facecraft.stages import sample
from scipy.spatial.transform import Rotation

from facecraft.face.landmarks import find_landmarks
from facecraft.face.portrait import preprocess
from facecraft.head.fit import fit_landmarks
from facecraft.head.model import load_head
from facecraft.head.occlusion import uncover
from facecraft.head.scene import Photo

BLUE = np.array([0.15, 0.35, 0.75])


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    return preprocess(sample.main(tmp_path_factory.mktemp("sample") / "astronaut.png"), size=384)


def test_a_face_that_nothing_covers_stays_as_it_is(portrait):
    photo = Photo(portrait.image, portrait.alpha, portrait.landmarks)
    assert uncover(load_head(), photo, portrait.camera) is photo


def test_the_pose_is_found_as_if_a_side_of_the_face_were_not_covered(portrait):
    head, true = load_head(), portrait.landmarks[:, :2]
    height, width = portrait.alpha.shape
    across = np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    y, x = np.mgrid[:height, :width]
    edge = np.quantile(true @ across, 0.72)
    covered = (x * across[0] + y * across[1] > edge) & (portrait.alpha > 0.5)
    image = np.where(covered[..., None], BLUE, portrait.image).astype(np.float32)
    misled = find_landmarks(image, np.concatenate([true.min(0), true.max(0)]), 0.1).landmarks
    found = uncover(head, Photo(image, portrait.alpha, misled), portrait.camera)
    assert np.array_equal(found.image, image)
    assert 40 < len(found.hidden) < 200
    assert (true[list(found.hidden)] @ across > edge - 0.03 * height).mean() > 0.9
    fits = [
        fit_landmarks(head, landmarks, portrait.camera, hidden=hidden)
        for landmarks, hidden in ((true, ()), (misled, ()), (found.landmarks, found.hidden))
    ]
    turns = [fit.camera.T_camera_world[:3, :3] for fit in fits]
    errors = [np.degrees(Rotation.from_matrix(turn @ turns[0].T).magnitude()) for turn in turns[1:]]
    assert errors[1] < 0.6 * errors[0]


def test_hidden_landmarks_tell_nothing(portrait):
    head, hidden = load_head(), list(range(0, 478, 3))
    wrong = portrait.landmarks.copy()
    wrong[hidden] += 30
    fits = [fit_landmarks(head, points, portrait.camera, hidden=hidden) for points in (portrait.landmarks, wrong)]
    assert np.allclose(fits[0].shape, fits[1].shape, atol=0.05)

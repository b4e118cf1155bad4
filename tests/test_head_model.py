"""Facts about the interface of all heads, on the one that ships."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facecraft.errors import InputError
from facecraft.head.model import HeadModel, load_head, rotations_from_axis_angles

ARKIT_PER_SIDE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def test_rotations_are_those_of_scipy():
    vectors = np.random.default_rng(0).normal(0, 1.5, (40, 3))
    ours = rotations_from_axis_angles(torch.tensor(vectors)).numpy()
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_rotation_by_nothing_is_the_identity_with_a_finite_gradient():
    vector = torch.zeros(1, 3, requires_grad=True)
    turned = rotations_from_axis_angles(vector) @ torch.tensor([0.0, 0.0, 1.0])
    turned[0, 0].backward()
    np.testing.assert_array_equal(turned.detach().numpy(), [[0, 0, 1]])
    np.testing.assert_allclose(vector.grad.numpy(), [[0, 1, 0]], atol=1e-6)


def test_a_head_is_loaded_once():
    assert load_head("open") is load_head("open")


def test_an_unknown_head_names_the_known_one():
    with pytest.raises(InputError, match="'flome' is not known.*'open'"):
        load_head("flome")


def test_channels_are_the_52_of_arkit(head):
    assert len(head.expression_names) == len(set(head.expression_names)) == 52
    for stem in ARKIT_PER_SIDE:
        assert {f"{stem}Left", f"{stem}Right"} <= set(head.expression_names)
    assert {"jawOpen", "mouthClose", "cheekPuff", "browInnerUp", "tongueOut"} <= set(head.expression_names)


def test_expression_vector_puts_values_by_name(head):
    vector = head.expression_vector({"jawOpen": 0.5, "tongueOut": 1})
    assert vector.shape == (1, 52)
    assert vector[0, head.expression_names.index("jawOpen")] == 0.5
    assert vector.sum() == 1.5


@pytest.mark.parametrize("wrong, near", [("jawOpn", "jawOpen"), ("JAWOPEN", "jawOpen"), ("smile", "mouthSmileLeft")])
def test_a_wrong_channel_is_told_the_near_ones(head, wrong, near):
    with pytest.raises(InputError, match=f"{wrong} is not an expression channel; near names: .*{near}"):
        head.expression_vector({wrong: 1.0})


def test_a_hopeless_channel_is_told_some_names(head):
    with pytest.raises(InputError, match="use ARKit names"):
        head.expression_vector({"qqqq": 1.0})


def test_arrays_fit_together(head):
    vertices, faces = len(head.template), len(head.faces)
    assert head.faces.shape == head.faces_uv.shape == (faces, 3)
    assert head.faces.max() == vertices - 1 and head.faces_uv.max() == len(head.uvs) - 1
    assert head.face_regions.shape == (faces,) and head.vertex_regions.shape == (vertices,)
    assert head.face_regions.max() < len(head.region_names)
    assert head.skin_weights.shape == (vertices, len(head.joint_names))
    assert len(head.joint_parents) == len(head.joint_names) and head.joint_parents[0] == -1
    np.testing.assert_allclose(head.skin_weights.sum(1), 1, atol=1e-6)
    assert head.landmark_faces.shape == head.landmark_sigmas.shape == (478,)
    assert head.landmark68_vertices.shape == (68,)


def test_landmarks_are_barycentric(head):
    np.testing.assert_allclose(head.landmark_barycentrics.sum(1), 1, atol=1e-6)
    moved = head.template[None] * 2 + torch.tensor([0.1, 0.2, 0.3])
    expected = head.landmarks(head.template[None]) * 2 + torch.tensor([0.1, 0.2, 0.3])
    np.testing.assert_allclose(head.landmarks(moved), expected, atol=1e-6)


def test_landmarks_lie_where_mediapipe_has_them(head):
    points = head.landmarks(head.template[None])[0].numpy()
    nose_tip, chin, forehead, left_iris, right_iris = points[[1, 152, 10, 473, 468]]
    assert forehead[1] > left_iris[1] > nose_tip[1] > points[13, 1] > chin[1]
    assert nose_tip[2] == points[:, 2].max() or nose_tip[2] > points[:, 2].max() - 0.005
    np.testing.assert_allclose(left_iris * [-1, 1, 1], right_iris, atol=1e-5)
    np.testing.assert_allclose(left_iris[:2], head.joints[3, :2], atol=0.006)
    # eye corners and mouth corners, subject's left at +x
    assert points[263, 0] > points[362, 0] > 0 > points[133, 0] > points[33, 0]
    assert points[291, 0] > 0.015 and points[61, 0] < -0.015


def test_landmark_sigmas_are_millimetres(head):
    assert 0.3e-3 < head.landmark_sigmas.min() and head.landmark_sigmas.max() < 12e-3
    lips, oval = [13, 14, 61, 291], [10, 152, 234, 454]
    assert head.landmark_sigmas[lips].mean() < head.landmark_sigmas[oval].mean()


def test_landmark_noise_is_that_of_a_detector_with_a_mean_face(head):
    factors, sigmas = head.landmark_noise_factors.double(), head.landmark_noise_sigmas.double()
    assert factors.shape[1:] == sigmas.shape == (478, 2)
    variances = (factors**2).sum(0) + sigmas**2
    # most of an error is shared with other landmarks; alone it is millimetres, as the held-out medians are
    assert (factors**2).sum() > 0.8 * variances.sum() and sigmas.min() > 0
    radii = variances.sum(1).sqrt()
    assert np.corrcoef(radii, head.landmark_sigmas)[0, 1] > 0.5
    assert 0.8 < (1.18 * head.landmark_sigmas / radii.float()).median() < 1.6

    def correlation(a, b):
        pairs = (factors[:, a] * factors[:, b]).sum(0) + (sigmas[a] ** 2 if a == b else 0)
        return (pairs / (variances[a] * variances[b]).sqrt()).min()

    # neighbours on the chin err together, the chin and an eye corner do not
    assert correlation(152, 148) > 0.7 and correlation(152, 33).abs() < 0.6


def test_to_gives_a_copy_of_another_type_and_itself_otherwise(head):
    double = head.to(dtype=torch.float64)
    assert head.to("cpu") is head
    assert double.template.dtype == torch.float64 and head.template.dtype == torch.float32
    assert double.faces.dtype == torch.int64
    np.testing.assert_allclose(double.vertices(), head.vertices(), atol=1e-6)

from dataclasses import replace

import numpy as np
import pytest
from photographed_head import photograph
from scipy.spatial import procrustes
from test_fit import rotation_between_deg
from test_head_recipe import recipe

from facecraft.errors import InputError
from facecraft.head.albedo import eye_angles, load_skin
from facecraft.head.contour import measure_matte, outline_residuals
from facecraft.head.fit import LandmarkProblem, fit_landmarks, pose_vertices
from facecraft.head.model import load_head
from facecraft.head.noise import landmark_noise
from facecraft.head.photometric import fit_photo
from facecraft.head.shading import appear, colour_jacobian, differentiate, harmonic_slopes, surface_points
from facecraft.image import to_bytes
from facecraft.mesh.light import harmonics


def test_slopes_of_the_harmonics_are_their_derivatives():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(20, 3))
    for axis, step in enumerate(1e-5 * np.eye(3)):
        numeric = (harmonics(normals + step) - harmonics(normals - step)) / 2e-5
        np.testing.assert_allclose(harmonic_slopes(normals)[..., axis], numeric, atol=1e-6)


def test_colours_change_as_their_jacobian_says():
    true = photograph(15)
    head = true.head
    skin = load_skin(head)
    points = surface_points(head, skin, 48)
    problem = LandmarkProblem(head, true.landmarks, true.camera)
    start = problem.start()
    code = start.code.copy()
    code[: head.shape_count] = 0.3 * np.random.default_rng(1).standard_normal(head.shape_count)
    for channel in ("jawOpen", "mouthSmileLeft"):  # at 0 they would stop at their bound
        code[head.shape_count + head.expression_names.index(channel)] = 0.3
    light = np.zeros((9, 3))
    light[[0, 3]] = [[0.7], [0.2]]
    # a smooth picture: differences of bilinear samples are then differences of the picture
    y, x = np.mgrid[:320, :320] / 50
    picture = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], 2)
    dy, dx = np.gradient(picture, axis=(0, 1))
    picture = np.concatenate([picture, dx, dy], 2)

    def view(state, tone, light):
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = state.rotation, state.translation
        shape, expression, gaze = np.split(state.code, [head.shape_count, head.shape_count + 52])
        vertices = pose_vertices(head, shape, expression, gaze.reshape(2, 2))
        camera = replace(true.camera, T_camera_world=T)
        return vertices, appear(head, points, vertices, camera, picture, np.ones((320, 320)), light, tone)

    state = replace(start, code=code)
    tone = np.zeros(skin.count)
    vertices, look = view(state, tone, light)
    arms = points.interpolate(vertices, head.faces.numpy()) @ state.rotation.T
    project = problem.projection(arms + state.translation)
    J = colour_jacobian(look, points, differentiate(head, points, code), state.rotation, arms, project, light)
    names = {"turn": 1, "move": 5, "shape": 6, "jaw": 106 + head.expression_names.index("jawOpen")}
    names |= {"smile": 106 + head.expression_names.index("mouthSmileLeft"), "gaze": 158, "tone": 162, "light": -26}
    seen = look.visible > 0.5
    for name, column in names.items():
        step = np.zeros(J.shape[2])
        step[column] = 1e-3 if column in (1, 5) else 0.02
        sides = []
        for sign in (1, -1):
            moved = problem.step(state, sign * step[:162])
            _, there = view(moved, sign * step[162:-27], light + sign * step[-27:].reshape(9, 3))
            sides.append(there.expected - there.seen)
        numeric = ((sides[0] - sides[1]) / (2 * step[column]))[seen].ravel()
        slope = J[seen][:, :, column].ravel()
        assert np.corrcoef(slope, numeric)[0, 1] > 0.99, name
        assert abs(slope @ numeric / (slope @ slope) - 1) < 0.08, name


def test_the_outline_pulls_a_head_out_of_the_background_and_leaves_one_inside_hair():
    true = photograph(0, hair=False)
    bare, faces = true.vertices, true.head
    matte = measure_matte(true.alpha)
    _, exact, _ = outline_residuals(faces, bare, true.camera, matte)
    ids, wide, slopes = outline_residuals(faces, bare * [1.06, 1, 1], true.camera, matte)
    assert (wide**2).sum() > 4 * (exact**2).sum()
    outside = wide < -0.5
    towards_middle = np.sign(-true.camera.project(bare)[ids, 0] + true.camera.width / 2)
    assert (np.sign(slopes[outside, 0]) == towards_middle[outside]).mean() > 0.8
    haired = photograph(0)
    scalp = faces.vertex_regions.numpy() == faces.region_names.index("scalp_neck")
    ids, gaps, _ = outline_residuals(faces, bare, haired.camera, measure_matte(haired.alpha))
    above = scalp[ids] & (faces.template.numpy()[ids, 1] > 0.05)
    assert above.any() and (gaps[above] == 0).all()


def test_noise_of_landmarks_equals_the_dense_covariance():
    head = photograph(0).head
    noise = landmark_noise(head, 1000.0, 0.2, 2e-3, np.zeros(0, int))
    rng = np.random.default_rng(0)
    residuals, J = 0.3 * rng.standard_normal((478, 2)), rng.standard_normal((956, 4))
    hessian, gradient = noise.normal_equations(J, residuals)
    inverse = np.linalg.inv(noise.factors.T @ noise.factors + np.diag(1 / noise.precisions))
    np.testing.assert_allclose(hessian, J.T @ inverse @ J, rtol=1e-6)
    np.testing.assert_allclose(gradient, J.T @ inverse @ residuals.ravel(), rtol=1e-6, atol=1e-9)
    assert noise.energy(residuals) == pytest.approx(0.5 * residuals.ravel() @ inverse @ residuals.ravel(), rel=1e-6)


def test_colours_mend_landmarks_of_another_face():
    """Landmarks err as the detector's own face would; the picture's colours bring pose and shape back."""
    synthetic = recipe("synthetic_photo")
    head, rng = load_head(), np.random.default_rng(3)
    photo = synthetic.photograph(head, synthetic.random_person(head, rng, 256), rng, 320)
    corners = photo.vertices[head.faces[head.landmark_faces].numpy()]
    points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics.double().numpy())
    factors = head.landmark_noise_factors.double().numpy()
    scale = photo.camera.fx / np.linalg.norm(photo.camera.centre)
    landmarks = photo.camera.project(points)[:, :2] + scale * np.tensordot(
        rng.standard_normal(len(factors)), factors, 1
    )
    start = fit_landmarks(head, landmarks, photo.camera)
    fit = fit_photo(head, start, landmarks, photo.image, photo.alpha, "draft")
    assert rotation_between_deg(fit.camera, photo.camera) < 0.8 * rotation_between_deg(start.camera, photo.camera)
    face = (head.vertex_regions.numpy() == 0) & (head.template.numpy()[:, 2] > -0.06)
    errors = []
    for found in (start, fit):
        vertices = pose_vertices(head, found.shape, np.zeros(52), np.zeros((2, 2)))
        errors.append(procrustes(photo.neutral[face], vertices[face])[2])
    assert errors[1] < 0.75 * errors[0]  # squared distances
    assert fit.expression.min() >= 0 and fit.expression.max() <= 1
    assert fit.camera.fx == photo.camera.fx


def test_skin_is_of_the_heads_layout_and_eyes_are_dark_in_the_middle(tmp_path):
    head = photograph(0).head
    skin = load_skin(head)
    mean, modes = skin.of_eyes(np.array([0.0, 0.3, 1.0]))
    assert mean[0].mean() < mean[1].mean() < mean[2].mean()
    assert modes.shape == (skin.count, 3, 3)
    eye = head.template.double().numpy()[head.eyeball_left.numpy()]
    front = eye[eye_angles(head, eye, 0).argmin()]
    assert front[2] == pytest.approx(eye[:, 2].max(), abs=1e-3)
    assert to_bytes(np.clip(skin.mean, 0, 1)).std() > 5
    damaged = tmp_path / "skin.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as a skin model"):
        load_skin(head, damaged)

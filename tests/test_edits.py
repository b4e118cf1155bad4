"""Facts about named edits of identity: on the head, on an avatar, on the command line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from facecraft.stages import render
from PIL import Image
from region_avatar import region_avatar

from facecraft.camera import Camera, orbit_camera
from facecraft.errors import InputError
from facecraft.head.model import load_head
from facecraft.mesh.raster import rasterize_mesh
from facecraft.shots import parse_edits
from facecraft.workspace import Workspace

BODY = ("age", "child", "sex", "weight", "muscle")
# iBUG landmarks whose distance an edit makes longer
LONGER = {
    "noseLength": (27, 30),
    "noseWidth": (31, 35),
    "mouthWidth": (48, 54),
    "eyeSize": (42, 45),
    "eyeSpacing": (39, 42),
    "eyeOpening": (43, 47),
    "upperLip": (51, 62),
    "lowerLip": (66, 57),
    "jawWidth": (4, 12),
    "cheekFullness": (3, 13),
    "chinWidth": (7, 9),
    "chinHeight": (8, 57),
    "headWidth": (0, 16),
}


@pytest.fixture(scope="module")
def head():
    return load_head()


def edited(head, **values):
    """Neutral vertices [V, 3] mm of the mean head under edits."""
    shape, offsets = head.edit(values)
    return 1e3 * (head.shaped(shape)[0] + offsets)[0]


def moved(head, **values):
    return (edited(head, **values) - 1e3 * head.template).norm(dim=1)


def test_edits_are_named_and_fit_the_head(head):
    assert 15 <= len(head.edit_names) == len(set(head.edit_names)) <= 40
    assert set(BODY) <= set(head.edit_names) and set(LONGER) <= set(head.edit_names)
    assert head.edit_shapes.shape == (len(head.edit_names), head.shape_count)
    assert head.edit_offsets.shape == (len(head.edit_names), *head.template.shape)
    assert tuple(head.metadata["edit_names"]) == head.edit_names


def test_nothing_changes_nothing(head):
    shape, offsets = head.edit({})
    assert shape.shape == (1, head.shape_count) and not shape.any() and not offsets.any()
    assert not any(part.any() for part in head.edit({"age": 0.0}))


def test_edits_add_up(head):
    both = head.edit({"age": 0.5, "noseWidth": -0.3})
    for k in range(2):
        np.testing.assert_allclose(head.edit({"age": 0.5})[k] + head.edit({"noseWidth": -0.3})[k], both[k], atol=1e-6)


@pytest.mark.parametrize("name", LONGER)
def test_an_edit_does_what_its_name_says(head, name):
    a, b = head.landmark68_vertices[list(LONGER[name])]
    lengths = [float((v[a] - v[b]).norm()) for v in (edited(head, **{name: amount}) for amount in (-0.5, 0, 0.5))]
    assert lengths[2] - lengths[1] > 0.01 * lengths[1]
    assert lengths[1] - lengths[0] == pytest.approx(lengths[2] - lengths[1], rel=0.25)


def test_children_have_smaller_heads_and_old_faces_sag(head):
    face = head.vertex_regions == head.region_names.index("face")

    def height(vertices):
        return float(vertices[face, 1].max() - vertices[face, 1].min())

    assert 0.75 < height(edited(head, child=1)) / height(edited(head)) < 0.95
    jowls, brows = head.landmark68_vertices[[4, 12]], head.landmark68_vertices[[19, 24]]
    aged = edited(head, age=1.0) - edited(head)
    assert aged[jowls, 1].max() < aged[brows, 1].min() - 1.5
    assert moved(head, weight=1.0)[face].mean() > 1


def test_a_heavier_neck_is_wider(head):
    ring = (head.template[:, 1] + 0.11).abs() < 0.01
    assert edited(head, neckWidth=1)[ring, 0].max() > 1.1 * edited(head)[ring, 0].max()


@pytest.mark.parametrize("name", ["upperLip", "lowerLip", "eyeSize", "eyeOpening", "noseTip", "noseHump"])
def test_small_parts_move_alone(head, name):
    distance = moved(head, **{name: 1.0})
    part = int(distance.argmax())
    folded = torch.stack([head.template, head.template * torch.tensor([-1.0, 1, 1])])
    far = (folded - head.template[part]).norm(dim=2).amin(0) > 0.09
    assert distance.max() > 1.5 and distance[far].mean() < 0.25
    assert distance[far].max() < 0.3 * distance.max()


def test_edits_have_no_side(head):
    flip = torch.tensor([-1.0, 1.0, 1.0])
    skin = head.vertex_regions == head.region_names.index("face")
    for name in head.edit_names:
        vertices = edited(head, **{name: 1.0})
        gaps = (vertices[head.mirror] * flip - vertices).norm(dim=1)
        # modes are rounded and not quite symmetric, and teeth have no offsets to mend that
        assert gaps[skin].max() < 0.1 and gaps.max() < 0.5, name


def test_an_unknown_edit_is_told_all_names(head):
    with pytest.raises(InputError, match="wisdom is not an edit of the open head; use age, .*neckWidth"):
        head.edit({"wisdom": 1.0})


def test_gradients_reach_the_vertices_of_an_edited_head(head):
    shape, offsets = head.edit({"age": 0.4})
    leaf = shape.clone().requires_grad_()
    head.vertices(leaf, offsets=offsets).square().sum().backward()
    assert leaf.grad.isfinite().all() and leaf.grad.abs().max() > 0


@pytest.mark.parametrize(
    "values", [{"age": 1.0}, {"eyeSize": 1.0}, {"eyeSpacing": 1.0, "eyeOpening": 0.5}, {"child": 1.0}]
)
def test_edited_eyes_still_close(head, values):
    shape, offsets = head.edit(values)
    camera = orbit_camera(Camera(600, 300, 1500, 1500, 300, 150), 0, 0, np.zeros(3), 0.5)
    eyes = [head.region_names.index(name) for name in ("eyeball_L", "eyeball_R")]
    counts = []
    for amount in (0.0, 1.0):
        blink = head.expression_vector({"eyeBlinkLeft": amount, "eyeBlinkRight": amount})
        vertices = head.vertices(shape, blink, offsets=offsets)[0].double().numpy()
        ids = rasterize_mesh(camera.project(vertices), head.faces.numpy(), 300, 600).face_ids
        counts.append(int(np.isin(head.face_regions.numpy()[ids[ids >= 0]], eyes).sum()))
    assert counts[0] > 500 and counts[1] <= 0.05 * counts[0]


def test_an_avatar_goes_there_and_back():
    avatar = region_avatar()
    there = avatar.edited({"age": 0.6, "jawWidth": -0.4})
    assert (there.vertices() - avatar.vertices()).norm(dim=1).max() > 5e-3
    back = there.edited({"age": -0.6, "jawWidth": 0.4})
    np.testing.assert_allclose(back.shape, avatar.shape, atol=1e-5)
    np.testing.assert_allclose(back.offsets, avatar.offsets, atol=1e-7)
    np.testing.assert_allclose(back.pose().means, avatar.pose().means, atol=1e-6)


def test_gaussians_ride_on_the_edited_mesh_and_keep_their_colours():
    avatar = region_avatar()
    there = avatar.edited({"noseLength": 1.0})
    corners = there.vertices()[there.head.faces[there.binding]]
    np.testing.assert_allclose(there.pose().means, corners.mean(1), atol=1e-5)
    assert there.gaussians is avatar.gaussians


def test_an_avatar_of_few_modes_can_be_edited():
    avatar = replace(region_avatar(), shape=torch.ones(7))
    change = avatar.head.edit({"sex": 0.5})[0][0]
    shape = avatar.edited({"sex": 0.5}).shape
    np.testing.assert_allclose(shape[:7], 1 + change[:7])
    np.testing.assert_allclose(shape[7:], change[7:])


def test_edits_are_read_with_signs():
    assert parse_edits(" age=+0.3, weight=-0.2 ,") == {"age": 0.3, "weight": -0.2}
    assert parse_edits("") == {}


@pytest.mark.parametrize("text", ["age", "age=", "age=old", "age=3", "age=nan", "age=-2.5"])
def test_an_edit_needs_an_amount(text):
    with pytest.raises(InputError, match=r"has no amount in \[-2, 2\]; write for example age=\+0.3"):
        parse_edits(text)


def test_render_shows_the_edit_and_records_it(subject):
    def pixels(path):
        with Image.open(path) as picture:
            return np.asarray(picture, int)

    plain = pixels(render.main(subject, camera="source", size=64))
    wide = pixels(render.main(subject, camera="source", size=64, edit="headWidth=1"))
    assert (wide < 250).any(2).sum() > 1.05 * (plain < 250).any(2).sum()
    same = pixels(render.main(subject, camera="source", size=64, edit="headWidth=0"))
    np.testing.assert_array_equal(same, plain)
    (record,) = (r for r in Workspace.open(subject).records().values() if r["stage"] == "render")
    assert record["options"]["edit"] == "headWidth=0"


def test_render_refuses_what_is_not_an_edit(subject):
    with pytest.raises(InputError, match="beauty is not an edit of the open head; use age"):
        render.main(subject, edit="beauty=1")

import numpy as np
from photographed_head import photograph

from facecraft.head.fitted import FittedHead
from facecraft.prior.texture import EXPRESSIONS, PHOTO_WEIGHT, express, orbit_cameras, surround


def fitted_head(true):
    return FittedHead(
        true.head,
        true.camera,
        true.shape,
        true.expression,
        np.zeros((2, 2)),
        true.offsets,
        true.texture,
        np.zeros(478),
    )


def test_photo_first_then_an_orbit_that_shows_the_whole_head():
    true = photograph(0)
    views = surround(fitted_head(true), true.image, true.alpha, 8, 96)
    assert views[0].kind == "photo" and views[0].weight == PHOTO_WEIGHT and views[0].rgb is true.image
    assert {view.kind for view in views[1:]} == {"texture"} and len(views) == 1 + 8 + 13
    for view in views[1:]:
        border = np.concatenate([view.alpha[0], view.alpha[-1], view.alpha[:, 0], view.alpha[:, -1]])
        assert border.max() == 0
        assert view.alpha.max() == 1 and (view.depth[view.alpha > 0.99] > 0.5).all()


def test_views_of_seen_sides_count_more():
    true = photograph(0)
    views = surround(fitted_head(true), true.image, true.alpha, 8, 96)
    assert all(0.5 <= view.weight <= 1 for view in views[1:])


def test_depth_agrees_with_the_geometry_from_every_side():
    true = photograph(0)
    fitted = fitted_head(true)
    vertices = fitted.vertices()
    cameras = orbit_cameras(fitted, vertices, 8, 96)
    for camera, view in zip(cameras, surround(fitted, true.image, true.alpha, 8, 96)[1:], strict=True):
        inside = view.alpha > 0.99
        rows, columns = np.nonzero(inside)
        points = camera.unproject(np.stack([columns + 0.5, rows + 0.5], 1), view.depth[inside])
        low, high = vertices.min(0) - 0.01, vertices.max(0) + 0.01
        assert ((points > low) & (points < high)).all()


def test_expression_views_show_the_face_with_its_lids_shut_and_its_mouth_open():
    true = photograph(0)
    views = express(fitted_head(true), 96)
    assert [view.expression for view in views[:: len(views) // len(EXPRESSIONS)]] == list(EXPRESSIONS)
    shut, half = views[1], views[4]
    assert shut.expression["eyeBlinkLeft"] == 1 and half.expression == {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5}
    changed = np.abs(shut.rgb - half.rgb).max(2) > 0.03
    rows, _ = np.nonzero(changed)
    assert changed.sum() > 20 and rows.max() < 48  # the eyes are in the upper half of a picture of the face

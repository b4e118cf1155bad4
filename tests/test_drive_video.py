"""Driven views: still where nothing moves, the new face where it does, the same moment in all views, readable by training."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from facecraft.stages import drive_video

from facecraft.camera import Camera, orbit_camera
from facecraft.drive import ARKIT_NAMES, Motion, built_in_motion, still_motion
from facecraft.face.portrait import Source
from facecraft.frames import load_frames
from facecraft.head.fit import pose_vertices
from facecraft.head.fitted import FittedHead
from facecraft.head.lidpaint import draw_lashes, shut_shares
from facecraft.head.lids import LID_RIMS, lash_tones
from facecraft.head.model import landmark_points, load_head
from facecraft.head.texture import Texture, render_textured
from facecraft.prior.drive import choose_moments, drive_views, frontal_views, perform_before_camera
from facecraft.prior.mouth import clean_mouth, close_slit, shade_mouth
from facecraft.prior.warp import EYES, SKIN, TEETH, Warp
from facecraft.views import View, save_views
from facecraft.workspace import Workspace

LIKE = Camera(96, 96, 300.0, 300.0, 48.0, 48.0)
NO_GAZE = np.zeros((2, 2))


def weights(**channels: float) -> np.ndarray:
    return load_head().expression_vector(channels)[0].numpy()


@pytest.fixture(scope="module")
def fitted() -> FittedHead:
    """A head whose texture is smooth on the skin, so that a warp and a render must agree."""
    head = load_head()
    rows, columns = np.mgrid[:256, :256] / 256
    albedo = np.stack([0.5 + 0.3 * rows, 0.4 + 0.3 * columns, np.full_like(rows, 0.4)], 2).astype(np.float32)
    texture = Texture(albedo, np.ones((256, 256), np.float32), np.eye(9)[0])
    camera = orbit_camera(LIKE, 0, 0, np.array([0, -0.02, 0.0]), 0.9)
    zeros = (np.zeros(head.shape_count), np.zeros(52), NO_GAZE, np.zeros(head.template.shape))
    return FittedHead(head, camera, *zeros, texture, np.zeros(478))


def look(fitted: FittedHead, camera: Camera, vertices: np.ndarray) -> View:
    rgb, alpha, depth, _ = render_textured(fitted.head, vertices, fitted.texture, camera)
    return View(camera, rgb, alpha, depth, "texture")


def views_of(fitted: FittedHead) -> list[View]:
    azimuths = (0, 180, 30, -30, 90)
    return [look(fitted, orbit_camera(LIKE, a, 0, np.array([0, -0.02, 0.0]), 0.9), fitted.vertices()) for a in azimuths]


def test_the_same_face_is_the_same_picture(fitted):
    view = views_of(fitted)[0]
    driven = Warp(fitted, view, fitted.vertices())(fitted.vertices())
    assert np.abs(driven[..., 3] - view.alpha).mean() < 0.01
    inside = view.alpha > 0.99
    assert np.abs(driven[..., :3] - view.rgb)[inside].mean() < 0.006


@pytest.mark.parametrize(
    "channels", [{"jawOpen": 0.7}, {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, {"mouthPucker": 1, "browInnerUp": 1}]
)
@pytest.mark.parametrize("number", [0, 2])
def test_a_driven_picture_is_that_of_the_driven_head(fitted, channels, number):
    fitted = clean_mouth(fitted)
    view = views_of(fitted)[number]
    vertices = pose_vertices(fitted.head, fitted.shape, weights(**channels), NO_GAZE)
    driven, truth = Warp(fitted, view, fitted.vertices())(vertices), look(fitted, view.camera, vertices)
    changed = np.abs(truth.rgb - view.rgb).max(2) > 0.03
    assert changed.sum() > 5
    off = np.abs(driven[..., :3] * driven[..., 3:] - truth.rgb * truth.alpha[..., None])
    left = np.abs(view.rgb * view.alpha[..., None] - truth.rgb * truth.alpha[..., None])
    assert off[changed].mean() < 0.4 * left[changed].mean()
    assert off.mean() < 0.01


@pytest.mark.parametrize("slip_px", [0, 3])  # of the eyes in the photo against those of the mesh
def test_lids_that_shut_hide_what_the_photo_shows_of_eyes_and_lashes(fitted, slip_px):
    """White eyes and black rims in the photo: shut lids have neither, but for the line along which they meet."""
    view = views_of(fitted)[0]
    warp = Warp(fitted, view, fitted.vertices())
    inner = warp.before.mask & (warp.groups[warp.before.face_ids] == EYES)
    rim = cv2.dilate(inner.astype(np.uint8), np.ones((5, 5))).astype(bool)
    fine = cv2.resize(view.rgb, inner.shape[::-1], interpolation=cv2.INTER_NEAREST)
    fine[np.roll(rim, slip_px, 0)], fine[np.roll(inner, slip_px, 0)] = 0.0, 1.0
    rgb = cv2.resize(fine, view.alpha.shape[::-1], interpolation=cv2.INTER_AREA)
    vertices = pose_vertices(fitted.head, fitted.shape, weights(eyeBlinkLeft=1, eyeBlinkRight=1), NO_GAZE)
    shut = Warp(fitted, replace(view, rgb=rgb), fitted.vertices())(vertices)
    eyes = cv2.resize(inner.astype(np.float32), view.alpha.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    lid = np.median(look(fitted, view.camera, vertices).rgb[eyes], 0)
    assert eyes.sum() > 8 and (shut[eyes, :3] < lid + 0.12).all()
    assert (shut[eyes, :3] > lid - 0.25).mean() > 0.5


def test_lashes_come_down_with_the_lid_and_are_as_dark_as_in_the_photo(fitted):
    warp = Warp(fitted, views_of(fitted)[0], fitted.vertices())
    still, size = landmark_points(warp.fitted.head, fitted.vertices()), (warp.camera.height, warp.camera.width)
    assert (shut_shares(still, still) == 0).all()
    heights = []
    for blink in (0.5, 1.0):
        vertices = pose_vertices(fitted.head, fitted.shape, weights(eyeBlinkLeft=blink), NO_GAZE)
        points = landmark_points(warp.fitted.head, vertices)
        shut = shut_shares(points, still)
        assert shut[0] == 0 and abs(shut[1] - blink) < 0.25
        dark = draw_lashes(warp.camera.project(points)[:, :2], shut, np.array([0.3, 0.3]), size, warp.px_per_m)
        assert dark.min() < 0.6 and dark.max() == 1
        assert (dark[:, : size[1] // 2] == 1).all()  # the right eye, on the left, stays open
        heights.append(dark.argmin() // size[1])
    assert heights[0] < heights[1]
    picture = np.full((64, 64, 3), 0.8)
    rim = np.array(LID_RIMS[0][0])
    pixels = np.full((478, 2), 32.0)
    pixels[rim] = np.column_stack([np.linspace(16, 48, 9), np.full(9, 40.0)])
    picture[39:42] *= 0.3
    assert np.allclose(lash_tones(picture, pixels, 1000.0)[0], 0.3, atol=0.02)


def test_teeth_beside_lips_do_not_take_their_colour(fitted):
    """A photo of shut red lips, whose mesh leaves a slit: teeth that show later are not red."""
    near = replace(fitted, camera=orbit_camera(replace(LIKE, fx=90, fy=90), 0, 0, np.array([0, -0.07, 0.02]), 0.25))
    ajar = pose_vertices(near.head, near.shape, weights(jawOpen=0.03), NO_GAZE)
    view = look(near, near.camera, ajar)
    red = replace(view, rgb=np.broadcast_to(np.float32([0.8, 0.1, 0.1]), view.rgb.shape).copy())
    warp = Warp(near, red, ajar)
    assert warp._shows(warp.before, TEETH).any()
    smile = weights(jawOpen=0.2, mouthUpperUpLeft=1, mouthUpperUpRight=1)
    vertices = pose_vertices(near.head, near.shape, smile, NO_GAZE)
    teeth = cv2.resize(warp._shows(warp._rasterize(vertices), TEETH).astype(np.float32), view.alpha.shape[::-1])
    shown = warp(vertices)[teeth > 0.99, :3]
    assert len(shown) > 20 and np.median(shown[:, 1] / shown[:, 0]) > 0.7


def test_hair_over_the_forehead_stays_when_brows_rise(fitted):
    """Dark hair down to the brows, bright skin below; without hair, or with hair like skin, there is no fringe."""
    warp = Warp(fitted, views_of(fitted)[0], fitted.vertices())
    places = warp.before.interpolate(fitted.head.template.double().numpy(), fitted.head.faces.numpy())
    high = cv2.resize(np.float32(places[..., 1] > 0.03), warp.view.alpha.shape[::-1], interpolation=cv2.INTER_AREA)
    vertices = pose_vertices(fitted.head, fitted.shape, weights(browInnerUp=1, browOuterUpLeft=1), NO_GAZE)
    skin, driven = np.float32([0.8, 0.6, 0.5]), []
    for hair in ([0.2, 0.15, 0.1], [0.78, 0.58, 0.49]):
        rgb = high[..., None] * np.float32(hair) + (1 - high[..., None]) * skin
        own = Warp(fitted, replace(warp.view, rgb=rgb), fitted.vertices())
        driven.append((own.fringe, own(vertices)[..., :3] - rgb))
    face = cv2.resize(np.float32(warp._shows(warp.before, SKIN)), high.shape[::-1]) > 0.99
    hung = face & (high == 1) & (cv2.resize(driven[0][0], high.shape[::-1]) > 0.95)
    assert hung.sum() > 20 and np.abs(driven[0][1][hung]).max() < 0.04
    low = warp._shows(warp.before, SKIN) & (places[..., 1] < 0.02)
    assert driven[0][0][low].max() < 0.05 and driven[1][0].max() == 0


def test_a_mouth_that_hardly_opens_shows_a_dark_line_and_an_open_one_what_is_inside():
    picture = np.full((60, 60, 3), 0.9)
    for half_px, low, high in ((1, 0.2, 0.6), (12, 0.89, 0.9)):
        inside = np.zeros((60, 60), bool)
        inside[30 - half_px : 30 + half_px, 10:50] = True
        teeth, tongue = (close_slit(picture, inside, upper, ~inside, 2000.0) for upper in (inside, ~inside))
        assert low < teeth[30, 30].mean() <= high and tongue[30, 30].mean() <= teeth[30, 30].mean()
        assert np.array_equal(teeth[~inside], picture[~inside])


def test_gaps_between_teeth_are_closed_and_a_missing_row_is_not():
    teeth, lips = np.zeros((60, 90), bool), np.zeros((60, 90), bool)
    lips[:10] = teeth[10:30] = True
    teeth[10:30, 44:46] = False
    painted = np.where(teeth[..., None], 0.8, 0.05) * np.ones(3)
    shown = shade_mouth(painted, teeth, lips, 2000.0)
    assert shown[25, 44].mean() > 0.3 and (shown[40:] == painted[40:]).all()


def test_the_line_between_lips_that_touch_belongs_to_the_lips(fitted):
    """It is dark in a photo, and stays so; the rim of an open mouth has the colours of teeth."""
    near = replace(fitted, camera=orbit_camera(LIKE, 0, 0, np.array([0, -0.05, 0.05]), 0.25))
    warp = Warp(near, look(near, near.camera, near.vertices()), near.vertices())
    rims = {}
    for opening in (0.02, 0.3):
        vertices = pose_vertices(near.head, near.shape, weights(jawOpen=opening), NO_GAZE)
        lips = near.head.landmarks(torch.as_tensor(vertices).float()[None])[0, [13, 14]].mean(0).double().numpy()
        x, y = warp.camera.project(lips[None])[0, :2].astype(int)
        buffers = warp._rasterize(vertices)
        assert (warp.groups[buffers.face_ids[y - 3 : y + 4, x]] != SKIN).any()
        rims[opening] = warp._rim(buffers)[y, x]
    assert rims[0.3] < 1 and rims[0.02] > 5


def test_a_driver_at_rest_looks_where_the_photo_looks(fitted):
    """And so do the lids: a look up has lifted them, so the whole face is as it was."""
    photo = weights(eyeLookOutLeft=0.2, eyeLookUpRight=0.9, browInnerUp=0.4)
    aside = replace(fitted, gaze=np.full((2, 2), 0.1), expression=photo)
    pose, gaze = perform_before_camera(aside, still_motion(2), np.array([1]))
    assert np.allclose(pose[0], photo, atol=1e-6) and np.allclose(gaze[0], 0.1)
    back = still_motion(2)
    back.expression[:, ARKIT_NAMES.index("eyeLookInLeft")] = 0.5
    turned, _ = perform_before_camera(aside, back, np.array([1]))
    angles = aside.head.look_angles.numpy()
    assert (turned - pose)[0] @ angles == pytest.approx(weights(eyeLookInLeft=0.5) @ angles)


def test_the_photo_comes_first_then_what_is_nearest_to_the_front(fitted):
    assert frontal_views(views_of(fitted), 3) in ([0, 2, 3], [0, 3, 2])
    assert frontal_views(views_of(fitted), 99)[-1] == 1


def test_moments_differ_and_a_motion_that_stands_still_has_one():
    head, motion = load_head(), built_in_motion("expressions", 10)
    moments = choose_moments(head, motion, 8)
    assert len(moments) == 8 and (np.diff(moments) > 0).all()
    assert motion.expression[moments, ARKIT_NAMES.index("jawOpen")].max() > 0.55
    assert len(choose_moments(head, still_motion(20), 8)) == 1


def test_frames_are_synchronous_and_training_reads_them(fitted, tmp_path):
    talk = built_in_motion("talking", 5)
    motion = Motion(talk.expression[:9], talk.neck[:9], talk.gaze[:9], talk.times[:9])
    drive_views(lambda name: _made(tmp_path / name), fitted, views_of(fitted), motion, 3, 4)
    frames = load_frames(Workspace(tmp_path), fitted.head)
    assert frames.cameras == 3 and len(frames.entries) == 12
    moments = choose_moments(fitted.head, motion, 4)
    found, given = frames.poses.expression.numpy(), motion.expression_for(fitted.head.expression_names)[moments]
    found[:, fitted.head.expression_names.index("mouthClose")] = 0  # lips that meet
    assert np.allclose(found, given, atol=1e-6)
    assert not frames.poses.neck.any() and not frames.poses.rotation.any()


def _made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_the_stage_names_what_is_missing_and_runs_once(fitted, tmp_path):
    views = views_of(fitted)
    photo = replace(views[0], kind="photo")
    with Workspace.create(tmp_path / "a.ws").stage("fit-3dmm", (), {}) as run:
        fitted.save(run, [Source(photo.rgb, photo.alpha, np.zeros((478, 3)), photo.camera, {})])
    with pytest.raises(Exception, match="enhance-views"):
        drive_video.main(tmp_path / "a.ws")
    with Workspace.open(tmp_path / "a.ws").stage("enhance-views", (), {}) as run:
        save_views(run, "views/enhanced", [photo, *views[1:]])
    folder = drive_video.main(tmp_path / "a.ws", motion="expressions", views=2, moments=3, fps=5)
    assert sorted(p.name for p in (folder / "images").glob("*.png")) == [
        f"0000{t}_0{c}.png" for t in range(3) for c in range(2)
    ]
    made = (folder / "transforms.json").stat().st_mtime_ns
    drive_video.main(tmp_path / "a.ws", motion="expressions", views=2, moments=3, fps=5)
    assert (folder / "transforms.json").stat().st_mtime_ns == made

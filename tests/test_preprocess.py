"""preprocess and sample: what they write, what they refuse, and that the same photo gives the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
from facecraft.stages import preprocess, sample
from PIL import ExifTags, Image
from scipy import ndimage
from skimage import data

from facecraft.camera import read_frames
from facecraft.errors import InputError, WorkspaceError
from facecraft.face.landmarks import Face
from facecraft.face.photos import load_sources
from facecraft.face.portrait import CROP_SIDE, LARGEST_CROP_SIDE, crop_side, load_source, measure_sharpness
from facecraft.image import read_picture
from facecraft.workspace import Workspace

PORTRAITS = Path(__file__).parents[2] / "shared" / "data" / "portraits"
FILES = ("images/00000_00.png", "fg_masks/00000_00.png", "landmarks.npz", "transforms.json", "report.json")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return sample.main(tmp_path_factory.mktemp("photo") / "astronaut.png")


@pytest.fixture(scope="module")
def workspace(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("astronaut") / "a.ws"
    assert preprocess.main([photo], path) == path / "source"
    return Workspace.open(path)


def test_sample_is_the_astronaut_and_says_whose_it_is(photo):
    with Image.open(photo) as image:
        assert (np.asarray(image) == data.astronaut()).all()
        assert "NASA" in image.text["Source"]
        assert "public domain" in image.text["Copyright"]


def test_sample_does_not_overwrite(tmp_path):
    path = tmp_path / "mine.png"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        sample.main(path)
    assert path.read_bytes() == b"mine"
    sample.main(path, force=True)
    assert path.stat().st_size > 100_000
    with pytest.raises(InputError, match=".png"):
        sample.main(tmp_path / "mine.jpg")


def test_everything_is_written(workspace):
    assert sorted(workspace.files("source")) == sorted(f"source/{name}" for name in FILES)
    record = workspace.records()["preprocess"]
    assert {w["licence"] for w in record["weights"]} == {"Apache-2.0"}
    assert len(record["weights"]) == 5


def test_source_loads_as_written(workspace):
    source = load_source(workspace)
    assert source.image.shape == (512, 512, 3)
    assert source.alpha.shape == (512, 512)
    assert source.landmarks.shape == (478, 3)
    mask = np.asarray(Image.open(workspace / "source/fg_masks/00000_00.png"))
    assert mask.dtype == np.uint8
    assert np.abs(mask / 255 - source.alpha).max() < 1e-6
    xy = source.landmarks[:468, :2].astype(int)
    assert source.alpha[xy[:, 1], xy[:, 0]].mean() > 0.98


def test_transforms_are_a_nerfstudio_dataset_of_one_frame(workspace):
    ((frame, camera),) = read_frames(workspace / "source/transforms.json")
    assert (workspace / "source" / frame["file_path"]).is_file()
    assert frame["mask_path"] == frame["fg_mask_path"] == "fg_masks/00000_00.png"
    assert "fl_x" not in json.loads((workspace / "source/transforms.json").read_text())
    assert (camera.width, camera.height) == (512, 512)


def test_camera_sees_the_eyes_where_they_are(workspace):
    """The head's origin lies between the eyes; the default camera looks along -Z at it from about a metre."""
    source = load_source(workspace)
    x, y, depth = source.camera.project(np.zeros(3))
    eyes = source.landmarks[[33, 133, 362, 263], :2].mean(0)
    assert np.hypot(x - eyes[0], y - eyes[1]) < 0.01
    assert 0.8 < depth < 1.5
    left_up = source.camera.project(np.array([0.01, 0.01, 0]))
    assert left_up[0] > x
    assert left_up[1] < y


def test_landmarks_of_crop_and_photo_are_one_affine_map_apart(workspace):
    arrays = np.load(workspace / "source/landmarks.npz")
    assert arrays["landmarks"].dtype == np.float32
    homogeneous = np.column_stack([arrays["photo_landmarks"][:, :2], np.ones(478)])
    mapped = homogeneous @ arrays["T_crop_photo"].T
    assert np.abs(mapped[:, :2] - arrays["landmarks"][:, :2]).max() < 1e-3
    pixel = np.array([227.0, 121.0])  # on the bridge of the nose: the crop shows the photo's colour there
    at = (arrays["T_crop_photo"] @ [*pixel, 1])[:2].astype(int)
    colour = data.astronaut()[int(pixel[1]) - 1 : int(pixel[1]) + 2, int(pixel[0]) - 1 : int(pixel[0]) + 2].mean((0, 1))
    assert np.abs(load_source(workspace).image[at[1], at[0]] * 255 - colour).max() < 12


def test_report_tells_what_was_found(workspace):
    report = load_source(workspace).report
    assert report["chosen"] == {"number": 1, "why": "the only one"}
    assert len(report["faces"]) == 1
    assert report["crop"]["side_in_face_heights"] == pytest.approx(CROP_SIDE)
    assert "prior" in report["focal"]["source"]
    assert abs(report["yaw_deg"]) < 8
    assert report["sharpness"] > 0.05
    assert 0.4 < report["exposure"]["mean"] < 0.8
    assert [w for w in report["warnings"] if "px high" in w] == report["warnings"]


def test_same_photo_same_bytes(photo, workspace, tmp_path):
    preprocess.main([photo], tmp_path / "b.ws")
    for name in FILES:
        assert (tmp_path / "b.ws/source" / name).read_bytes() == (workspace / "source" / name).read_bytes()


def test_second_run_does_nothing(photo, workspace):
    before = (workspace / "source/landmarks.npz").stat().st_mtime_ns
    preprocess.main([photo], workspace.path)
    assert (workspace / "source/landmarks.npz").stat().st_mtime_ns == before


def test_exif_focal_sets_camera_and_principal_point(photo, tmp_path):
    """The principal point is the middle of the photo, wherever the crop lies."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 85
    with Image.open(photo) as image:
        image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    preprocess.main([tmp_path / "a.jpg"], tmp_path / "a.ws", size=256)
    source = load_source(Workspace.open(tmp_path / "a.ws"))
    T = np.load(tmp_path / "a.ws/source/landmarks.npz")["T_crop_photo"]
    assert source.image.shape == (256, 256, 3)
    assert source.camera.fx == pytest.approx(85 / np.hypot(36, 24) * np.hypot(512, 512) * T[0, 0], rel=1e-6)
    assert [source.camera.cx, source.camera.cy] == pytest.approx(list((T @ [256, 256, 1])[:2]))
    assert source.report["focal"]["source"].startswith("EXIF: 85 mm")


def two_people(path):
    """The astronaut twice, smaller on the left."""
    head = Image.fromarray(data.astronaut()[:256, 96:352])
    small = Image.fromarray(data.astronaut()[:320, 64:384]).resize((256, 256), Image.Resampling.LANCZOS)
    Image.fromarray(np.concatenate([np.asarray(small), np.asarray(head)], 1)).resize((1024, 512)).save(path)
    return path


def test_largest_face_or_the_one_asked_for(tmp_path, caplog):
    photo = two_people(tmp_path / "two.png")
    with caplog.at_level("INFO", "facecraft"):
        preprocess.main([photo], tmp_path / "a.ws")
    assert "two.png has 2 faces; number 2, the largest, is taken" in caplog.text
    report = json.loads((tmp_path / "a.ws/source/report.json").read_text())
    assert report["chosen"] == {"number": 2, "why": "the largest"}
    preprocess.main([photo], tmp_path / "b.ws", face=1)
    source = load_source(Workspace.open(tmp_path / "b.ws"))
    assert source.report["chosen"] == {"number": 1, "why": "asked for"}
    assert source.report["crop"]["left"] < 256
    with pytest.raises(InputError, match=r"face 3 does not exist .* 1 at x=\d+ .* 2 at x=\d+"):
        preprocess.main([photo], tmp_path / "c.ws", face=3)


def test_a_face_that_the_edge_cuts_is_told(tmp_path):
    photo = tmp_path / "cut.png"
    Image.fromarray(data.astronaut()[:320, :235]).save(photo)
    preprocess.main([photo], tmp_path / "a.ws")
    report = json.loads((tmp_path / "a.ws/source/report.json").read_text())
    assert any("beyond the edge" in warning for warning in report["warnings"])


@pytest.mark.parametrize("kind", ["no face", "small face", "empty", "text", "truncated", "bomb"])
def test_bad_photo_is_refused_and_leaves_nothing(tmp_path, photo, kind):
    bad, words = tmp_path / "bad.png", kind
    if kind == "no face":
        Image.fromarray(data.coffee()).save(bad)
        words = "shows no face"
    elif kind == "small face":
        Image.fromarray(data.astronaut()).resize((256, 256)).save(bad)
        words = "px high, at least 64"
    elif kind == "bomb":
        Image.new("1", (20000, 6000)).save(bad)
        words = "120 megapixels"
    else:
        whole = photo.read_bytes()
        bad.write_bytes({"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2]}[kind])
        words = {"empty": "0 bytes", "text": "not a picture", "truncated": "damaged"}[kind]
    with pytest.raises(InputError) as refusal:
        preprocess.main([bad], tmp_path / "a.ws")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "a.ws").exists()


def mirrored(photo, path):
    """The photo the other way round: another picture of somebody much alike."""
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    return path


def test_further_photos_lie_beside_the_reference(photo, workspace, tmp_path):
    other = mirrored(photo, tmp_path / "b.png")
    preprocess.main([photo, other], tmp_path / "a.ws")
    for name in FILES:
        assert (tmp_path / "a.ws/source" / name).read_bytes() == (workspace / "source" / name).read_bytes()
    several = Workspace.open(tmp_path / "a.ws")
    expected = {f"source/more/00001/{name.replace('00000_00', '00001_00')}" for name in FILES}
    assert set(several.files("source/more")) == expected
    first, second = load_sources(several)
    assert first.report == load_source(workspace).report and second.report["photo"] == "b.png"
    assert np.abs(second.image[:, ::-1] - first.image).mean() < 0.05
    ((frame, _),) = read_frames(several / "source/more/00001/transforms.json")
    assert frame["timestep_index"] == 1 and (several / "source/more/00001" / frame["mask_path"]).is_file()
    assert len(several.records()["preprocess"]["weights"]) == 5

    preprocess.main([photo], tmp_path / "a.ws")
    assert not (several / "source/more").exists() and len(load_sources(several)) == 1


def test_one_bad_photo_of_several_is_named_and_nothing_is_written(photo, tmp_path):
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    with pytest.raises(InputError, match=r"coffee\.png shows no face"):
        preprocess.main([photo, tmp_path / "coffee.png"], tmp_path / "a.ws")
    assert not (tmp_path / "a.ws").exists()
    with pytest.raises(InputError, match="same picture"):
        preprocess.main([photo, tmp_path / "coffee.png", photo], tmp_path / "a.ws")
    with pytest.raises(InputError, match="9 photos are too many"):
        preprocess.main([photo] * 9, tmp_path / "a.ws")
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        preprocess.main([photo, tmp_path / "none.png"], tmp_path / "a.ws")
    assert not (tmp_path / "a.ws").exists()


def test_own_transparency_is_the_matte(workspace, tmp_path):
    """A cut-out keeps its own edge, less what lies below the bust; its crop comes out as it went in."""
    preprocess.main([workspace / "source/images/00000_00.png"], tmp_path / "again.ws")
    first, again = load_source(workspace), load_source(Workspace.open(tmp_path / "again.ws"))
    assert again.report["matte"] == "the picture's own transparency"
    scale, shift_x = 512 / again.report["crop"]["side"], again.report["crop"]["left"]
    assert scale == pytest.approx(1, abs=0.02)
    assert abs(shift_x) < 6
    assert abs(again.alpha.mean() - first.alpha.mean()) < 0.03


def test_crop_grows_with_the_hair_up_to_a_limit(workspace):
    source = load_source(workspace)
    face = Face(source.landmarks)
    y, x = np.mgrid[:512, :512]

    def side(radius):
        return crop_side((np.hypot(x - face.centre[0], y - face.centre[1]) < radius * face.height).astype(float), face)

    assert side(1.0) == CROP_SIDE
    assert side(1.4) > CROP_SIDE + 0.1
    assert crop_side(np.ones((512, 512)), Face(source.landmarks / 4)) == LARGEST_CROP_SIDE


def test_sharpness_falls_with_blur_and_not_with_light():
    grey = data.camera()[:128, 128:256] / 255
    sharp = [measure_sharpness(ndimage.gaussian_filter(grey, s)) for s in (0, 1, 2, 4)]
    assert all(a > 2 * b for a, b in zip(sharp, sharp[1:], strict=False))
    assert measure_sharpness(grey * 0.2) == pytest.approx(sharp[0])


def test_damaged_source_is_a_workspace_error(photo, tmp_path):
    with pytest.raises(WorkspaceError):
        load_source(Workspace(tmp_path / "none.ws"))
    preprocess.main([photo], tmp_path / "a.ws", size=128)
    (tmp_path / "a.ws/source/landmarks.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(WorkspaceError, match="damaged"):
        load_source(Workspace.open(tmp_path / "a.ws"))


CASES = [(path.name, None) for path in sorted(PORTRAITS.glob("*.jpg"))] + [("d08_girl_and_woman_1970s.jpg", 1)]


@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="the portraits are not in this checkout")
@pytest.mark.parametrize(("name", "number"), CASES)
def test_portraits(tmp_path, name, number):
    preprocess.main([PORTRAITS / name], tmp_path / "a.ws", face=number)
    source = load_source(Workspace.open(tmp_path / "a.ws"))
    face, report = Face(source.landmarks), source.report
    expected = {e["file"]: e for e in json.loads((PORTRAITS / "manifest.json").read_text())["images"]}[name]
    assert len(report["faces"]) == expected["faces_expected"]
    if len(expected.get("faces", [])) == 1:
        known = expected["faces"][0]
        assert report["yaw_deg"] == pytest.approx(known["yaw_deg"], abs=6)
        assert report["roll_deg"] == pytest.approx(known["roll_deg"], abs=4)
    size = 512 * CROP_SIDE / report["crop"]["side_in_face_heights"]
    assert face.height == pytest.approx(size / CROP_SIDE, rel=0.08)
    assert np.abs(face.centre - [256, 256 + 0.1 * face.height]).max() < 0.05 * face.height
    xy = source.landmarks[:468, :2].astype(int)
    assert source.alpha[xy[:, 1], xy[:, 0]].mean() > 0.95
    chin = source.landmarks[152, 1]
    assert source.alpha[int(chin + 0.62 * face.height) :].max(initial=0) == 0
    assert source.alpha[: int(face.centre[1] - 1.45 * face.height)].max(initial=0) < 0.1
    assert 0.12 < source.alpha.mean() < 0.45
    labels, _ = ndimage.label(source.alpha > 0.5)
    parts = np.bincount(labels.ravel())[1:]
    assert parts.max() > 0.99 * parts.sum()
    assert np.isfinite(read_picture(tmp_path / "a.ws/source/images/00000_00.png").rgb).all()

"""`facecraft eval`: pictures against pictures, an avatar against its photo; the files that it leaves."""

import csv
import html.parser
import json
import math
import shutil

import numpy as np
import pytest
from facecraft.stages import eval as stage
from typer.testing import CliRunner

from facecraft.cli import app
from facecraft.errors import InputError
from facecraft.evaluation.results import Results, Row
from facecraft.image import write_png

QUICK = "l1,mse,psnr,ssim"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders of three pictures; the second has alpha. The current folder is beside them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("ours", "truth"):
        (tmp_path / name).mkdir()
    for i in range(3):
        picture = rng.random((48, 40, 3))
        alpha = np.zeros((48, 40))
        alpha[8:40, 8:32] = 1
        write_png(tmp_path / f"truth/{i:02d}.png", np.concatenate([picture, alpha[..., None]], 2))
        noisy = picture if i == 0 else picture + 0.1 * rng.standard_normal(picture.shape)
        write_png(tmp_path / f"ours/{i:02d}.png", np.where(alpha[..., None] > 0, noisy, 1))
    return tmp_path / "ours", tmp_path / "truth"


def test_two_folders(folders):
    report = stage.main(*folders, metrics=QUICK)
    data = json.loads((report.parent / "metrics.json").read_text())
    assert report.as_posix() == "eval/ours/report.html" and data["count"] == 3
    first, *others = data["images"]
    assert first["psnr"] == "inf" and first["ssim"] == pytest.approx(1) and first["l1"] == 0
    assert all(15 < row["psnr"] < 25 for row in others)
    assert data["summary"]["all"]["l1"]["mean"] == pytest.approx(sum(r["l1"] for r in data["images"]) / 3)
    rows = list(csv.DictReader((report.parent / "images.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["00", "01", "02"] and float(rows[0]["psnr"]) == math.inf
    assert float(rows[1]["mse"]) == others[0]["mse"]


def test_nan_is_null_in_json_and_empty_in_csv():
    results = Results("t", [Row("a", "g", {"psnr": math.inf, "id": math.nan}), Row("b", "g", {"psnr": 20.0})])
    data = json.loads(results.to_json(), parse_constant=lambda text: pytest.fail(text))
    assert data["images"][0]["psnr"] == "inf" and data["images"][0]["id"] is None
    assert "id" not in data["summary"]["g"]
    assert results.to_csv().splitlines() == ["name,group,psnr,id", "a,g,inf,", "b,g,20.0,"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda o, t: write_png(o / "01.png", np.zeros((20, 20, 3))), "01: the pictures are 20x20 and 40x48"),
        (lambda o, t: write_png(t / "02.png", np.zeros((48, 40, 4))), "02: the mask is empty"),
        (lambda o, t: [p.unlink() for p in o.iterdir()], "ours holds no pictures"),
        (lambda o, t: (o / "01.png").write_bytes(b"no"), "01.png is not a picture that can be read"),
        (lambda o, t: [p.rename(t / f"x{p.name}") for p in list(t.iterdir())[1:]] and (o / "02.png").unlink(), ""),
    ],
)
def test_folders_that_do_not_compare_are_one_line(folders, break_it, message):
    break_it(*folders)
    result = CliRunner().invoke(app, ["eval", *map(str, folders), "--metrics", QUICK])
    if message:
        assert result.exit_code == 1 and message in result.stderr.splitlines()[-1]
        assert not (folders[0].parent / "eval/ours/metrics.json").exists()
    else:
        assert result.exit_code == 0 and "the others are left out" in result.stderr


def test_an_unknown_metric_names_the_known_ones(folders):
    with pytest.raises(InputError, match="metric 'beauty' is not known; use l1"):
        stage.main(*folders, metrics="psnr,beauty")


class Links(html.parser.HTMLParser):
    """Collects what a page would fetch, and its text."""

    def __init__(self):
        super().__init__()
        self.sources, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_data(self, data):
        self.text += data


def test_the_report_fetches_nothing_and_escapes_names(folders):
    ours, truth = folders
    evil = "<img src=x onerror=alert(1)>&quot;"
    for folder in folders:
        shutil.move(folder / "01.png", folder / f"{evil}.png".replace("/", "_"))
    page = stage.main(ours, truth, metrics=QUICK).read_text()
    links = Links()
    links.feed(page)
    assert links.sources and all(source.startswith("data:image/jpeg;base64,") for source in links.sources)
    assert "<img src=x" not in page and evil in links.text and page.count("<script>") == 1
    assert links.tags.count("img") == 2 * 3 * 3


def test_an_avatar_against_its_photo(astronaut_workspace, tmp_path):
    workspace = tmp_path / "astronaut.ws"
    shutil.copytree(astronaut_workspace, workspace)
    report = stage.main(workspace, metrics="psnr,ssim,akd")
    data = json.loads((report.parent / "metrics.json").read_text())
    photo, *turned = data["images"]
    assert photo["group"] == "photo" and photo["psnr"] > 25 and photo["akd"] < 3 and photo["iou"] > 0.9
    assert len(turned) == 4 and all("psnr" not in row for row in turned)
    before = report.stat().st_mtime_ns
    stage.main(workspace, metrics="psnr,ssim,akd")
    assert report.stat().st_mtime_ns == before

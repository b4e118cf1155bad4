"""`facecraft eval`: pictures against pictures, an avatar against its photo; the files that it leaves."""

import csv
import html.parser
import json
import math
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from facecraft.stages import eval as stage
from typer.testing import CliRunner

from facecraft.cli import app
from facecraft.errors import InputError
from facecraft.evaluation.evaluate import SIDES
from facecraft.evaluation.measures import ASKED, MEASURES
from facecraft.evaluation.page import table_cell
from facecraft.evaluation.pairs import Pair, Shown, align_face
from facecraft.evaluation.protocols import PROTOCOLS
from facecraft.evaluation.published import PUBLISHED
from facecraft.evaluation.results import Results, Row, TableRow
from facecraft.face.landmarks import Face
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


def test_an_avatar_against_its_photo(astronaut_workspace, tmp_path, monkeypatch):
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
    monkeypatch.setattr(
        "facecraft.metrics.optional_versions", lambda: {"dlib": "another"}
    )  # with it, more can be measured
    stage.main(workspace, metrics="psnr,ssim,akd")
    assert report.stat().st_mtime_ns > before


def test_two_films(folders, tmp_path):
    from facecraft.image import to_bytes
    from facecraft.video import VideoWriter

    rng = np.random.default_rng(1)
    base = np.kron(rng.random((6, 6, 3)), np.ones((16, 16, 1)))
    for name, shift in (("a.mp4", 0.0), ("b.mp4", 0.1), ("short.mp4", 0.0)):
        with VideoWriter(tmp_path / name, 25) as writer:
            for i in range(3 if name == "short.mp4" else 5):
                writer.write(to_bytes(np.clip(0.8 * np.roll(base, i, 1) + shift, 0, 1)))
    data = json.loads(
        (stage.main(tmp_path / "a.mp4", tmp_path / "b.mp4", metrics="l1,jitter").parent / "metrics.json").read_text()
    )
    assert data["count"] == 5 and data["summary"]["all"]["l1"]["mean"] == pytest.approx(0.1, abs=0.01)
    assert data["sets"]["jitter"]["value"] is None and data["sets"]["jitter"]["n"] == 0  # no faces
    with pytest.raises(InputError, match="short.mp4 ends after 3 frames"):
        stage.main(tmp_path / "a.mp4", tmp_path / "short.mp4", metrics="l1")


def test_what_is_missing_is_named_and_nothing_takes_its_place(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    report = stage.main(*folders, metrics="psnr,lpips,fid,clip-i,jod")
    data = json.loads((report.parent / "metrics.json").read_text())
    assert set(data["missing"]) == {"lpips", "fid", "clip-i", "jod"} and set(data["summary"]["all"]) == {"psnr"}
    assert all("run " in reason and "\n" not in reason for reason in data["missing"].values())
    assert data["sets"] == {} and "Not measured" in report.read_text()


def test_fid_of_few_pictures_is_no_claim():
    from facecraft.evaluation.sets import Collector

    class Colours:
        """Stands in for Inception, whose weights are not here: the mean colour of a picture."""

        def features(self, rgb):
            return rgb.mean((0, 1))

    meter = SimpleNamespace(inception=Colours(), video=None, takes=lambda name: False, names=())
    collector, shared = Collector(meter), Collector(meter)
    shown = [Shown(np.random.default_rng(i).random((16, 16, 3)).astype(np.float32)) for i in range(8)]
    for i in range(4):
        collector.add(Pair(str(i), "", shown[i], shown[4 + i]))
        for j in range(4, 7):
            shared.add(Pair(f"{i} {j}", "ann", shown[i], shown[j], compares="persons"))
    entry = collector.figures([])["fid"]
    assert entry["n"] == [4, 4] and not entry["claim"] and "no claim: 4 pictures" in entry["caveat"]
    assert shared.figures([])["fid"]["n"] == [4, 3]  # each picture once, however often it is compared


def test_identity_distribution_tells_spread_and_missing_faces():
    from facecraft.evaluation.sets import describe_distribution

    entry = describe_distribution([0.1, 0.5, math.nan, 0.9])
    assert entry["value"] == pytest.approx(0.5) and entry["q50"] == 0.5 and entry["n"] == 3
    assert entry["without_face"] == 1 and entry["values"] == [0.1, 0.5, 0.9]


def make_cases(data, protocol) -> None:
    """Two cases of every role that the protocol reads."""
    rng = np.random.default_rng(0)
    for case in ("ann/one", "ann/two", "bob/one"):
        for role in ("predicted", *(comparison.role for comparison in protocol.comparisons)):
            (data / case / role).mkdir(parents=True)
            for i in range(2):
                write_png(data / case / role / f"{i}.png", rng.random((24, 24, 3)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_puts_ours_beside_the_papers(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    make_cases(tmp_path / "data", PROTOCOLS[name])
    simple = [m for m in PROTOCOLS[name].metrics if m in ("psnr", "ssim", "l1", "mse")]
    report = stage.main(tmp_path / "data", protocol=name, metrics=",".join(simple or ["psnr"]))
    data = json.loads((report.parent / "metrics.json").read_text())
    ours, papers = ([row for row in data["table"] if row["ours"] == own] for own in (True, False))
    assert report.parent.name == name and set(ours[0]["figures"]) == set(simple)
    assert data["options"]["metrics"] == ",".join(simple or ["psnr"]) and data["versions"].keys() > {"python", "numpy"}
    sides = list(dict.fromkeys(SIDES[comparison.how] for comparison in PROTOCOLS[name].comparisons))
    assert [row["label"] for row in ours] == ([f"ours, {side}" for side in sides] if len(sides) > 1 else ["ours"])
    assert sum(int(row["where"].split("= ")[1]) for row in ours) == data["count"]
    assert [row["label"] for row in papers] == [row.label for row in PUBLISHED[name]]
    assert all(set(row["figures"]) <= set(PROTOCOLS[name].columns) for row in papers)
    text = Links()
    text.feed(report.read_text())
    assert "Beside the paper" in text.text and all(caveat in text.text for caveat in PROTOCOLS[name].caveats)


class Brightness:
    """Stands in for a face recogniser: an embedding that turns with the picture's mean, so that cosines are known."""

    name = "brightness"

    def embed(self, rgb, landmarks):
        return np.array([np.cos(rgb.mean()), np.sin(rgb.mean())])


@pytest.fixture
def brightness(monkeypatch):
    """Faces are seen in every picture, and recognised by their brightness."""
    monkeypatch.setattr("facecraft.evaluation.meter.load_embedder", lambda choice: Brightness())
    monkeypatch.setattr(Shown, "face", Face(np.zeros((478, 3))))


def write_greys(folder, **greys: float) -> None:
    """Grey pictures by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, grey in greys.items():
        write_png(folder / f"{name}.png", np.full((8, 8, 3), grey))


def test_expressive_renders_are_compared_with_the_neutral_ones_of_their_view(tmp_path, monkeypatch, brightness):
    monkeypatch.chdir(tmp_path)
    for case in ("ann", "bob"):
        folder = tmp_path / "data" / case
        write_greys(folder / "predicted", front=0.2, left=0.4)
        write_greys(folder / "reference", a=0.2, b=1.0, c=1.0)
        write_greys(folder / "expressive/smile", front=0.2, left=0.6)
        write_greys(folder / "expressive/frown", left=0.4)
    report = stage.main(tmp_path / "data", protocol="arc2avatar-isd", metrics="isd")
    data = json.loads((report.parent / "metrics.json").read_text())
    cosines = {row["name"]: row["id"] for row in data["images"] if row["group"] == "ann"}
    to_photos = {f"ann/{v} and {p}" for v in ("front", "left") for p in "abc"}
    assert cosines.keys() == to_photos | {"ann/front smile", "ann/left smile", "ann/left frown"}
    assert cosines["ann/left and b"] == pytest.approx(np.cos(0.6), abs=5e-3)
    assert cosines["ann/left smile"] == pytest.approx(np.cos(0.2), abs=5e-3)  # of its own view and of no photo
    assert cosines["ann/front smile"] == cosines["ann/left frown"] == pytest.approx(1)
    assert data["sets"]["isd cross"]["n"] == 12 and data["sets"]["isd expressive"]["n"] == 6
    expressive = data["table"][1]
    assert expressive["label"] == "ours, expressive" and expressive["where"] == "N = 6"
    assert expressive["figures"]["id"] == pytest.approx((2 + np.cos(0.2)) / 3, abs=5e-3)
    assert data["summary"]["ann, expressive"]["id"] == pytest.approx({"mean": expressive["figures"]["id"], "n": 3})
    assert data["views"]["left smile"]["id"]["n"] == 2 and data["views"]["left"]["id"]["n"] == 6
    assert "Means by view" in report.read_text()
    lines = list(csv.DictReader((report.parent / "images.csv").read_text().splitlines()))
    sides = {(line["side"], line["view"]) for line in lines}
    assert sides == {("cross", v) for v in ("front", "left")} | {
        ("expressive", v) for v in ("front smile", "left smile", "left frown")
    }


def test_a_workspace_is_its_own_neutral_face(astronaut_workspace, tmp_path, monkeypatch, brightness):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(astronaut_workspace, tmp_path / "data/ann.ws")
    few = replace(PROTOCOLS["arc2avatar-isd"], azimuths_deg=(0, 45), expressions=("neutral", "jaw open"))
    monkeypatch.setitem(PROTOCOLS, "arc2avatar-isd", few)
    report = stage.main(tmp_path / "data", protocol="arc2avatar-isd", metrics="isd")
    data = json.loads((report.parent / "metrics.json").read_text())
    views = [f"{azimuth}° {name}" for azimuth in ("+0", "+45") for name in ("neutral", "jaw open")]
    assert [row["name"] for row in data["images"]] == [f"ann.ws/{view}" for view in views]
    assert [row["where"] for row in data["table"]] == ["N = 2", "N = 2"]
    distances = {row["name"]: row["id_distance"] for row in data["images"]}
    assert 0 < distances["ann.ws/+0° jaw open"] < 0.01 < distances["ann.ws/+0° neutral"]  # the first is of ours
    assert "seed" in data["workspaces"]["ann.ws"]["coin-fit"]


def test_goha_lays_pictures_on_black_and_counts_all_of_them(tmp_path, monkeypatch):
    """Half of the picture is transparent and white there; ours, opaque, is black there but for one column."""
    monkeypatch.chdir(tmp_path)
    truth, ours = np.ones((16, 16, 4)), np.zeros((16, 16, 3))
    truth[:, 8:, 3] = 0
    ours[:, :9] = 1
    for role, picture in {"truth": truth, "predicted": ours}.items():
        (tmp_path / f"data/a/{role}").mkdir(parents=True)
        write_png(tmp_path / f"data/a/{role}/0.png", picture)

    def l1(**options) -> float:
        report = stage.main(tmp_path / "data", protocol="goha-recon", metrics="l1", force=True, **options)
        assert "The paper&#x27;s pictures are 512x512; some here are 16x16." in report.read_text()
        return json.loads((report.parent / "metrics.json").read_text())["images"][0]["l1"]

    assert l1() == l1(region="all") == pytest.approx(1 / 16)
    assert l1(region="inside") == 0 and l1(region="outside") == pytest.approx(1 / 8)


def test_films_of_persons_are_averaged_by_person(monkeypatch):
    from facecraft.evaluation.results import mean_of_persons
    from facecraft.evaluation.sets import Collector

    video = SimpleNamespace(measure=lambda ours, truth, fps: float(truth[0, 0, 0, 0]) + fps)
    meter = SimpleNamespace(inception=None, video=video, takes=lambda name: False, names=())
    collector = Collector(meter, 24)
    for group, grey in {"ann/one": 1, "ann/two": 3, "bob/one": 8}.items():
        shown = Shown(np.full((4, 4, 3), grey / 255, np.float32))
        collector.add(Pair("0", group, shown, shown))
    jod = collector.figures([])["jod"]
    assert jod["films"] == {"ann/one": 25, "ann/two": 27, "bob/one": 32} and jod["value"] == 28
    assert mean_of_persons(jod["films"]) == (26 + 32) / 2


def test_published_figures_are_of_known_measures():
    assert PUBLISHED.keys() == PROTOCOLS.keys()
    for name, protocol in PROTOCOLS.items():
        assert set(protocol.columns) <= set(MEASURES) and set(protocol.metrics) <= set(ASKED)
        given = {measure for asked in protocol.metrics for measure in ASKED[asked]}
        assert set(protocol.columns) <= given, name


def test_means_are_of_persons_where_the_paper_means_persons():
    rows = [Row("", group, {"psnr": value}) for group, value in (("a/1", 10), ("a/1", 20), ("a/2", 25), ("b/1", 40))]
    results = Results("t", rows)
    assert results.mean_of_persons("psnr") == (20 + 40) / 2 and results.mean("psnr") == (95 / 4, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "--protocol", "none"], "protocol 'none' is not known; use facecraft4d-static"),
        (
            ["data", "--protocol", "joker-3d"],
            "data has no case of this protocol; give folders with predicted/ and truth/",
        ),
        (["no", "--protocol", "joker-3d"], "no is not a folder"),
        (["data", "data", "--protocol", "joker-3d"], "takes one folder of data"),
        (["data", "data", "--out", "../x"], "name '../x' of the result"),
    ],
)
def test_protocols_that_cannot_run_are_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    result = CliRunner().invoke(app, ["eval", *words])
    assert result.exit_code == 1 and message in result.stderr.splitlines()[-1]


def test_a_shifted_face_is_aligned():
    """Faces whose landmarks are given: ours is the truth two pixels to the right."""
    truth = Shown(np.random.default_rng(0).random((40, 40, 3)).astype(np.float32))
    ours = Shown(np.roll(truth.rgb, 2, 1))
    points = np.random.default_rng(1).random((478, 3)) * 40
    truth.__dict__["face"], ours.__dict__["face"] = Face(points), Face(points + [2, 0, 0])
    assert np.abs(align_face(ours, truth).rgb - truth.rgb)[:, 2:-2].max() < 1e-4


def test_the_report_draws_in_a_browser(folders, tmp_path):
    """Headless Chromium, no network: every picture is decoded, and the slider shows one pair at a time."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    page = stage.main(*folders, metrics=QUICK)
    probe = """<script>addEventListener('load', () => {
        const slider = document.querySelector('.viewer input'), shown = () => document.querySelectorAll('.viewer .shown');
        const first = shown()[0].textContent;
        slider.value = 2; slider.dispatchEvent(new Event('input'));
        const bad = [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length;
        document.title = ['probe', bad, shown().length, first, shown()[0].textContent].join('|');
    });</script></body>"""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", probe))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    result = subprocess.run([*command, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=120)
    assert "<title>probe|0|1|00|02</title>" in result.stdout


def test_the_papers_figures_stand_as_they_print_them():
    (row,) = (row for row in PUBLISHED["joker-2d"] if "self" in row.label)
    assert table_cell(TableRow(row.label, row.where, row.figures, row.notes), "akd") == ("0.007", "normalised")
    assert table_cell(TableRow("ours", "", {"akd": 0.007}, ours=True), "akd") == ("0.01", "")
    assert table_cell(TableRow("ours", "", {"fid": 12.0}, {"fid": "no claim"}, True), "fid") == ("12.00", "no claim")
    assert table_cell(TableRow("ours", "", {}, ours=True), "psnr") == ("–", "")

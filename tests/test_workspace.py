"""The workspace: outputs appear whole or not at all, work that is done is not done again, one process at a time."""

import errno
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facecraft.errors import InputError, WorkspaceError
from facecraft.records import digest_file, write_atomic
from facecraft.status import describe_workspace, stage_states
from facecraft.workspace import SCHEMA, Workspace


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def preprocess(path: Path, text: str = "source", names=("source/a.txt",), inputs=(), force=False, **options) -> bool:
    """A stage that writes `text` to files; whether it did the work."""
    with Workspace.create(path).stage("preprocess", (), options, inputs, force) as run:
        if not run.up_to_date:
            for name in names:
                run.output(name).write_text(text)
        return not run.up_to_date


def fit(path: Path) -> bool:
    """A stage that copies what the first one wrote."""
    with Workspace.open(path).stage("fit-3dmm", ("source",), {}) as run:
        if not run.up_to_date:
            run.output("head/b.txt").write_text((run.workspace / "source/a.txt").read_text())
            run.use_weights("head/test", "CC0-1.0", "0" * 64)
        return not run.up_to_date


@pytest.fixture
def subject(tmp_path) -> Path:
    path = tmp_path / "ann.ws"
    assert preprocess(path) and fit(path)
    return path


def test_a_stage_leaves_its_outputs_a_record_and_nothing_else(subject):
    files = tree(subject)
    expected = {"workspace.json", "records/preprocess.json", "records/fit-3dmm.json", "source/a.txt", "head/b.txt"}
    assert files.keys() == expected
    assert files["source/a.txt"] == b"source"
    header = json.loads(files["workspace.json"])
    assert (header["schema"], header["subject"]) == (SCHEMA, "ann.ws")
    record = json.loads(files["records/fit-3dmm.json"])
    assert record["writes"] == {"head/b.txt": digest_file(subject / "head/b.txt")}
    assert record["reads"] == {"source/a.txt": digest_file(subject / "source/a.txt")}
    assert record["bytes"] == len("source") and record["wall_s"] >= 0 and record["peak_memory_mib"] > 10
    assert record["versions"]["python"] == sys.version.split()[0]


def test_digest_of_abc_is_the_one_of_fips_180(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert digest_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_write_atomic_replaces_and_leaves_no_temporary(tmp_path):
    write_atomic(tmp_path / "a.json", b"1")
    write_atomic(tmp_path / "a.json", b"2")
    assert tree(tmp_path) == {"a.json": b"2"}


def test_a_failing_stage_leaves_everything_as_before(subject):
    before = tree(subject)
    with pytest.raises(ZeroDivisionError), Workspace.open(subject).stage("preprocess", (), {}, force=True) as run:
        run.output("source/a.txt").write_text("half")
        run.output("source/new.txt").write_text("half")
        raise ZeroDivisionError
    assert tree(subject) == before
    assert not fit(subject)


def test_a_failing_first_stage_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with Workspace.create(tmp_path / "new/ann.ws").stage("preprocess", (), {}) as run:
            run.output("source/a.txt").write_text("half")
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_user_survives_a_failing_stage(tmp_path):
    with pytest.raises(ZeroDivisionError), Workspace.create(tmp_path).stage("preprocess", (), {}):
        raise ZeroDivisionError
    assert tmp_path.is_dir() and list(tmp_path.iterdir()) == []


def test_work_that_is_done_is_not_done_again(subject):
    before = tree(subject)
    assert not preprocess(subject) and not fit(subject)
    assert tree(subject) == before


def test_a_changed_option_runs_again(subject):
    assert preprocess(subject, size=512)
    assert not preprocess(subject, size=512)
    assert preprocess(subject, size=256)


def test_a_changed_input_runs_again_and_a_moved_one_does_not(tmp_path):
    photo, path = tmp_path / "photo.jpg", tmp_path / "ann.ws"
    photo.write_text("one")
    assert preprocess(path, inputs=(photo,))
    moved = photo.rename(tmp_path / "moved.jpg")
    assert not preprocess(path, inputs=(moved,))
    moved.write_text("two")
    assert preprocess(path, inputs=(moved,))


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_tampered_output_runs_again(subject, damage):
    target = subject / "source/a.txt"
    target.write_text("tampered") if damage == "change" else target.unlink()
    assert preprocess(subject)
    assert target.read_text() == "source"
    assert not fit(subject)  # what it read is again what it was


def test_a_changed_upstream_output_runs_the_next_stage_again(subject):
    assert preprocess(subject, "other", size=1)
    assert fit(subject)
    assert (subject / "head/b.txt").read_text() == "other"


def test_a_new_upstream_file_runs_the_next_stage_again(subject):
    assert preprocess(subject, names=("source/a.txt", "source/more/c.txt"), size=1)
    assert fit(subject)


def test_checkpoints_are_not_part_of_what_is_read(subject):
    (subject / "source/checkpoints").mkdir()
    (subject / "source/checkpoints/1.pt").write_text("x")
    assert not fit(subject)


def test_force_runs_again(subject):
    assert preprocess(subject, force=True)


def test_obsolete_outputs_and_their_empty_folders_go(subject):
    assert preprocess(subject, names=("source/a.txt", "source/deep/down/c.txt"), size=1)
    assert preprocess(subject, size=2)
    assert sorted(p.name for p in (subject / "source").iterdir()) == ["a.txt"]


def test_results_with_keys_live_side_by_side(subject):
    for key in ("one", "two"):
        with Workspace.open(subject).stage("render", (), {}, key=key) as run:
            run.output(f"renders/{key}/0.png").write_text(key)
    assert {"render-one", "render-two"} <= Workspace.open(subject).records().keys()
    assert {"renders/one/0.png", "renders/two/0.png"} <= tree(subject).keys()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stage": "preprocess"}', "\x00"])
def test_a_damaged_record_counts_as_missing(subject, text):
    (subject / "records/preprocess.json").write_text(text)
    assert "preprocess" not in Workspace.open(subject).records()
    assert preprocess(subject)


def message(error) -> str:
    """The text of an error, which must be one line that starts in lower case or with a path."""
    text = str(error.value)
    assert "\n" not in text and not text.endswith("."), text
    return text


def test_what_is_missing_names_the_stage_to_run(tmp_path):
    path = tmp_path / "ann.ws"
    preprocess(path)
    with pytest.raises(WorkspaceError) as error, Workspace.open(path).stage("coin-fit", ("views/enhanced",), {}):
        raise AssertionError("the body must not run")
    assert message(error) == f"{path}/views/enhanced is missing; run `facecraft enhance-views {path}` first"


def test_a_missing_input_is_named_and_makes_no_folder(tmp_path):
    with pytest.raises(InputError) as error:
        preprocess(tmp_path / "ann.ws", inputs=(tmp_path / "no.jpg",))
    assert message(error) == f"{tmp_path}/no.jpg does not exist or is not a file; check the path"
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"pixels")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("facecraft.records.digest_file", refuse)  # root may read everything
    with pytest.raises(InputError) as error:
        preprocess(tmp_path / "ann.ws", inputs=(photo,))
    assert message(error) == f"{photo} cannot be read (permission denied); check its permissions"
    assert list(tmp_path.iterdir()) == [photo]


def test_what_is_not_a_workspace_is_refused(tmp_path):
    with pytest.raises(WorkspaceError) as error:
        Workspace.open(tmp_path / "none")
    assert "facecraft preprocess PHOTO" in message(error)
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError) as error:
        Workspace.create(tmp_path / "file")
    assert "is a file" in message(error)
    with pytest.raises(WorkspaceError) as error:
        Workspace.create(tmp_path)
    assert "holds other files" in message(error)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_a_newer_schema_is_refused(subject):
    (subject / "workspace.json").write_text(json.dumps({"schema": SCHEMA + 1}))
    for enter in (Workspace.open, Workspace.create):
        with pytest.raises(WorkspaceError) as error:
            enter(subject)
        assert f"schema {SCHEMA + 1}, newer than {SCHEMA}" in message(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"schema": "x"}', '{"schema": null}'])
def test_a_damaged_header_is_one_line(subject, text):
    (subject / "workspace.json").write_text(text)
    with pytest.raises(WorkspaceError) as error:
        Workspace.open(subject)
    assert "workspace.json is damaged" in message(error)


def test_a_full_disk_is_one_line_and_changes_nothing(subject):
    before = tree(subject)
    with pytest.raises(WorkspaceError) as error, Workspace.open(subject).stage("preprocess", (), {}, force=True) as run:
        run.output("source/a.txt").write_text("half")
        with open("/dev/full", "w") as full:
            full.write("x" * 1_000_000)
    assert message(error) == f"{subject} cannot be written (no space left on device); free space or name another folder"
    assert tree(subject) == before


HOLD = """
import signal, sys, time
from facecraft.workspace import Workspace
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with SIGINT ignored
with Workspace.create(sys.argv[1]).stage("preprocess", (), {}, force=True) as run:
    run.output("source/a.txt").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder():
    """Starts a process that holds a workspace in the middle of a stage."""
    processes = []

    def hold(path: Path) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_refused(subject, holder):
    process = holder(subject)
    with pytest.raises(WorkspaceError) as error:
        preprocess(subject)
    assert re.fullmatch(
        rf"{subject} is in use by preprocess \(process {process.pid} on .*\); wait for it to end", message(error)
    )
    assert (subject / "source/a.txt").read_text() == "source"


@pytest.mark.parametrize("new", [False, True])
def test_the_lock_of_a_killed_process_is_taken_over(subject, holder, new, tmp_path):
    path = tmp_path / "new.ws" if new else subject
    process = holder(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (path / ".lock").exists()
    assert preprocess(path, "again", size=1)
    assert (path / "source/a.txt").read_text() == "again"
    assert not (path / ".lock").exists() and not (path / ".partial").exists()


def test_an_interrupted_process_cleans_up(tmp_path, holder):
    process = holder(tmp_path / "ann.ws")
    process.send_signal(signal.SIGINT)
    process.wait()
    assert list(tmp_path.iterdir()) == []


def test_many_processes_never_mix(tmp_path):
    """Each writes two files and reads them back in place: in any order, but never half of one and half of another."""
    work = """
import sys, time
from facecraft.errors import WorkspaceError
from facecraft.workspace import Workspace
path, me = sys.argv[1:]
done = 0
while done < 15:
    try:
        with Workspace.create(path).stage("preprocess", (), {"me": me, "n": done}) as run:
            for name in "ab":
                run.output(f"source/{name}").write_text(f"{me} {done}")
        done += 1
    except WorkspaceError as error:
        assert "in use" in str(error), error
"""
    path = tmp_path / "ann.ws"
    processes = [subprocess.Popen([sys.executable, "-c", work, str(path), me]) for me in "xyz"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    files = tree(path)
    assert files["source/a"] == files["source/b"]
    record = json.loads(files["records/preprocess.json"])
    assert record["writes"]["source/a"] == digest_file(path / "source/a")
    assert not (path / ".lock").exists()


def states(path: Path) -> dict[str, str]:
    return {state.name: state.state for state in stage_states(Workspace.open(path))}


def test_status_of_a_begun_workspace(subject):
    assert states(subject) == {
        "preprocess": "done",
        "fit-3dmm": "done",
        "enhance-views": "missing",
        "coin-fit": "missing",
        "render": "missing",
        "sheet": "missing",
    }
    text = describe_workspace(Workspace.open(subject))
    assert "head/test: CC0-1.0" in text and "MiB" in text


def test_status_tells_what_is_stale_and_all_that_follows(subject):
    (subject / "source/a.txt").write_text("tampered")
    assert states(subject)["preprocess"] == "stale" and states(subject)["fit-3dmm"] == "stale"


def test_status_is_stale_when_the_photo_changes_but_not_when_it_is_gone(tmp_path):
    photo, path = tmp_path / "photo.jpg", tmp_path / "ann.ws"
    photo.write_text("one")
    preprocess(path, inputs=(photo,))
    photo.write_text("two")
    assert states(path)["preprocess"] == "stale"
    photo.unlink()
    assert states(path)["preprocess"] == "done"


def test_status_is_stale_after_the_upstream_ran_again(subject):
    preprocess(subject, "other", size=1)
    assert states(subject)["preprocess"] == "done" and states(subject)["fit-3dmm"] == "stale"


def test_status_tells_what_was_broken_off_and_works_on_a_locked_workspace(subject, holder):
    (subject / "avatar/checkpoints").mkdir(parents=True)
    holder(subject)
    before = tree(subject)
    assert states(subject)["coin-fit"] == "incomplete"
    assert describe_workspace(Workspace.open(subject))
    assert tree(subject) == before


def test_status_is_in_the_time_of_the_machine(subject, monkeypatch):
    record = json.loads((subject / "records/preprocess.json").read_text())
    record["started"] = 0.0
    (subject / "records/preprocess.json").write_text(json.dumps(record))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert "1970-01-01 00:00" in describe_workspace(Workspace.open(subject))
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

"""What was verified is not read again until something changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from facebench.cli import main
from facebench.datasets import prepare, stamps, verify_prepared, verify_release
from facebench.datasets.sources import Source
from facebench.formats.reader import PreparedDataset
from tests.datasets.helpers import flip


@pytest.fixture
def prepared(drawn, tmp_path):
    return Path(shutil.copy2(drawn, tmp_path / "aflw2000.h5"))


@pytest.fixture
def reads(monkeypatch):
    """What was read of releases and prepared files."""
    found = []
    read, changed = Source.read, PreparedDataset.changed_images
    monkeypatch.setattr(Source, "read", lambda self, name: found.append(name) or read(self, name))
    monkeypatch.setattr(
        PreparedDataset,
        "changed_images",
        lambda self, *words: found.append(self.path) or changed(self, *words),
    )
    return found


def states(checks):
    return {check.state for check in checks}


def keep_time(path, change):
    """Change a file, and set its time back."""
    before = path.stat().st_mtime_ns
    change()
    os.utime(path, ns=(before, before))


def touch(path):
    later = path.stat().st_mtime_ns + 1
    os.utime(path, ns=(later, later))


def test_the_second_run_reads_nothing(prepared, tmp_path, reads):
    folder = tmp_path / "verified"
    first = verify_prepared(prepared, stamps=folder)
    second = verify_prepared(prepared, stamps=folder)
    assert len(reads) == 1
    assert (first[0].since, len(second[0].since)) == ("", 10)
    assert first[0].detail == second[0].detail
    assert states(second) == {"ok"}


def test_the_stamp_is_named_by_the_path_and_says_what_was_seen(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(prepared.parent)
    verify_prepared(Path(prepared.name), stamps=tmp_path / "verified")
    (path,) = (tmp_path / "verified").iterdir()
    assert path.name == hashlib.sha1(str(prepared).encode()).hexdigest() + ".json"
    value = json.loads(path.read_text())
    state = prepared.stat()
    assert value["files"] == [{"path": str(prepared), "size": state.st_size, "mtime_ns": state.st_mtime_ns}]
    assert (value["outcome"], value["facebench"]) == ("ok", stamps.__version__)


def test_full_reads_everything_again(prepared, tmp_path, reads):
    for full in (False, True, True):
        (check,) = verify_prepared(prepared, stamps=tmp_path / "verified", full=full)
        assert check.since == ""
    assert len(reads) == 3


def test_full_finds_what_keeps_size_and_time(prepared, tmp_path):
    verify_prepared(prepared, stamps=tmp_path / "verified")
    keep_time(prepared, lambda: flip(prepared, prepared.stat().st_size // 2))
    assert states(verify_prepared(prepared, stamps=tmp_path / "verified")) == {"ok"}
    assert "invalid" in states(verify_prepared(prepared, stamps=tmp_path / "verified", full=True))


def test_without_a_folder_nothing_is_remembered(prepared, tmp_path, reads):
    verify_prepared(prepared)
    verify_prepared(prepared)
    assert len(reads) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["aflw2000.h5"]


def test_another_time_or_size_is_read_again(prepared, tmp_path, reads):
    folder = tmp_path / "verified"
    verify_prepared(prepared, stamps=folder)
    touch(prepared)
    assert verify_prepared(prepared, stamps=folder)[0].since == ""
    assert verify_prepared(prepared, stamps=folder)[0].since != ""
    keep_time(prepared, lambda: prepared.write_bytes(prepared.read_bytes() + b"?"))
    assert verify_prepared(prepared, stamps=folder)[0].since == ""


def test_a_failure_is_never_remembered(prepared, tmp_path):
    folder = tmp_path / "verified"
    flip(prepared, prepared.stat().st_size // 2)
    for _ in range(2):
        assert "invalid" in states(verify_prepared(prepared, stamps=folder))
    assert not folder.exists()


def test_a_failure_after_a_good_outcome(prepared, tmp_path):
    folder = tmp_path / "verified"
    verify_prepared(prepared, stamps=folder)
    flip(prepared, prepared.stat().st_size // 2)
    touch(prepared)
    for _ in range(2):
        assert "invalid" in states(verify_prepared(prepared, stamps=folder))
    prepared.unlink()
    assert states(verify_prepared(prepared, stamps=folder)) == {"missing"}


def test_what_changes_while_it_is_read_is_not_remembered(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(PreparedDataset, "changed_images", lambda self, *words: touch(self.path) or iter(()))
    assert states(verify_prepared(prepared, stamps=tmp_path / "verified")) == {"ok"}
    assert not (tmp_path / "verified").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b'{"format": "facebench-verified"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"x" * 2**21,
    ],
)
def test_an_unreadable_stamp_is_ignored_and_replaced(prepared, tmp_path, reads, text):
    folder = tmp_path / "verified"
    path = stamps.stamp_path(folder, [prepared])
    folder.mkdir()
    path.write_bytes(text)
    assert verify_prepared(prepared, stamps=folder)[0].since == ""
    assert verify_prepared(prepared, stamps=folder)[0].since != ""
    assert len(reads) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "invalid"},
        {"facebench": "0.0.1"},
        {"against": "another"},
        {"format": "another"},
        {"files": []},
        {"files": None},
        {"files": [{"path": "/"}]},
        {"date": None, "files": [3]},
    ],
)
def test_a_stamp_of_something_else_is_ignored(prepared, tmp_path, change):
    folder = tmp_path / "verified"
    verify_prepared(prepared, stamps=folder)
    path = stamps.stamp_path(folder, [prepared])
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert verify_prepared(prepared, stamps=folder)[0].since == ""


def test_a_stamp_of_another_path_is_ignored(prepared, tmp_path):
    folder = tmp_path / "verified"
    other = Path(shutil.copy2(prepared, tmp_path / "other.h5"))
    verify_prepared(other, stamps=folder)
    stamps.stamp_path(folder, [other]).rename(stamps.stamp_path(folder, [prepared]))
    assert verify_prepared(prepared, stamps=folder)[0].since == ""


def test_a_home_that_cannot_be_written_does_not_matter(prepared, tmp_path):
    (tmp_path / "verified").write_text("a file")
    assert states(verify_prepared(prepared, stamps=tmp_path / "verified")) == {"ok"}


def test_images_beside_the_file_count(tmp_path, drawn, reads):
    release = Path(shutil.copytree(drawn.parent / "release", tmp_path / "release"))
    path = prepare("aflw2000", [release], tmp_path / "a.h5", partial=True, images="none").path
    folder = tmp_path / "verified"
    assert verify_prepared(path, stamps=folder)[0].since == ""
    assert verify_prepared(path, stamps=folder)[0].since != ""
    image = sorted(release.rglob("*.jpg"))[3]
    flip(image, 700)
    touch(image)
    assert "invalid" in states(verify_prepared(path, stamps=folder))
    shutil.rmtree(release)
    assert states(verify_prepared(path, stamps=folder)) == {"missing"}


def test_a_release_is_remembered_file_by_file(thirds, tmp_path, reads):
    folder = tmp_path / "verified"
    first = verify_release("thirds", [thirds], stamps=folder)
    assert len(reads) == 3
    second = verify_release("thirds", [thirds], stamps=folder)
    assert len(reads) == 3
    assert [check.name for check in first] == [check.name for check in second]
    assert all(check.since for check in second)


def change_a_file(folder):
    (folder / "two.txt").write_text("tw0")


def remove_a_file(folder):
    (folder / "two.txt").unlink()


def rename_a_file(folder):
    (folder / "two.txt").rename(folder / "too.txt")


def add_a_file(folder):
    (folder / "deep" / "new.txt").write_text("new")


@pytest.mark.parametrize(
    ("change", "state"),
    [(change_a_file, "invalid"), (remove_a_file, "missing"), (rename_a_file, "missing"), (add_a_file, "ok")],
)
def test_a_changed_tree_is_read_again(thirds, tmp_path, reads, change, state):
    folder = tmp_path / "verified"
    verify_release("thirds", [thirds], stamps=folder)
    change(thirds)
    checks = verify_release("thirds", [thirds], stamps=folder)
    assert len(reads) >= 5
    assert state in states(checks)


def test_what_file_managers_leave_is_no_change(thirds, tmp_path, reads):
    verify_release("thirds", [thirds], stamps=tmp_path / "verified")
    (thirds / ".DS_Store").write_text("?")
    verify_release("thirds", [thirds], stamps=tmp_path / "verified")
    assert len(reads) == 3


def test_an_archive_and_several_sources(thirds, tmp_path, reads):
    folder = tmp_path / "verified"
    archive = tmp_path / "thirds.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(thirds / "two.txt", "thirds/two.txt")
    (thirds / "two.txt").unlink()
    sources = [thirds.parent, archive]
    verify_release("thirds", sources, stamps=folder)
    assert verify_release("thirds", sources, stamps=folder)[0].since
    assert len(reads) == 3
    assert "missing" in states(verify_release("thirds", [thirds.parent], stamps=folder))
    touch(archive)
    assert verify_release("thirds", sources, stamps=folder)[0].since == ""


def test_other_published_hashes_make_a_stamp_void(thirds, tmp_path, monkeypatch):
    from facebench.datasets import get_dataset

    folder = tmp_path / "verified"
    verify_release("thirds", [thirds], stamps=folder)
    hashes = get_dataset("thirds").manifest.file_hashes
    monkeypatch.setitem(hashes, "thirds/two.txt", "0" * 64)
    assert "invalid" in states(verify_release("thirds", [thirds], stamps=folder))


def run(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return SimpleNamespace(code=stopped.value.code or 0, out=capsys.readouterr().out)


def test_the_command_says_since_when(prepared, tmp_path, capsys):
    words = ("verify", prepared, "--home", tmp_path / "home")
    assert "unchanged" not in run(capsys, *words).out
    again = run(capsys, *words)
    assert again.code == 0
    assert "1 ok (unchanged since it was verified on 20" in again.out
    assert "; --full checks again), 0 missing, 0 invalid" in again.out
    assert "unchanged" not in run(capsys, *words, "--full").out
    assert json.loads(run(capsys, *words, "--json").out)["checks"][0]["since"].startswith("20")
    assert len(list((tmp_path / "home" / "verified").iterdir())) == 1


def test_the_command_on_a_release(thirds, tmp_path, capsys):
    words = ("verify", "thirds", "--source", thirds, "--home", tmp_path / "home")
    assert run(capsys, *words).out == "3 ok, 0 missing, 0 invalid\n"
    assert run(capsys, *words).out.startswith("3 ok (unchanged since it was verified on 20")
    remove_a_file(thirds)
    for _ in range(2):
        done = run(capsys, *words)
        assert (done.code, "missing  thirds/two.txt" in done.out) == (1, True)

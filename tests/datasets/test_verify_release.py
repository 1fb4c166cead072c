"""A release is compared with the published hashes, file by file: ok, missing or invalid."""

from __future__ import annotations

import os
import shutil
import zipfile

import pytest

from facebench.datasets import verify_release
from facebench.errors import DataMissing, InvalidData, UsageError
from tests.datasets.helpers import flip

ONE, TWO, THREE = "thirds/one.png", "thirds/two.txt", "thirds/deep/three.txt"


def states(checks):
    return {check.name: check.state for check in checks}


def test_a_good_release(thirds):
    checks = verify_release("thirds", [thirds.parent])
    assert states(checks) == {ONE: "ok", TWO: "ok", THREE: "ok"}
    assert {check.detail for check in checks} == {""}


def test_in_an_archive_or_deeper_down(thirds, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "thirds"), "zip", thirds.parent)
    assert set(states(verify_release("thirds", [archive])).values()) == {"ok"}
    shutil.copytree(thirds.parent, tmp_path / "a" / "b")
    assert set(states(verify_release("thirds", [tmp_path / "a"])).values()) == {"ok"}


def test_given_the_folder_itself(thirds):
    """As 'prepare' takes it."""
    assert set(states(verify_release("thirds", [thirds])).values()) == {"ok"}


def test_in_several_places(thirds, tmp_path):
    (tmp_path / "rest" / "thirds").mkdir(parents=True)
    shutil.move(thirds / "two.txt", tmp_path / "rest" / "thirds" / "two.txt")
    assert states(verify_release("thirds", [thirds.parent]))[TWO] == "missing"
    both = verify_release("thirds", [thirds.parent, tmp_path / "rest"])
    assert set(states(both).values()) == {"ok"}


def test_a_missing_and_a_changed_file_are_named(thirds):
    (thirds / "two.txt").unlink()
    (thirds / "deep" / "three.txt").write_text("thre3", encoding="utf-8")
    checks = verify_release("thirds", [thirds.parent])
    assert states(checks) == {ONE: "ok", TWO: "missing", THREE: "invalid"}
    (bad,) = [check for check in checks if check.state == "invalid"]
    assert bad.detail == "not the bytes of the published release"


def test_files_that_nobody_published_are_passed_over(thirds):
    (thirds / "four.txt").write_text("four", encoding="utf-8")
    (thirds.parent / "two.txt").write_text("another", encoding="utf-8")
    assert states(verify_release("thirds", [thirds.parent])) == {ONE: "ok", TWO: "ok", THREE: "ok"}


def test_an_unreadable_member_of_an_archive_is_invalid_and_the_others_are_checked(thirds, tmp_path):
    archive = tmp_path / "thirds.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(thirds.rglob("*.*")):
            opened.write(path, path.relative_to(thirds.parent))
    with zipfile.ZipFile(archive) as opened:
        offset = opened.getinfo(THREE).header_offset
    flip(archive, offset + 30 + len(THREE) + 2)
    assert states(verify_release("thirds", [archive])) == {ONE: "ok", TWO: "ok", THREE: "invalid"}


def test_an_archive_that_was_cut_short(thirds, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "thirds"), "zip", thirds.parent)
    os.truncate(archive, 100)
    with pytest.raises(InvalidData, match=r"thirds\.zip: not a complete zip archive"):
        verify_release("thirds", [archive])


def test_something_else_altogether(thirds, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(DataMissing) as missing:
        verify_release("thirds", [tmp_path / "other"])
    assert f"none of its files found in {tmp_path / 'other'}" in str(missing.value)
    assert "thirds/one.png" in str(missing.value)


def test_no_such_path(thirds, tmp_path):
    with pytest.raises(DataMissing, match="no such file or folder"):
        verify_release("thirds", [tmp_path / "absent"])


def test_a_dataset_whose_hashes_nobody_knows(thirds, tmp_path):
    (tmp_path / "site" / "thirds.sha256").unlink()
    with pytest.raises(UsageError, match=r"thirds: the hashes of its files are not known"):
        verify_release("thirds", [thirds.parent])


def test_an_unknown_dataset(thirds):
    with pytest.raises(UsageError, match="Unknown dataset 'fourths'"):
        verify_release("fourths", [thirds.parent])


def test_drawn_faces_are_not_the_release(drawn):
    with pytest.raises(DataMissing, match="aflw2000: none of its files found"):
        verify_release("aflw2000", [drawn.parent / "release"])

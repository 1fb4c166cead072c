"""A folder, an archive and a single file are read the same way."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from facebench.datasets import open_source
from facebench.datasets.sources import tree_sha256
from facebench.errors import DataMissing, InvalidData
from tests.datasets.helpers import flip

FILES = {"b.txt": b"bee", "a/one.txt": b"1", "a/b/ü.bin": bytes(range(256)), "empty": b""}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    return tmp_path / "tree"


@pytest.fixture
def archive(folder, tmp_path):
    return Path(shutil.make_archive(str(tmp_path / "tree"), "zip", folder))


@pytest.fixture(params=["folder", "archive"])
def source(request):
    return open_source(request.getfixturevalue(request.param))


def test_names_and_sizes_sorted(source):
    assert list(source) == sorted(FILES)
    assert source.sizes == {name: len(data) for name, data in FILES.items()}
    assert "a/one.txt" in source
    assert "a" not in source


def test_bytes_and_their_hashes(source):
    assert source.digests == {}
    for name, data in FILES.items():
        assert source.read(name) == data
    assert source.digests == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def test_a_single_file(folder):
    source = open_source(folder / "b.txt")
    assert source.sizes == {"b.txt": 3}
    assert source.read("b.txt") == b"bee"
    assert source.where("b.txt") == str(folder / "b.txt")


def test_files_are_named_so_that_they_can_be_found(folder, archive):
    assert open_source(folder).where("a/one.txt") == str(folder / "a" / "one.txt")
    assert open_source(archive).where("a/one.txt") == f"{archive}: a/one.txt"


def test_home_may_be_written_short(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert list(open_source("~/tree")) == sorted(FILES)


def test_an_ending_in_capitals_is_an_archive(archive, tmp_path):
    shutil.copy(archive, tmp_path / "TREE.ZIP")
    assert list(open_source(tmp_path / "TREE.ZIP")) == sorted(FILES)


def test_nothing_there(tmp_path):
    with pytest.raises(DataMissing, match=re.escape(f"{tmp_path / 'absent'}: no such file or folder")):
        open_source(tmp_path / "absent")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_an_archive_that_was_cut_short(archive, tmp_path, share):
    data = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InvalidData, match=r"cut\.zip: not a complete zip archive .* obtain it again"):
        open_source(tmp_path / "cut.zip")


def test_an_archive_with_a_changed_byte_names_the_member(archive, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("a/b/ü.bin")
    shutil.copy(archive, tmp_path / "bad.zip")
    begin = info.header_offset + 30 + len(info.filename.encode())
    flip(tmp_path / "bad.zip", begin + info.compress_size // 2)
    source = open_source(tmp_path / "bad.zip")
    assert source.read("b.txt") == b"bee"
    with pytest.raises(InvalidData, match=r"bad\.zip: a/b/ü\.bin: cannot be read"):
        source.read("a/b/ü.bin")


def test_an_encrypted_member_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as opened:
        opened.writestr("secret.txt", b"x")
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(InvalidData, match=r"locked\.zip: secret\.txt: cannot be read"):
        open_source(tmp_path / "locked.zip").read("secret.txt")


def test_a_file_that_vanished_is_named(folder):
    source = open_source(folder)
    (folder / "b.txt").unlink()
    with pytest.raises(InvalidData, match=re.escape(f"{folder / 'b.txt'}: cannot be read")):
        source.read("b.txt")


LITTER = [".DS_Store", "a/.DS_Store", "Thumbs.db", "a/b/desktop.ini", "__MACOSX/a/._one.txt", "a/._one.txt"]


@pytest.mark.parametrize("litter", [*LITTER, "release/__MACOSX/x.mat"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_what_file_managers_leave_behind_is_no_part_of_a_release(folder, tmp_path, litter, packed):
    (folder / litter).parent.mkdir(parents=True, exist_ok=True)
    (folder / litter).write_bytes(b"\0\5\x16\7")
    place = shutil.make_archive(str(tmp_path / "littered"), "zip", folder) if packed else folder
    assert list(open_source(place)) == sorted(FILES)


def test_a_folder_behind_a_link_is_part_of_it(folder, tmp_path):
    """Releases are large: people keep them on another disk and link to them."""
    shutil.move(folder / "a", tmp_path / "elsewhere")
    (folder / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert list(open_source(folder)) == sorted(FILES)


def test_the_hash_of_a_tree_is_that_of_sha256sum(folder):
    source = open_source(folder)
    for name in source:
        source.read(name)
    if shutil.which("sha256sum"):
        listed = subprocess.run(["sha256sum", *source], cwd=folder, capture_output=True, check=True).stdout
        assert tree_sha256(source.digests) == hashlib.sha256(listed).hexdigest()
    assert tree_sha256(dict(reversed(source.digests.items()))) == tree_sha256(source.digests)
    assert tree_sha256({}) == hashlib.sha256(b"").hexdigest()

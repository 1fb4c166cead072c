"""A tar of any size is read like a zip: with little memory, and nothing in it gets a name on disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facebench.datasets import open_source, prepare, tars
from facebench.errors import FacebenchError, InvalidData
from tests.datasets import biwi_release

FORMS = {"": "a.tar", "gz": "a.tar.gz", "bz2": "a.tbz2", "xz": "a.txz"}
FILES = {f"release/{one}/{at}.bin": os.urandom(50 * at) for one in "ba" for at in range(9)}


def write_tar(path, files, form="gz", **special):
    with tarfile.open(path, f"w:{form}") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in special.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_the_same_as_a_folder(tmp_path, form):
    packed = open_source(write_tar(tmp_path / FORMS[form], FILES, form))
    unpacked = open_source(biwi_release.write_folder(tmp_path / "folder", FILES))
    assert packed.sizes == unpacked.sizes
    assert list(packed) == sorted(FILES)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(packed.read, FILES)) == list(FILES.values())
    assert {name: unpacked.read(name) for name in unpacked} == FILES
    assert packed.digests == unpacked.digests


def test_the_ending_may_be_wrong(tmp_path):
    assert open_source(write_tar(tmp_path / "a.tar.gz", FILES, "xz")).sizes.keys() == FILES.keys()


def test_nothing_is_left_beside_it(tmp_path):
    open_source(write_tar(tmp_path / "a.tgz", FILES)).read("release/a/3.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_a_folder_where_nobody_can_write(tmp_path, monkeypatch):
    path, real = write_tar(tmp_path / "a.tgz", FILES), tars.tempfile.TemporaryFile

    def refuse(dir=None):
        if dir is not None:
            raise PermissionError(13, "Permission denied")
        return real()

    monkeypatch.setattr(tars.tempfile, "TemporaryFile", refuse)
    assert open_source(path).read("release/a/3.bin") == FILES["release/a/3.bin"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "./../out.txt"])
def test_a_name_that_leads_out_is_refused(tmp_path, form, name):
    path = write_tar(tmp_path / FORMS[form], {"good.txt": b"x", name: b"x"}, form)
    with pytest.raises(InvalidData) as error:
        open_source(path)
    assert str(error.value) == f"{path}: {name}: the name leads out of the archive. Obtain it again."


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_not_there(tmp_path, kind):
    path = write_tar(tmp_path / "a.tgz", {"odd": b""}, type=kind, linkname="/etc/passwd")
    assert list(open_source(path)) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_one_that_was_cut_short(tmp_path, form, share):
    path = write_tar(tmp_path / FORMS[form], {"a.bin": os.urandom(50_000), "b.bin": os.urandom(90_000)}, form)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InvalidData) as error:
        open_source(path)
    assert str(error.value).startswith(f"{path}: not a complete tar archive (")
    assert "\n" not in str(error.value)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_no_room(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tars.tempfile, "TemporaryFile", lambda dir=None: Full())
    path = write_tar(tmp_path / "a.tgz", FILES)
    with pytest.raises(
        FacebenchError, match=r"a\.tgz: could not be decompressed \(No space left.*Free space"
    ):
        open_source(path)


def test_progress_is_shown_while_it_is_decompressed(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "BLOCK_BYTES", 1000)
    path, seen = write_tar(tmp_path / "a.tgz", {"noise.bin": os.urandom(30_000)}), []

    def progress(items, total, title):
        for number, item in enumerate(items, 1):
            yield item
            seen.append((number, total, title))

    open_source(path, progress)
    steps = -(-path.stat().st_size // 1000)
    assert seen == [(number, steps, "unpacking a.tgz") for number in range(1, steps + 1)]


def test_an_interrupt_leaves_nothing(tmp_path):
    path = write_tar(tmp_path / "a.tgz", {"noise.bin": os.urandom(3 << 20)})

    def progress(items, total, title):
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_source(path, progress)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgz"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the memory that a process has used")
def test_memory_does_not_grow_with_the_archive(tmp_path):
    """200 MB of zeros, which a small file decompresses to."""
    path = write_tar(tmp_path / "a.tgz", {f"{at}.bin": bytes(20 << 20) for at in range(10)})
    script = (
        "import resource, sys\n"
        "from facebench.datasets import open_source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "source = open_source(sys.argv[1])\n"
        "assert all(len(source.read(name)) == 20 << 20 for name in source)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    words = [sys.executable, "-c", script, str(path)]
    grown = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert grown * (1 if sys.platform == "darwin" else 1024) < 80 << 20


def test_biwi_is_prepared_from_the_archive_that_its_owners_give_out(tmp_path):
    files = biwi_release.small_release("kinect_head_pose_db")
    path = write_tar(tmp_path / "kinect_head_pose_db.tgz", files)
    folder = biwi_release.write_folder(tmp_path / "raw", files)
    made = [tmp_path / "tar.h5", tmp_path / "folder.h5"]
    for source, target, workers in zip((path, folder), made, (3, 1), strict=True):
        prepare("biwi", [source], target, partial=True, workers=workers)
    assert np.array_equal(*(np.frombuffer(one.read_bytes(), np.uint8) for one in made))

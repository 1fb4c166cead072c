"""A file is there completely or not at all, whatever happens while it is written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from facebench.datasets import prepare
from facebench.errors import FacebenchError, InvalidData
from facebench.formats import ImageFile, atomic_path, is_intact, open_dataset, write_dataset, write_text
from tests.formats import toy

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX processes and signals")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leftovers(folder):
    return [name for name in names(folder) if name.endswith(".part")]


class Breaking:
    """The toy's images, the second of which raises when it is read."""

    def __init__(self, error):
        self.error = error

    def images(self):
        def read():
            raise self.error

        first, second, third = (toy.picture(name) for name in toy.PICTURES)
        return [first, ImageFile(second.path, second.nbytes, read), third]


BREAKS = [
    LookupError("boom"),
    InvalidData("b.png: bad"),
    KeyboardInterrupt(),
    SystemExit(143),
    MemoryError(),
]


class TestAnInterruptedWrite:
    @pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
    def test_of_an_image_leaves_no_file(self, tmp_path, error):
        with pytest.raises(type(error)):
            toy.write(tmp_path / "new" / "toy.h5", images=Breaking(error).images())
        assert list((tmp_path / "new").iterdir()) == []

    @pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
    def test_of_an_image_leaves_the_older_file_as_it_was(self, toy_path, error):
        before = toy_path.read_bytes()
        with pytest.raises(type(error)):
            toy.write(toy_path, images=Breaking(error).images(), splits={})
        assert toy_path.read_bytes() == before
        assert names(toy_path.parent) == [toy_path.name]

    def test_while_the_provenance_is_gathered(self, toy_path):
        def provenance():
            raise KeyboardInterrupt

        before = toy_path.read_bytes()
        with pytest.raises(KeyboardInterrupt):
            write_dataset(toy_path, toy.content(), provenance)
        assert toy_path.read_bytes() == before
        assert leftovers(toy_path.parent) == []

    def test_from_the_progress_bar(self, toy_path):
        def progress(items, total, title):
            for number, item in enumerate(items):
                if number == 2:
                    raise KeyboardInterrupt
                yield item

        before = toy_path.read_bytes()
        with pytest.raises(KeyboardInterrupt):
            write_dataset(toy_path, toy.content(), dict, progress=progress)
        assert toy_path.read_bytes() == before
        assert leftovers(toy_path.parent) == []

    def test_the_old_file_is_seen_until_the_new_one_is_complete(self, toy_path):
        before, seen = toy_path.read_bytes(), []
        with atomic_path(toy_path) as temporary:
            temporary.write_bytes(b"half")
            seen.append(toy_path.read_bytes())
            temporary.write_bytes(b"whole")
        assert seen == [before]
        assert toy_path.read_bytes() == b"whole"
        assert leftovers(toy_path.parent) == []


class TestImagesThatChange:
    def test_an_image_that_is_shorter_than_it_was(self, tmp_path):
        images = toy.content().images
        images[1] = ImageFile("b.png", images[1].nbytes + 1, images[1].read)
        with pytest.raises(InvalidData, match=r"b\.png: expected \d+ bytes, read \d+: it changed meanwhile"):
            toy.write(tmp_path / "toy.h5", images=images)
        assert list(tmp_path.iterdir()) == []


class TestWriteText:
    def test_is_utf8_with_unix_line_ends(self, tmp_path):
        write_text(tmp_path / "a" / "page.md", "é\nb\n")
        assert (tmp_path / "a" / "page.md").read_bytes() == "é\nb\n".encode()

    def test_a_text_that_cannot_be_encoded_leaves_the_older_one(self, tmp_path):
        write_text(tmp_path / "page.md", "old")
        with pytest.raises(UnicodeEncodeError):
            write_text(tmp_path / "page.md", "\ud800")
        assert (tmp_path / "page.md").read_text(encoding="utf-8") == "old"
        assert names(tmp_path) == ["page.md"]


class TestWhereNothingCanBeWritten:
    def test_a_folder_of_that_name(self, tmp_path):
        (tmp_path / "toy.h5").mkdir()
        with pytest.raises(FacebenchError, match=r"toy\.h5: could not be written"):
            toy.write(tmp_path / "toy.h5")
        assert names(tmp_path) == ["toy.h5"]

    def test_a_file_where_a_folder_should_be(self, tmp_path):
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(FacebenchError, match=r"toy\.h5: could not be written"):
            toy.write(tmp_path / "file" / "toy.h5")
        assert names(tmp_path) == ["file"]


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


class TestLeftoversOfKilledProcesses:
    def temporary_of(self, target, pid):
        """Where another process with this id would write the target meanwhile."""
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"")
        return temporary.with_name(temporary.name.replace(f"-{os.getpid()}.part", f"-{pid}.part"))

    @pytest.mark.parametrize("name", ["toy.h5", "run [1].h5"])
    def test_are_swept_by_the_next_write(self, tmp_path, dead_pid, name):
        stale = self.temporary_of(tmp_path / name, dead_pid)
        assert str(os.getpid()) not in stale.name
        stale.write_bytes(b"half")
        toy.write(tmp_path / name)
        assert names(tmp_path) == [name]

    def test_of_other_files_are_left_alone(self, tmp_path, dead_pid):
        stale = self.temporary_of(tmp_path / "other.h5", dead_pid)
        stale.write_bytes(b"half")
        toy.write(tmp_path / "toy.h5")
        assert stale.exists()

    def test_a_living_process_keeps_its_file(self, tmp_path):
        theirs = self.temporary_of(tmp_path / "toy.h5", os.getppid())
        theirs.write_bytes(b"half")
        toy.write(tmp_path / "toy.h5")
        assert theirs.read_bytes() == b"half"

    def test_another_computer_keeps_its_file(self, tmp_path, dead_pid, monkeypatch):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("socket.gethostname", lambda: "another-computer")
            theirs = self.temporary_of(tmp_path / "toy.h5", dead_pid)
        theirs.write_bytes(b"half")
        toy.write(tmp_path / "toy.h5")
        assert theirs.read_bytes() == b"half"

    def test_a_file_of_a_like_name_is_no_trouble(self, tmp_path):
        with atomic_path(tmp_path / "toy.h5") as temporary:
            temporary.write_bytes(b"")
        theirs = temporary.with_name(temporary.name.replace(f"-{os.getpid()}.part", "-copy.part"))
        theirs.write_bytes(b"kept by its owner")
        toy.write(tmp_path / "toy.h5")
        assert theirs.read_bytes() == b"kept by its owner"


# Prepares a release, but stops for good when the given number of images has been read.
STUCK = """
import sys, time
from pathlib import Path
from facebench.datasets import prepare
from facebench.datasets.sources import Source

release, target, images = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
read, seen = Source.read, []

def stuck(self, name):
    seen.append(name.endswith(".jpg"))
    if sum(seen) > images:
        print(*[path.name for path in target.parent.glob(".*.part")], flush=True)
        time.sleep(600)
    return read(self, name)

Source.read = stuck
prepare("aflw2000", [release], target, partial=True)
"""


@pytest.mark.parametrize(("images", "older"), [(1, False), (20, True)], ids=["first", "over an older file"])
def test_a_process_killed_while_it_prepares(drawn, tmp_path, images, older):
    release, target = drawn.parent / "release", tmp_path / "aflw2000.h5"
    if older:
        target.write_bytes(b"older")
    words = [sys.executable, "-c", STUCK, str(release), str(target), str(images)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            stale = process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert stale.startswith(".aflw2000.h5.")
    assert leftovers(tmp_path) == [stale]
    if older:
        assert target.read_bytes() == b"older"
    else:
        assert not target.exists()
    prepare("aflw2000", [release], target, partial=True)
    assert names(tmp_path) == ["aflw2000.h5"]
    assert target.read_bytes() == drawn.read_bytes()


def write_marked(path, number):
    toy.write(path, licence=f"writer {number}")
    return number


def test_processes_that_write_the_same_file_at_once(tmp_path):
    path, spawn = tmp_path / "toy.h5", multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        done = list(pool.map(write_marked, [path] * 12, range(12), timeout=60))
    assert done == list(range(12))
    assert is_intact(path)
    assert open_dataset(path).licence in {f"writer {number}" for number in range(12)}
    assert names(tmp_path) == ["toy.h5"]

"""Images whose size is known only once they are encoded, and images read by several threads."""

from __future__ import annotations

import threading
import time

import pytest

from facebench.errors import InvalidData
from facebench.formats import ImageFile, open_dataset, write_dataset
from tests.formats import toy

NAMES = list(toy.PICTURES)


def write(path, images, **options):
    write_dataset(path, toy.content(images=images), lambda: toy.PROVENANCE, **options)
    return path


def unsized(name, wait=0.0):
    def read():
        time.sleep(wait)
        return toy.PICTURES[name]

    return ImageFile(name, None, read)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_gives_the_bytes_that_known_sizes_give(toy_path, tmp_path, workers):
    mixed = [toy.picture("a.png"), unsized("b.png"), toy.picture("c.jpg")]
    for images in ([unsized(name) for name in NAMES], mixed, toy.content().images):
        path = write(tmp_path / "new" / "toy.h5", images, workers=workers)
        assert path.read_bytes() == toy_path.read_bytes()


@pytest.mark.parametrize("embed", [True, False])
def test_images_keep_their_order_whichever_is_read_first(tmp_path, embed):
    """More images than the threads may be ahead of the writer, the first of them the slowest."""
    images = [ImageFile(f"{n:03}.png", None, lambda n=n: late(n)) for n in range(80)]

    def late(number):
        time.sleep(0.03 * (number % 7 == 0))
        return toy.encoded(number)

    found = open_dataset(write(tmp_path / "toy.h5", images, workers=4, embed_images=embed))
    assert found.image_paths == [f"{n:03}.png" for n in range(80)]
    if embed:
        assert [found.encoded_image(n).tobytes() for n in range(80)] == [toy.encoded(n) for n in range(80)]
    assert [one.tobytes() for one in found.image_sha256] == [digest(n) for n in range(80)]


def digest(number):
    import hashlib

    return hashlib.sha256(toy.encoded(number)).digest()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), LookupError("boom"), InvalidData("b.png: bad")], ids=repr
)
def test_an_error_on_the_way_leaves_nothing(toy_path, workers, error):
    def read():
        raise error

    before = toy_path.read_bytes()
    with pytest.raises(type(error)):
        write(
            toy_path,
            [unsized("a.png"), ImageFile("b.png", None, read), unsized("c.jpg", 0.1)],
            workers=workers,
        )
    assert toy_path.read_bytes() == before
    assert [path.name for path in toy_path.parent.iterdir()] == ["toy.h5"]


def test_an_error_stops_the_reading_soon(tmp_path):
    """Of a hundred thousand images, those behind the first fault are not read for nothing."""
    read = []

    def count(number):
        read.append(number)
        if number == 3:
            message = "003.png: bad"
            raise InvalidData(message)
        return toy.PICTURES["a.png"]

    images = [ImageFile(f"{n:03}.png", None, lambda n=n: count(n)) for n in range(500)]
    with pytest.raises(InvalidData, match=r"003\.png: bad"):
        write(tmp_path / "toy.h5", images, workers=2)
    assert len(read) < 100
    assert threading.active_count() < 20


def test_what_is_no_image_is_named_by_its_place_on_disk(tmp_path):
    image = ImageFile("b.png", None, lambda: b"no image", "/data/release.zip: faces/b.png")
    with pytest.raises(InvalidData, match=r"^/data/release\.zip: faces/b\.png: expected an image"):
        write(tmp_path / "toy.h5", [unsized("a.png"), image, unsized("c.jpg")], workers=2)
    assert list(tmp_path.iterdir()) == []

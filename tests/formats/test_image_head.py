"""The quick look at a JPEG finds what Pillow finds, or leaves the image to it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facebench.formats.image_head import jpeg_size


def jpeg(mode="RGB", size=(37, 21), **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg("L"),
        jpeg(progressive=True, optimize=True),
        jpeg(quality=100, subsampling=0),
        jpeg(exif=turned(), comment=b"a \xff\xc0 comment", dpi=(300, 300)),
        jpeg(restart_marker_blocks=2),
        jpeg(size=(1, 4000)),
    ],
    ids=["baseline", "grey", "progressive", "fine", "with much before it", "restarts", "long"],
)
def test_of_ordinary_ones(data):
    with Image.open(io.BytesIO(data)) as image:
        assert jpeg_size(data) == image.size


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        jpeg("CMYK"),
        jpeg()[:150],
        jpeg().replace(b"\xff\xc0", b"\xff\xc3", 1),
        jpeg(size=(16, 16)).replace(b"\0\x10\0\x10\3", b"\0\0\0\x10\3", 1),
        jpeg(size=(16, 16)).replace(b"\0\x10\0\x10\3", b"\xff\xff\xff\xff\3", 1),
        jpeg().replace(b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\x10", 1),
        jpeg()[:2] + b"\xff\xe2\0\x08MPF\0II" + jpeg()[2:],
    ],
    ids=["empty", "start", "png", "cmyk", "cut", "lossless", "no height", "vast", "table", "several"],
)
def test_others_are_left_to_a_general_reader(data):
    assert jpeg_size(data) is None


def test_a_damaged_head_never_gives_another_size():
    good, rng = jpeg(), np.random.default_rng(1)
    seen = 0
    for _ in range(3000):
        data = bytearray(good)
        data[rng.integers(0, 640)] = rng.integers(0, 256)
        if size := jpeg_size(bytes(data)):
            with Image.open(io.BytesIO(data)) as image:
                assert (image.size, image.format) == (size, "JPEG")
            seen += 1
    assert seen > 1000

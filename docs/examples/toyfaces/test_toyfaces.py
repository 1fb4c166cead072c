"""What is read is what was drawn, and a broken release is refused by the name of the file."""

import numpy as np
import pytest
from make_release import draw

import facebench
from facebench.datasets import prepare
from facebench.errors import InvalidData


@pytest.fixture
def release(tmp_path):
    draw(tmp_path / "release")
    return tmp_path / "release"


def test_what_is_read_is_what_was_drawn(release, tmp_path):
    done = prepare("toyfaces", [release], tmp_path / "toyfaces.h5")
    face = facebench.open_dataset(done.path)["face_03"]
    drawn = np.loadtxt(release / "face_03.txt") - 1
    np.testing.assert_allclose(face.annotations["points"].points, drawn)
    assert face.image.shape == (240, 240, 3)


def test_missing_images_are_named(release, tmp_path):
    for name in ("face_03.png", "face_05.png"):
        (release / name).unlink()
    with pytest.raises(InvalidData, match=r"2 faults found.\n  face_03.png: missing\n  face_05.png: missing"):
        prepare("toyfaces", [release], tmp_path / "toyfaces.h5")
    done = prepare("toyfaces", [release], tmp_path / "toyfaces.h5", partial=True)
    assert done.notes == ["a part of the release: 6 of 8 faces"]

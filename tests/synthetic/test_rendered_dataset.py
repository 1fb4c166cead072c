"""The dataset that is made on the spot: what is prepared is what was rendered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import facebench
from facebench.datasets import get_dataset, prepare
from facebench.errors import UsageError
from facebench.formats import ids_sha256
from facebench.synthetic import render_faces
from facebench.synthetic.rendered import _Spool

COUNT, SEED = 10, 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    target = tmp_path_factory.mktemp("rendered") / "rendered.h5"
    return facebench.open_dataset(prepare("rendered", [], target, faces=COUNT, seed=SEED).path)


def test_what_is_prepared_is_what_was_rendered(dataset):
    truth = dataset.annotation("truth")
    for row, face in enumerate(render_faces(COUNT, SEED)):
        np.testing.assert_allclose(truth.points[row], face.points, atol=1e-4)
        np.testing.assert_array_equal(truth.visibility[row], face.visibility)
        np.testing.assert_allclose(dataset.rotation[row], face.rotation, atol=1e-9)
        assert bytes(dataset.encoded_image(row)) == face.jpeg


def test_every_fifth_face_is_a_test_face(dataset):
    assert dataset.splits["test"].tolist() == [0, 5]
    assert sorted([*dataset.splits["test"], *dataset.splits["train"]]) == list(range(COUNT))


def test_other_faces_than_the_published_ones_are_a_part(dataset):
    assert dataset.provenance["options"] | {"images": ""} == {
        "images": "",
        "partial": True,
        "faces": COUNT,
        "seed": SEED,
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_faces_are_the_same_bytes(dataset, tmp_path, workers):
    again = prepare("rendered", [], tmp_path / "again.h5", faces=COUNT, seed=SEED, workers=workers).path
    assert again.read_bytes() == dataset.path.read_bytes()


def test_images_put_aside_are_read_by_many_threads_at_once():
    spool = _Spool()
    whole = [bytes([number]) * 5000 for number in range(200)]
    readers = [spool.keep(data) for data in whole]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda reader: reader(), readers)) == whole


def test_hashes_of_the_published_splits():
    manifest = get_dataset("rendered").manifest
    ids = [f"s{manifest.seed}-{number:06d}" for number in range(manifest.faces)]
    assert ids_sha256(ids) == manifest.splits["all"].sha256
    assert ids_sha256(ids[::5]) == manifest.splits["test"].sha256


@pytest.mark.parametrize("protocol", ["rendered/pose", "rendered/landmarks", "rendered/visibility"])
def test_the_truth_is_a_perfect_prediction(dataset, protocol):
    truth = dataset.annotation("truth")
    given = {
        "dataset": "rendered",
        "method": "truth",
        "id": dataset.ids,
        "scheme": "ibug68",
        "landmarks": truth.points,
        "rotation": dataset.rotation,
        "visibility": np.where(truth.visibility == 1, 0.9, np.linspace(0.1, 0.2, 68)),
    }
    result = facebench.score(given, protocol, dataset, resamples=0)
    assert result.headline.value == pytest.approx(100 if "visibility" in protocol else 0, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"faces": 0}, "expected a whole number from 1 to"),
        ({"faces": 10**9}, "expected a whole number from 1 to"),
        ({"faces": 2.5}, "expected a whole number from 1 to"),
        ({"seed": -1}, "expected a whole number from 0 to"),
        ({"seed": True}, "expected a whole number from 0 to"),
        ({"sources": ["x"]}, "is made on the spot and takes no --source"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, given, said):
    with pytest.raises(UsageError, match=said):
        prepare("rendered", given.pop("sources", []), tmp_path / "x.h5", **given)
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_is_read_takes_no_recipe(tmp_path):
    with pytest.raises(UsageError, match="--faces and --seed are for a dataset that is made"):
        prepare("aflw2000", [tmp_path], tmp_path / "x.h5", seed=1)

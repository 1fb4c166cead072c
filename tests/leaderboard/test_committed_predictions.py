"""Computed rows: the predictions kept here, and the published ones, give the numbers of their rows again."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import facebench
from facebench.datasets import prepare
from facebench.formats import read_predictions
from facebench.geometry import geodesic_distance, tight_box
from facebench.geometry.crops import invert_transform, transform_points
from facebench.leaderboard import load_entries, slug
from facebench.protocols import Signature, predict_baseline
from tests.datasets.w300_tree import ENCODED, pts

BOARDS = Path(__file__).parents[2] / "leaderboards"
KEPT = sorted((BOARDS / "predictions").glob("*/*.h5"))


def results_of(path: Path) -> list:
    """Return the computed results of the entry that a predictions file belongs to."""
    entries = {slug(entry.method): entry for entry in load_entries(BOARDS, path.parent.name)}
    return [one.result for one in entries[path.stem].results if one.status != "reported"]


def assert_same(again, kept) -> None:
    assert (again.n, again.faces, again.missing_ids) == (kept.n, kept.faces, kept.missing_ids)
    for one, other in zip(again.scores, kept.scores, strict=True):
        assert (one.metric, one.group, one.n) == (other.metric, other.group, other.n)
        np.testing.assert_allclose(
            [one.value, one.low, one.high], [other.value, other.low, other.high], atol=1e-6
        )


@pytest.fixture(scope="module")
def public_300w(spiga, real_data, tmp_path_factory):
    """The public test set in the release's layout, prepared: SPIGA's copy of the points, and no images."""
    published, ids = spiga
    folder = tmp_path_factory.mktemp("300w")
    for one, points in zip(ids, published["gt_landmarks68"], strict=True):
        kind = "png" if one.startswith("lfpw") else "jpg"
        path = folder / f"{one}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pts(points + 1, head=True))
        path.with_suffix(f".{kind}").write_bytes(ENCODED[kind])
    shutil.copy(real_data / "raw" / "mean_face_3d_68.csv", folder / "mean_face_3D_68.txt")
    sources = [folder / name for name in ("helen", "lfpw", "ibug", "mean_face_3D_68.txt")]
    return prepare("300w", sources, folder / "300w.h5").path


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_is_the_one_that_its_rows_were_made_from(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    results = results_of(path)
    assert results
    assert {result.inputs["predictions"] for result in results} == {digest}


def test_rows_of_aflw2000_are_scored_again(genuine):
    files = [path for path in KEPT if path.parent.name == "aflw2000"]
    assert files
    dataset = facebench.open_dataset(genuine)
    for path in files:
        for expected in results_of(path):
            again = facebench.score(path, expected.protocol, dataset)
            assert_same(again, expected)


def test_rows_of_300w_are_scored_again(public_300w, spiga_predictions, tmp_path):
    dataset = facebench.open_dataset(public_300w)
    files = {"mnn-s": BOARDS / "predictions" / "300w" / "mnn-s.h5", "spiga": spiga_predictions}
    for model, name in (
        ("mean-shape", "mean-shape-in-the-box-constant"),
        ("zero-pose", "zero-pose-constant"),
        ("mean-pose", "mean-pose-constant"),
    ):
        files[name] = tmp_path / f"{model}.h5"
        predict_baseline(model, dataset, files[name])
    entries = BOARDS / "entries" / "300w"
    computed = {path.stem for path in entries.glob("*.json") if results_of(path)}
    assert computed == set(files)
    for name, file in files.items():
        for kept in results_of(entries / f"{name}.json"):
            again = facebench.score(file, kept.protocol, dataset, missing=kept.missing)
            assert_same(again, kept)
            fields = [Signature.parse(one.signature).fields for one in (again, kept)]
            assert fields[0]["truth"] == fields[1]["truth"]


@pytest.mark.parametrize("dataset", ["300w", "cofw"])
def test_rescored_rows_give_what_was_published(dataset):
    """Shares and means to the digits of the source; the areas of the source are sums over a grid."""
    compared = 0
    for entry in load_entries(BOARDS, dataset):
        for row in (one for one in entry.results if one.status == "rescored"):
            numbers = {(one.metric, one.group): one.value for one in row.result.scores}
            for claim in (one for one in entry.results if one.status == "reported"):
                if claim.protocol != row.protocol or claim.apart:
                    continue
                for one in claim.values:
                    digits = len(repr(one.value).partition(".")[2])
                    near = 0.01 if one.metric.startswith("auc") else 0.51 * 10.0**-digits
                    assert abs(numbers[one.metric, one.group] - one.value) <= near, (entry.method, one)
                    compared += 1
    assert compared >= 9


def test_the_shipped_weights_predict_what_was_kept(genuine, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from facebench.mnn.prediction import Predictor
    from facebench.mnn.weights import find_model, load_weights

    kept = read_predictions(BOARDS / "predictions" / "aflw2000" / "mnn-s.h5")
    dataset = facebench.open_dataset(genuine)
    predictor = Predictor(load_weights(find_model("mnn-s")[0]))
    rows = range(0, len(dataset), 100)
    cuts = [
        predictor.crop(dataset.decode_image(int(dataset.image_of[row])), dataset.boxes["landmarks"][row])
        for row in rows
    ]
    crops, transforms = (np.stack(part) for part in zip(*cuts, strict=True))
    answers = predictor.ask(crops, transforms)
    place = {one: number for number, one in enumerate(kept.ids)}
    same = [place[dataset.ids[row]] for row in rows]
    np.testing.assert_allclose(answers.landmarks, kept.landmarks[same], atol=0.1)
    np.testing.assert_allclose(answers.visibility, kept.visibility[same], atol=0.01)
    assert geodesic_distance(answers.rotation, kept.rotation[same]).max() < 0.1


def test_the_shipped_weights_predict_what_was_kept_of_crops_of_helen(real_data):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from facebench.mnn.prediction import Predictor
    from facebench.mnn.weights import find_model, load_weights

    kept = read_predictions(BOARDS / "predictions" / "300w" / "mnn-s.h5")
    predictor = Predictor(load_weights(find_model("mnn-s")[0]))
    chosen = range(0, len(kept.ids), 33)
    with zipfile.ZipFile(real_data / "training" / "300w_crops.zip") as archive:
        cuts = np.load(io.BytesIO(archive.read("annotations.npz")), allow_pickle=False)
        rows = [cuts["name"].tolist().index(kept.ids[one]) for one in chosen]
        encoded = [archive.read(f"images/{kept.ids[one]}.webp") for one in chosen]
    pictures = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR_RGB) for one in encoded]
    boxes = tight_box(cuts["points68"][rows].astype(float))
    seen = [predictor.crop(picture, box) for picture, box in zip(pictures, boxes, strict=True)]
    crops, transforms = (np.stack(part) for part in zip(*seen, strict=True))
    answers = predictor.ask(crops, transforms)
    points = transform_points(answers.landmarks, invert_transform(cuts["image_to_crop"][rows]))
    np.testing.assert_allclose(points, kept.landmarks[list(chosen)], atol=0.5)
    np.testing.assert_allclose(answers.visibility, kept.visibility[list(chosen)], atol=0.01)
    assert geodesic_distance(answers.rotation, kept.rotation[list(chosen)]).max() < 0.1

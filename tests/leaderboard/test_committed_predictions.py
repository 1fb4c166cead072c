"""Rows of the reference model: its predictions are kept, and give the numbers of the row again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import facebench
from facebench.formats import read_predictions
from facebench.geometry import geodesic_distance
from facebench.leaderboard import load_entries, slug

BOARDS = Path(__file__).parents[2] / "leaderboards"
KEPT = sorted((BOARDS / "predictions").glob("*/*.h5"))


def results_of(path: Path) -> list:
    """Return the computed results of the entry that a predictions file belongs to."""
    entries = {slug(entry.method): entry for entry in load_entries(BOARDS, path.parent.name)}
    return [one.result for one in entries[path.stem].results if one.status == "reproduced"]


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
            for one, kept in zip(again.scores, expected.scores, strict=True):
                assert (one.metric, one.group, one.n) == (kept.metric, kept.group, kept.n)
                np.testing.assert_allclose(
                    [one.value, one.low, one.high], [kept.value, kept.low, kept.high], atol=1e-6
                )


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

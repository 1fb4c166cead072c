"""Scoring: what is matched, what is refused, and that the numbers are those of a slow loop."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

import facebench
from facebench import Predictions, PreparedDataset
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.geometry import convert, correspondences, euler_to_rotation, rotation_to_euler
from facebench.metrics import normalising_distance
from facebench.protocols import (
    BASELINES,
    Signature,
    answered_protocols,
    check_predictions,
    get_protocol,
    predict_baseline,
    protocols_of,
)

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"


@pytest.fixture(scope="module")
def dataset(drawn: Path) -> PreparedDataset:
    return facebench.open_dataset(drawn)


@pytest.fixture(scope="module")
def predictions(dataset: PreparedDataset) -> Predictions:
    rng = np.random.default_rng(1)
    points = dataset.annotations["original"].points
    euler = rotation_to_euler(dataset.rotation, "raw-xyz")
    return Predictions(
        dataset="aflw2000",
        method="noisy",
        ids=list(dataset.ids),
        landmarks=points + rng.normal(0, 5, points.shape),
        euler=euler + rng.normal(0, 4, euler.shape),
        euler_convention="raw-xyz",
        scheme="ibug68",
    )


def changed(predictions: Predictions, **values: object) -> Predictions:
    return dataclasses.replace(predictions, **values)


def numbers(result: facebench.Result) -> dict[tuple[str, str], float]:
    return {(one.metric, one.group): one.value for one in result.scores}


def test_nme_is_that_of_a_loop_over_faces_and_points(dataset, predictions):
    truth = dataset.annotations["original"].points
    by_face = []
    for p, g in zip(predictions.landmarks, truth, strict=True):
        width, height = g[:, 0].max() - g[:, 0].min(), g[:, 1].max() - g[:, 1].min()
        total = sum(math.dist(p[k], g[k]) for k in range(68))
        by_face.append(100 * total / 68 / math.sqrt(width * height))
    result = facebench.score(predictions, ORIGINAL, dataset)
    assert result.get("nme/box-sqrt").value == pytest.approx(np.mean(by_face), rel=1e-12)
    assert result.per_face["nme/box-sqrt"] == pytest.approx(by_face, rel=1e-12)


def test_pose_errors_are_those_of_a_loop_over_faces(dataset, predictions):
    result = facebench.score(predictions, POSE, dataset)
    errors = []
    for row in dataset.split("valid"):
        truth = rotation_to_euler(dataset.rotation[row], "raw-xyz")
        errors.append([min(abs(e), 360 - abs(e)) for e in predictions.euler[row] - truth])
    assert result.n == len(errors) == 34
    assert result.get("mae/raw-xyz").value == pytest.approx(np.mean(errors))
    for axis, name in enumerate(("yaw", "pitch", "roll")):
        assert result.get(f"mae-{name}/raw-xyz").value == pytest.approx(np.mean(errors, axis=0)[axis])


@pytest.mark.parametrize("protocol", [POSE, ORIGINAL])
def test_the_order_of_the_rows_does_not_matter(dataset, predictions, protocol):
    order = np.random.default_rng(0).permutation(len(predictions))
    shuffled = changed(
        predictions,
        ids=[predictions.ids[row] for row in order],
        landmarks=predictions.landmarks[order],
        euler=predictions.euler[order],
    )
    assert facebench.score(shuffled, protocol, dataset) == facebench.score(predictions, protocol, dataset)


@pytest.mark.parametrize("protocol", [POSE, ORIGINAL])
def test_bins_recombine_to_all_faces_and_to_the_balanced_mean(dataset, predictions, protocol):
    result = facebench.score(predictions, protocol, dataset)
    key = get_protocol(protocol).headline[0]
    bins = [result.get(key, split) for split in get_protocol(protocol).bins.values()]
    weighted = sum(one.value * one.n for one in bins) / sum(one.n for one in bins)
    assert weighted == pytest.approx(result.get(key).value)
    assert result.get(key, "balanced").value == pytest.approx(np.mean([one.value for one in bins]))


def test_intervals_contain_their_values(dataset, predictions):
    for one in facebench.score(predictions, ORIGINAL, dataset).scores:
        assert one.low <= one.value <= one.high, one


def test_no_resamples_give_the_same_values_without_intervals(dataset, predictions):
    with_intervals = facebench.score(predictions, POSE, dataset)
    without = facebench.score(predictions, POSE, dataset, resamples=0)
    # Summed in another order, so equal but for the last digit.
    assert numbers(without) == pytest.approx(numbers(with_intervals), rel=1e-12)
    assert "interval:none" in without.signature
    assert json.loads(without.model_dump_json())["scores"][0]["low"] is None


def test_rotation_and_euler_in_any_convention_score_the_same(dataset, predictions):
    rotation = euler_to_rotation(predictions.euler, "raw-xyz")
    given = [changed(predictions, euler=None, euler_convention=None, rotation=rotation)]
    for name in ("upm-xyz", "mnn-yxz", "aflw-yxz"):
        euler = rotation_to_euler(rotation, name)
        given.append(changed(predictions, euler=euler, euler_convention=name))
    expected = numbers(facebench.score(predictions, POSE, dataset))
    for one in given:
        assert numbers(facebench.score(one, POSE, dataset)) == pytest.approx(expected, abs=1e-9)


def test_a_perfect_prediction_scores_perfectly(dataset, predictions):
    perfect = changed(
        predictions,
        landmarks=dataset.annotations["original"].points,
        euler=rotation_to_euler(dataset.rotation, "raw-xyz"),
    )
    for protocol in (POSE, ORIGINAL):
        for one in facebench.score(perfect, protocol, dataset).scores:
            best = 100.0 if get_protocol(protocol).metric(one.metric).better == "higher" else 0.0
            assert one.value == pytest.approx(best, abs=1e-6), one


def without(predictions: Predictions, rows: list[int]) -> Predictions:
    keep = np.delete(np.arange(len(predictions)), rows)
    return changed(
        predictions,
        ids=[predictions.ids[row] for row in keep],
        landmarks=predictions.landmarks[keep],
        euler=predictions.euler[keep],
    )


def test_missing_faces_are_refused_by_name(dataset, predictions):
    with pytest.raises(InvalidData, match=r"2 of 36 faces have no prediction.*image90003, image90005"):
        facebench.score(without(predictions, [2, 4]), ORIGINAL, dataset)


def test_faces_with_a_nan_count_as_missing(dataset, predictions):
    landmarks = predictions.landmarks.copy()
    landmarks[7, 3, 1] = np.nan
    with pytest.raises(InvalidData, match=r"1 of 36 faces.*image90008"):
        facebench.score(changed(predictions, landmarks=landmarks), ORIGINAL, dataset)


def test_excluded_faces_are_left_out_and_named_in_the_signature(dataset, predictions):
    whole = facebench.score(predictions, ORIGINAL, dataset)
    part = facebench.score(without(predictions, [2, 4]), ORIGINAL, dataset, missing="exclude")
    assert part.n == 34
    assert part.missing_ids == ["image90003", "image90005"]
    assert Signature.parse(part.signature).fields["missing"] == "exclude-2"
    expected = np.delete(whole.per_face["nme/box-sqrt"], [2, 4]).mean()
    assert part.get("nme/box-sqrt").value == pytest.approx(expected)


def test_failed_faces_have_the_worst_value_of_each_metric(dataset, predictions):
    whole = facebench.score(predictions, ORIGINAL, dataset)
    failed = facebench.score(without(predictions, [2, 4]), ORIGINAL, dataset, missing="fail")
    assert failed.n == 36
    assert failed.get("nme/box-sqrt").value == math.inf
    areas = np.array(whole.per_face["auc7/box-sqrt"])
    areas[[2, 4]] = 0.0
    assert failed.get("auc7/box-sqrt").value == pytest.approx(areas.mean())
    failures = np.array(whole.per_face["fr7/box-sqrt"])
    failures[[2, 4]] = 100.0
    assert failed.get("fr7/box-sqrt").value == pytest.approx(failures.mean())
    assert math.isfinite(failed.get("p50/box-sqrt").value)


def test_an_infinite_mean_is_null_in_json(dataset, predictions):
    failed = facebench.score(without(predictions, [2]), ORIGINAL, dataset, missing="fail")
    scores = {(one["metric"], one["group"]): one for one in json.loads(failed.model_dump_json())["scores"]}
    assert scores["nme/box-sqrt", "all"]["value"] is None
    assert scores["nme/box-sqrt", "all"]["low"] is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "biwi"}, "for dataset 'biwi', expected 'aflw2000'"),
        ({"ids": ["nobody"] * 36}, r"36 ids are not faces of aflw2000: nobody.*image90001"),
        ({"landmarks": None}, r"expected landmarks \(of ibug68, .*\) in the predictions of 'noisy'"),
    ],
)
def test_what_cannot_be_scored_is_refused(dataset, predictions, values, message):
    with pytest.raises(InvalidData, match=message):
        facebench.score(changed(predictions, **values), ORIGINAL, dataset)


def test_no_prediction_at_all_is_refused_under_every_policy(dataset, predictions):
    nothing = changed(predictions, landmarks=np.full_like(predictions.landmarks, np.nan))
    for missing in ("error", "exclude", "fail"):
        with pytest.raises(InvalidData, match="prediction"):
            facebench.score(nothing, ORIGINAL, dataset, missing=missing)


def test_unknown_names_are_refused_with_the_known_ones(dataset, predictions):
    with pytest.raises(UsageError, match=r"Unknown protocol 'aflw2000/nose'.*aflw2000/pose"):
        facebench.score(predictions, "aflw2000/nose", dataset)
    with pytest.raises(UsageError, match="missing must be 'error', 'exclude' or 'fail', not 'drop'"):
        facebench.score(predictions, POSE, dataset, missing="drop")


def test_an_absent_annotation_set_is_named_with_the_remedy(dataset, predictions, tmp_path):
    from facebench.datasets import prepare
    from facebench.synthetic import draw_aflw2000_tree

    draw_aflw2000_tree(tmp_path, faces=36, seed=3)
    (tmp_path / "AFLW2000-3D-Reannotated.pts68.npy").unlink()
    path = prepare("aflw2000", [tmp_path], tmp_path / "aflw2000.h5", partial=True).path
    alone = facebench.open_dataset(path)
    with pytest.raises(DataMissing, match=r"has no 'reannotated' labels\. Prepare it again with the source"):
        facebench.score(predictions, "aflw2000/landmarks-reannotated", alone)
    able, notes = answered_protocols(predictions, alone)
    assert able == [POSE, ORIGINAL]
    assert "no 'reannotated' labels" in notes[0]


def test_a_zero_normaliser_is_refused_by_face(dataset, predictions, monkeypatch):
    one = dataset.annotations["original"]
    flat = one.points.copy()
    flat[5, :, 1] = 100.0
    monkeypatch.setitem(dataset.annotations, "original", dataclasses.replace(one, points=flat))
    with pytest.raises(InvalidData, match=r"'box-sqrt' is zero or undefined for image90006"):
        facebench.score(predictions, ORIGINAL, dataset)


def test_check_says_what_stands_against_scoring(dataset, predictions):
    assert check_predictions(predictions, dataset) == []
    problems = check_predictions(without(predictions, [2]), dataset)
    assert len(problems) == 3
    assert all("image90003" in problem for problem in problems)


class TestPointsOfAnotherScheme:
    @pytest.fixture
    def aflw(self, dataset, predictions):
        """The same points as AFLW-21 has them; eye and mouth centres, and ears, are anywhere."""
        points = convert(predictions.landmarks, "ibug68", "aflw21")
        return changed(predictions, landmarks=np.nan_to_num(points, nan=1e4), scheme="aflw21")

    def test_are_scored_where_they_are_the_same_point(self, dataset, predictions, aflw):
        result = facebench.score(aflw, ORIGINAL, dataset)
        assert "points:16-of-ibug68-exact-from-aflw21" in result.signature
        assert len(result.per_point) == 16
        same = [j for _, j in correspondences("aflw21", "ibug68")]
        truth = dataset.annotations["original"].points
        errors = np.linalg.norm(predictions.landmarks - truth, axis=2)[:, same].mean(axis=1)
        expected = (100 * errors / normalising_distance(truth, "box-sqrt")).mean()
        assert result.get("nme/box-sqrt").value == pytest.approx(expected)

    def test_approximations_have_to_be_asked_for_and_show(self, dataset, aflw):
        exact = facebench.score(aflw, ORIGINAL, dataset)
        more = facebench.score(aflw, ORIGINAL, dataset, mapping="approximate")
        assert "points:18-of-ibug68-approximate-from-aflw21" in more.signature
        assert set(more.per_point) - set(exact.per_point) == {"jaw_02", "jaw_14"}
        assert more.get("nme/box-sqrt").value > exact.get("nme/box-sqrt").value

    def test_of_the_scheme_itself_are_all_scored(self, dataset, predictions):
        result = facebench.score(predictions, ORIGINAL, dataset)
        assert "points:ibug68|" in result.signature
        assert len(result.per_point) == 68


class TestSignature:
    def test_names_everything_that_can_change_the_number(self, dataset, predictions):
        base = facebench.score(predictions, POSE, dataset)
        others = [
            facebench.score(changed(predictions, box="mtcnn"), POSE, dataset),
            facebench.score(predictions, POSE, dataset, resamples=500),
            facebench.score(predictions, POSE, dataset, seed=1),
            facebench.score(predictions, ORIGINAL, dataset),
            facebench.score(predictions, "aflw2000/landmarks-reannotated", dataset),
            facebench.score(without(predictions, [2]), POSE, dataset, missing="exclude"),
        ]
        assert len({base.signature, *(one.signature for one in others)}) == 7

    def test_does_not_depend_on_the_method(self, dataset, predictions):
        other = changed(predictions, method="another", euler=predictions.euler + 1)
        first, second = (facebench.score(one, POSE, dataset).signature for one in (predictions, other))
        assert first == second

    def test_changes_with_the_ground_truth(self, dataset, predictions, monkeypatch):
        before = facebench.score(predictions, ORIGINAL, dataset).signature
        one = dataset.annotations["original"]
        moved = one.points.copy()
        moved[0, 0, 0] += 1e-6
        monkeypatch.setitem(dataset.annotations, "original", dataclasses.replace(one, points=moved))
        assert facebench.score(predictions, ORIGINAL, dataset).signature != before

    def test_of_each_number_reads_back(self, dataset, predictions):
        result = facebench.score(predictions, POSE, dataset)
        full = result.signature_of(result.headline)
        assert Signature.parse(str(full)) == full
        assert full.fields["metric"] == "mae/raw-xyz"
        assert full.fields["group"] == "all"

    @pytest.mark.parametrize("text", ["", "a:1|a:2", "novalue", "a:|b:2"])
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(UsageError, match="[Ss]ignature"):
            Signature.parse(text)


@pytest.mark.parametrize("model", BASELINES)
def test_constant_predictors_can_be_scored_without_missing_faces(dataset, model, tmp_path):
    predict_baseline(model, dataset, tmp_path / "p.h5")
    read = facebench.read_predictions(tmp_path / "p.h5")
    able, _ = answered_protocols(read, dataset)
    assert able
    for protocol in able:
        assert facebench.score(read, protocol, dataset).missing_ids == []


def test_the_mean_pose_is_the_best_constant_in_the_squared_error(dataset, tmp_path):
    predict_baseline("mean-pose", dataset, tmp_path / "p.h5")
    best = facebench.read_predictions(tmp_path / "p.h5").euler[0]
    truth = rotation_to_euler(dataset.rotation[dataset.split("valid")], "raw-xyz")
    least = np.square(truth - best).sum()
    for shift in np.vstack([np.eye(3), -np.eye(3)]):
        assert np.square(truth - best - shift).sum() > least


def test_an_unknown_model_is_refused(dataset, tmp_path):
    with pytest.raises(UsageError, match="Unknown model 'mnn-xl'. Known models: zero-pose"):
        predict_baseline("mnn-xl", dataset, tmp_path / "p.h5")
    assert not (tmp_path / "p.h5").exists()


def test_every_protocol_is_quoted_by_a_metric_it_has():
    for protocol in protocols_of("aflw2000"):
        keys = {metric.key for metric in protocol.metrics}
        assert all(key in keys and group in protocol.groups for key, group in protocol.board)

"""Comparison of methods: what may be compared, and that the numbers are those of the faces."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import facebench
from facebench import Predictions, PreparedDataset
from facebench.errors import InvalidData, UsageError
from facebench.formats import AnnotationSet
from facebench.geometry import VISIBILITY, convert, rotation_to_euler
from facebench.metrics import average_precision, holm
from facebench.protocols import Comparison, Signature, compare, get_protocol
from tests.protocols.hand_made import write

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"
NME = "nme/box-sqrt"


@pytest.fixture(scope="module")
def dataset(drawn: Path) -> PreparedDataset:
    return facebench.open_dataset(drawn)


@pytest.fixture(scope="module")
def base(dataset):
    return method(dataset, "base", 5, seed=0)


@pytest.fixture(scope="module")
def other(dataset):
    return method(dataset, "other", 4.5, seed=1)


def method(dataset, name, noise, seed=0):
    rng = np.random.default_rng(seed)
    points = dataset.annotations["original"].points
    euler = rotation_to_euler(dataset.rotation, "raw-xyz")
    return Predictions(
        dataset="aflw2000",
        method=name,
        ids=list(dataset.ids),
        landmarks=points + rng.normal(0, noise, points.shape),
        euler=euler + rng.normal(0, noise, euler.shape),
        euler_convention="raw-xyz",
        scheme="ibug68",
    )


def changed(predictions, **values):
    return dataclasses.replace(predictions, **values)


def without(predictions, rows, **values):
    landmarks = predictions.landmarks.copy()
    landmarks[rows] = np.nan
    return changed(predictions, landmarks=landmarks, **values)


def written(path, predictions):
    facebench.write_predictions(
        path,
        dataset="aflw2000",
        method=predictions.method,
        ids=predictions.ids,
        landmarks=predictions.landmarks,
        euler=predictions.euler,
        euler_convention="raw-xyz",
        box=predictions.box,
    )
    return path


# --- The numbers


@pytest.mark.parametrize("protocol", [POSE, ORIGINAL])
def test_values_are_the_scores_of_each_and_differences_theirs(dataset, base, other, protocol):
    found = compare([base, other], protocol, dataset, resamples=10)
    scores = [facebench.score(one, protocol, dataset, resamples=0) for one in (base, other)]
    assert len(found.rows) == len(scores[0].scores)
    for row in found.rows:
        theirs, ours = (one.get(row.metric, row.group).value for one in scores)
        assert (row.value, row.baseline) == pytest.approx((ours, theirs), rel=1e-12)
        assert row.difference == pytest.approx(ours - theirs, abs=1e-8)
    assert (found.baseline, found.methods, found.n) == ("base", ["other"], scores[0].n)
    assert found.dataset == "aflw2000"


def test_the_test_of_a_mean_is_that_of_scipy_on_the_errors_of_the_faces(dataset, base, other):
    row = compare([base, other], ORIGINAL, dataset, resamples=4000).get("other", NME)
    ours, theirs = (
        facebench.score(one, ORIGINAL, dataset, resamples=0).per_face[NME] for one in (other, base)
    )
    apart = stats.permutation_test(
        (ours, theirs), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=4000, rng=0,
    )  # fmt: skip
    assert row.p_randomisation == pytest.approx(apart.pvalue, abs=0.03)
    assert row.p_holm == row.p_randomisation


def test_through_files_the_same_and_reproducible(drawn, dataset, base, other, tmp_path):
    paths = [written(tmp_path / f"{one.method}.h5", one) for one in (base, other)]
    found = compare(paths, ORIGINAL, drawn, resamples=50)
    assert found == compare([str(path) for path in paths], ORIGINAL, str(drawn), resamples=50)
    assert found.rows == compare([base, other], ORIGINAL, dataset, resamples=50).rows
    assert all(len(sha256) == 64 for sha256 in found.inputs.values())
    assert found.rows != compare(paths, ORIGINAL, drawn, resamples=50, seed=1).rows


def test_the_order_of_the_rows_does_not_matter(dataset, base, other):
    order = np.random.default_rng(0).permutation(len(other))
    shuffled = changed(
        other,
        ids=[other.ids[row] for row in order],
        landmarks=other.landmarks[order],
        euler=other.euler[order],
    )
    first, second = (compare([base, one], ORIGINAL, dataset, resamples=20) for one in (other, shuffled))
    assert first == second


def test_json_reads_back(dataset, base, other):
    found = compare([base, other], POSE, dataset, resamples=20)
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    assert Comparison.model_validate(found.model_dump(mode="json")) == found
    with pytest.raises(KeyError):
        found.get("base", "maev")


def test_three_methods_are_corrected_by_holm_for_each_number(dataset, base, other):
    third = method(dataset, "third", 4.7, seed=2)
    found = compare([base, other, third], ORIGINAL, dataset, resamples=200)
    assert found.methods == ["other", "third"]
    alone = [compare([base, one], ORIGINAL, dataset, resamples=200) for one in (other, third)]
    for row in alone[0].rows:
        pair = [one.get(m, row.metric, row.group) for one, m in zip(alone, found.methods, strict=True)]
        corrected = holm([one.p_randomisation for one in pair])
        for one, p in zip(pair, corrected, strict=True):
            together = found.get(one.method, one.metric, one.group)
            assert together.p_holm == pytest.approx(p)
            assert together.p_randomisation == one.p_randomisation
            assert together.difference == one.difference


def test_better_follows_the_metric_and_needs_significance(dataset, base):
    good = method(dataset, "good", 1, seed=3)
    found = compare([base, good], ORIGINAL, dataset, resamples=200)
    assert (found.get("good", NME).better, found.get("good", NME).difference < 0) == (True, True)
    higher = found.get("good", "auc7/box-sqrt")
    assert (higher.better, higher.difference > 0) == (True, True)
    back = compare([good, base], ORIGINAL, dataset, resamples=200)
    assert back.get("base", NME).better is False
    assert back.get("base", "auc7/box-sqrt").better is False
    same = compare([base, changed(base, method="copy")], ORIGINAL, dataset, resamples=200)
    assert {(one.difference, one.p_holm, one.better) for one in same.rows} == {(0.0, 1.0, None)}
    twin = method(dataset, "twin", 5, seed=9)
    row = compare([base, twin], ORIGINAL, dataset, resamples=200).get("twin", NME)
    assert row.p_holm > 0.05
    assert row.better is None


def test_a_significance_that_holm_takes_away_is_no_verdict(dataset, base):
    """Of many methods that are alike some differ by chance; the correction takes that back."""
    many = [method(dataset, f"m{seed}", 5, seed=seed) for seed in range(1, 20)]
    found = compare([base, *many], ORIGINAL, dataset, resamples=200)
    rows = [row for row in found.rows if (row.metric, row.group) == (NME, "all")]
    assert all(row.better is None for row in rows if row.p_holm > 0.05)
    assert all(row.p_holm >= row.p_randomisation for row in rows)


# --- What may be compared


def test_the_shared_signature_is_that_of_the_scores_with_the_test(dataset, base, other):
    found = compare([base, other], ORIGINAL, dataset, resamples=20, seed=3)
    fields = Signature.parse(found.signature).fields
    scored = Signature.parse(facebench.score(base, ORIGINAL, dataset).signature).fields
    assert fields.pop("test") == "paired-bootstrap+randomisation-20-seed-3"
    scored.pop("interval")
    assert fields == scored


def test_a_differing_box_is_refused_by_name_until_it_may_differ(dataset, base, other):
    boxed = changed(other, box="mtcnn")
    with pytest.raises(InvalidData, match=r"'base' and 'other'.*box: unstated and mtcnn.*--differ box\.$"):
        compare([base, boxed], ORIGINAL, dataset)
    found = compare([base, boxed], ORIGINAL, dataset, differ=["box"], resamples=20)
    assert "box" not in Signature.parse(found.signature).fields
    assert found.rows == compare([base, other], ORIGINAL, dataset, resamples=20).rows
    with pytest.raises(InvalidData, match="box: unstated and mtcnn"):
        compare([base, boxed], ORIGINAL, dataset, differ=["points"])


def test_points_of_another_scheme_are_refused_until_they_may_differ(dataset, base, other):
    few = changed(
        other, landmarks=np.nan_to_num(convert(other.landmarks, "ibug68", "aflw21")), scheme="aflw21"
    )
    with pytest.raises(
        InvalidData, match=r"points: ibug68 and 16-of-ibug68-exact-from-aflw21.*--differ points"
    ):
        compare([base, few], ORIGINAL, dataset)
    found = compare([base, few], ORIGINAL, dataset, differ=("points",), resamples=20)
    assert found.get("other", NME).value == pytest.approx(
        facebench.score(few, ORIGINAL, dataset, resamples=0).get(NME).value
    )


def test_all_that_differs_is_named(dataset, base, other):
    few = np.nan_to_num(convert(other.landmarks, "ibug68", "aflw21"))
    odd = changed(other, landmarks=few, scheme="aflw21", box="mtcnn")
    with pytest.raises(InvalidData, match=r"points: .*; box: .*--differ points --differ box\."):
        compare([base, odd], ORIGINAL, dataset)


@pytest.mark.parametrize("differ", [(), ("n", "missing"), ("n", "missing", "faces")])
def test_different_faces_are_never_compared(dataset, base, other, differ):
    with pytest.raises(InvalidData, match=r"the faces themselves \(image90004\).*--missing fail") as refused:
        compare([base, without(other, [3])], ORIGINAL, dataset, missing="exclude", differ=differ)
    assert "--differ" not in str(refused.value)
    with pytest.raises(InvalidData, match=r"the faces themselves \(image90003, image90004\)"):
        compare(
            [without(base, [2]), without(other, [3])], ORIGINAL, dataset, missing="exclude", differ=differ
        )


def test_the_same_faces_left_out_are_compared(dataset, base, other):
    found = compare(
        [without(base, [3]), without(other, [3])], ORIGINAL, dataset, missing="exclude", resamples=20
    )
    assert found.n == 35
    assert "missing:exclude-1" in found.signature


def test_missing_faces_are_refused_or_fail(dataset, base, other):
    with pytest.raises(InvalidData, match="image90004"):
        compare([base, without(other, [3])], ORIGINAL, dataset)
    found = compare([base, without(other, [3])], ORIGINAL, dataset, missing="fail", resamples=50)
    row = found.get("other", NME)
    assert (row.value, row.difference) == (math.inf, math.inf)
    assert row.baseline == pytest.approx(facebench.score(base, ORIGINAL, dataset).get(NME).value)
    assert math.isnan(row.p_randomisation)
    assert row.better is None
    assert math.isfinite(found.get("other", "fr7/box-sqrt").low)
    read = Comparison.model_validate_json(found.model_dump_json())
    assert read.get("other", NME).difference is None


def test_too_few_and_namesakes_are_refused(dataset, base, other):
    for few in ([], [base]):
        with pytest.raises(UsageError, match="two predictions files or more"):
            compare(few, ORIGINAL, dataset)
    with pytest.raises(UsageError, match="the same method 'base'"):
        compare([base, other, changed(other, method="base")], ORIGINAL, dataset)
    with pytest.raises(UsageError, match="the same method 'other'"):
        compare([base, other, other], ORIGINAL, dataset)
    with pytest.raises(UsageError, match="1 or more resamples"):
        compare([base, other], ORIGINAL, dataset, resamples=0)
    with pytest.raises(UsageError, match="Unknown protocol"):
        compare([base, other], "aflw2000/nose", dataset)
    with pytest.raises(InvalidData, match="for dataset 'biwi'"):
        compare([base, changed(other, dataset="biwi")], ORIGINAL, dataset)


# --- Visibility, and clusters


@pytest.fixture
def cofw(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (30, 29, 2))
    states = np.where(rng.uniform(size=(30, 29)) < 0.3, VISIBILITY["occluded"], VISIBILITY["visible"])
    labels = {"cofw29": AnnotationSet("cofw29", points, states.astype(np.uint8))}
    ids = [f"face{number:02}" for number in range(30)]
    return write(tmp_path / "cofw.h5", "cofw", ids, annotations=labels, splits={"test": np.arange(30)})


def seer(dataset, name, seed, hard=False):
    hidden = dataset.annotations["cofw29"].visibility == VISIBILITY["occluded"]
    v = np.clip(np.random.default_rng(seed).normal(0.7 - 0.4 * hidden, 0.25), 0, 1)
    v = np.round(v) if hard else v
    return Predictions(
        dataset="cofw", method=name, ids=list(dataset.ids), visibility=v, scheme="cofw29",
        landmarks=np.zeros((30, 29, 2)),
    )  # fmt: skip


def test_probabilities_are_compared_by_all_and_hard_labels_by_shared_metrics(cofw):
    soft, also, hard = seer(cofw, "soft", 0), seer(cofw, "also", 1), seer(cofw, "hard", 2, hard=True)
    found = compare([soft, also], "cofw/visibility-cofw29", cofw, resamples=50)
    assert {row.metric for row in found.rows} >= {"ap", "recall80", "precision", "recall", "f1"}
    hidden = cofw.annotations["cofw29"].visibility == VISIBILITY["occluded"]
    slow = [average_precision(-one.visibility.ravel(), hidden.ravel()) for one in (also, soft)]
    assert found.get("also", "ap").difference == pytest.approx(slow[0] - slow[1])
    for order in ([soft, hard], [hard, soft], [soft, also, hard], [hard, soft, also]):
        shared = compare(order, "cofw/visibility-cofw29", cofw, resamples=50)
        assert {row.metric for row in shared.rows} == {"precision", "recall", "f1"}
        assert len(shared.rows) == 3 * len(shared.methods)


def test_faces_of_a_subject_are_resampled_and_swapped_together(tmp_path):
    rng = np.random.default_rng(0)
    from facebench.geometry import euler_to_rotation

    angles = rng.uniform(-40, 40, (24, 3))
    protocol = next(
        one for one in facebench.protocols.protocols_of("biwi") if one.clusters and one.faces == "all"
    )
    poses = dict.fromkeys(("depth", "rgb"), euler_to_rotation(angles, protocol.convention))
    truth = write(
        tmp_path / "biwi.h5",
        "biwi",
        [f"face{number:02}" for number in range(24)],
        splits={"all": np.arange(24)},
        poses=poses,
        groups={name: [f"{number // 8:02}" for number in range(24)] for name in ("sequence", "subject")},
    )
    methods = [
        Predictions(
            dataset="biwi", method=name, ids=list(truth.ids), euler=angles + rng.normal(0, size, (24, 3)),
            euler_convention=protocol.convention,
        )
        for name, size in (("a", 6), ("b", 1))
    ]  # fmt: skip
    found = compare(methods, protocol.name, truth, resamples=400)
    assert f"-by-{protocol.clusters}" in found.signature
    # Three clusters have 8 ways of being swapped: however clear the difference, p is about 1/4.
    assert found.get("b", protocol.headline[0]).p_randomisation == pytest.approx(0.25, abs=0.07)


def test_every_number_has_a_known_metric_and_group(dataset, base, other):
    protocol = get_protocol(POSE)
    found = compare([base, other], POSE, dataset, resamples=5)
    for row in found.rows:
        assert protocol.metric(row.metric)
        assert row.group in protocol.groups

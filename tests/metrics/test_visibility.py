from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat
from sklearn.metrics import average_precision_score, precision_recall_curve

from facebench.errors import UsageError
from facebench.metrics import (
    PooledCurve,
    average_precision,
    is_hard,
    precision_recall,
    recall_at_precision,
)

NAN, INF = np.nan, np.inf


def sample(seed, count=200, share=0.25, decimals=None):
    """Scores that tell positives from negatives with some success."""
    generator = np.random.default_rng(seed)
    positive = generator.random(count) < share
    positive[:2] = True, False
    scores = generator.normal(positive * 1.5, 1.0)
    return scores if decimals is None else np.round(scores, decimals), positive


def adversarial():
    one, other = np.eye(1, 9, dtype=bool)[0], ~np.eye(1, 9, dtype=bool)[0]
    falling = np.arange(9.0)[::-1]
    rare, common = sample(0, 300, 0.02), sample(1, 300, 0.98)
    return {
        "distinct": sample(2),
        "few ties": sample(3, decimals=1),
        "many ties": sample(4, decimals=0),
        "one score for all": (np.full(9, 0.5), other),
        "one positive, ranked first": (falling, one),
        "one positive, ranked last": (-falling, one),
        "one negative, ranked first": (falling, other),
        "one negative, ranked last": (-falling, other),
        "all positive": (sample(5, 9)[0], np.ones(9, bool)),
        "one point": (np.array([0.3]), np.array([True])),
        "separated": (falling, falling > 4),
        "upside down": (falling, falling <= 4),
        "hard labels": (sample(6)[0] > 1.0, sample(6)[1]),
        "two zeros": (np.array([0.0, -0.0, 1.0]), np.array([True, False, True])),
        "next to one another": (np.nextafter(0.5, np.arange(9.0)), other),
        "float32": (sample(7)[0].astype(np.float32), sample(7)[1]),
        "float16": (sample(8)[0].astype(np.float16), sample(8)[1]),
        "rare": rare,
        "common": common,
    }


CASES = adversarial()
each_case = pytest.mark.parametrize(("scores", "positive"), CASES.values(), ids=CASES.keys())


def weights_for(positive, kind):
    generator, count = np.random.default_rng(9), len(positive)
    if kind == "whole":
        weights = generator.integers(0, 4, count).astype(float)
    elif kind == "fractional":
        weights = generator.random(count) + 1e-3
    else:
        return None
    weights[np.argmax(positive)] = 1.0  # a positive point remains
    return weights


each_weighting = pytest.mark.parametrize("weighting", ["none", "whole", "fractional"])


# --- The curve


@each_case
@each_weighting
def test_operating_points_are_those_of_scikit_learn(scores, positive, weighting):
    weights = weights_for(positive, weighting)
    precision, recall, thresholds = precision_recall(scores, positive, weights)
    theirs = precision_recall_curve(positive, scores, sample_weight=weights)
    # Theirs ascend, end at the invented point (precision 1, recall 0), and give a threshold for the others.
    np.testing.assert_allclose(precision / 100, theirs[0][-2::-1], rtol=1e-12)
    np.testing.assert_allclose(recall / 100, theirs[1][-2::-1], rtol=1e-12)
    np.testing.assert_array_equal(thresholds, theirs[2][::-1].astype(float))


@each_case
@each_weighting
def test_average_precision_is_that_of_scikit_learn(scores, positive, weighting):
    weights = weights_for(positive, weighting)
    theirs = average_precision_score(positive, scores, sample_weight=weights)
    assert average_precision(scores, positive, weights) == pytest.approx(100 * theirs, rel=1e-12)


@each_case
@each_weighting
@pytest.mark.parametrize("level", [25.0, 50.0, 80.0, 99.0, 100.0])
def test_recall_at_precision_is_the_largest_of_scikit_learn(scores, positive, weighting, level):
    weights = weights_for(positive, weighting)
    precision, recall, _ = precision_recall_curve(positive, scores, sample_weight=weights)
    # Their last point has recall 0, as ours where no point reaches the level.
    largest = 100 * recall[precision >= level / 100 - 1e-12].max()
    assert recall_at_precision(scores, positive, level, weights) == pytest.approx(largest, rel=1e-12)


def slow_points(scores, positive, weights):
    """Precision and recall at every threshold, counted one threshold after the other."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        right = wrong = missed = 0.0
        for score, is_positive, weight in zip(scores.tolist(), positive.tolist(), weights, strict=True):
            right += weight * (score >= threshold and is_positive)
            wrong += weight * (score >= threshold and not is_positive)
            missed += weight * (score < threshold and is_positive)
        if right + wrong > 0:  # else nothing that counts is predicted positive yet
            points.append((100 * right / (right + wrong), 100 * right / (right + missed), threshold))
    return points


@each_case
@each_weighting
def test_everything_equals_a_slow_loop_over_thresholds(scores, positive, weighting):
    weights = weights_for(positive, weighting)
    counted = np.ones(len(scores)) if weights is None else weights
    points = slow_points(np.asarray(scores), positive, counted.tolist())
    precision, recall, thresholds = precision_recall(scores, positive, weights)
    rows = {threshold: (a, b) for a, b, threshold in points}
    expected = [rows[one] for one in thresholds.tolist()]
    np.testing.assert_allclose(np.transpose([precision, recall]), expected, rtol=1e-12)

    area, last_recall = 0.0, 0.0
    for one, at, _ in points:
        area += one * (at - last_recall) / 100
        last_recall = at
    assert average_precision(scores, positive, weights) == pytest.approx(area, rel=1e-12)

    for level in (30.0, 80.0):
        plain, between = 0.0, 0.0
        for (above, left, _), following in zip(points, [*points[1:], None], strict=True):
            if above < level - 1e-9:
                continue
            plain = max(plain, left)
            between = left
            if following is not None and following[0] < level - 1e-9:
                share = (above - level) / (above - following[0])
                between = left + share * (following[1] - left)
        assert recall_at_precision(scores, positive, level, weights) == pytest.approx(plain, rel=1e-12)
        found = recall_at_precision(scores, positive, level, weights, interpolated=True)
        assert found == pytest.approx(between, rel=1e-9)


def test_a_curve_by_hand():
    """Ranked: positive, negative and positive tied, positive, negative."""
    precision, recall, thresholds = precision_recall(
        [0.7, 0.9, 0.7, 0.2, 0.1], [False, True, True, True, False]
    )
    np.testing.assert_allclose(precision, [100, 200 / 3, 75, 60])
    np.testing.assert_allclose(recall, [100 / 3, 200 / 3, 100, 100])
    np.testing.assert_array_equal(thresholds, [0.9, 0.7, 0.2, 0.1])


def test_the_end_point_of_scikit_learn_is_not_invented():
    precision, recall, thresholds = precision_recall([0.9, 0.1], [False, True])
    np.testing.assert_array_equal(precision, [0, 50])
    np.testing.assert_array_equal(recall, [0, 100])
    assert len(thresholds) == 2
    assert recall_at_precision([0.9, 0.1], [False, True], 80.0) == 0.0


def test_infinite_scores_are_the_highest_and_the_lowest():
    positive = [True, False, True, False]
    np.testing.assert_array_equal(
        precision_recall([INF, INF, 0.0, -INF], positive)[:2],
        precision_recall([2.0, 2.0, 1.0, 0.0], positive)[:2],
    )


# --- Recall at a precision


@pytest.mark.parametrize("total", [5, 35, 50, 715, 14_700, 262_820])
@pytest.mark.parametrize("tenths", [580, 700, 800, 825])
def test_a_precision_of_exactly_the_level_counts_and_one_point_fewer_does_not(total, tenths):
    """The first ``total`` points are tied; below them are one positive and many negatives."""
    scores = np.arange(2 * total) < total
    enough = -(-total * tenths // 1000)  # rounded up
    for found, recall in [(enough, 100 * enough / (enough + 1)), (enough - 1, 0.0)]:
        positive = np.arange(2 * total) < found
        positive[-1] = True
        assert recall_at_precision(scores, positive, tenths / 10) == pytest.approx(recall, rel=1e-12)


@pytest.mark.parametrize("weight", [0.1, 0.3, 1 / 3, 1e-7, 7.7e5])
def test_rounding_of_weights_does_not_cost_a_level(weight):
    positive = np.array([True] * 4 + [False] * 2 + [True])
    scores = np.array([6.0, 5, 4, 3, 3, 1, 1])
    assert recall_at_precision(scores, positive, 80.0, np.full(7, weight)) == pytest.approx(80.0)


def test_recall_counts_where_precision_comes_back_to_the_level():
    """Precision 100, 50, 67, 75, 80: the level is lost and reached again."""
    scores, positive = [5, 4, 3, 2, 1], [True, False, True, True, True]
    assert recall_at_precision(scores, positive, 80.0) == 100.0
    assert recall_at_precision(scores, positive, 80.1) == 25.0


def test_interpolation_by_hand():
    """Precision 100 at recall 50, then 50 at recall 100 for two points: 80 is met at recall 70."""
    scores, positive = [3, 2, 2, 2, 1], [True, True, False, False, False]
    precision, recall, _ = precision_recall(scores, positive)
    np.testing.assert_allclose(precision, [100, 50, 40])
    np.testing.assert_allclose(recall, [50, 100, 100])
    assert recall_at_precision(scores, positive, 80.0) == 50.0
    assert recall_at_precision(scores, positive, 80.0, interpolated=True) == pytest.approx(70.0)


@pytest.mark.parametrize(
    ("scores", "positive", "recall"),
    [
        ([2, 1, 0], [True, False, True], 50.0),  # precision falls at the same recall
        ([2, 1], [True, True], 100.0),  # the curve ends above the level
        ([2, 1], [False, True], 0.0),  # it never comes up to it
        ([6, 5, 4, 3, 2, 1, 0], [True, True, True, True, False, False, True], 80.0),  # it meets it exactly
    ],
)
def test_where_there_is_nothing_to_interpolate(scores, positive, recall):
    for interpolated in (False, True):
        assert recall_at_precision(scores, positive, 80.0, interpolated=interpolated) == recall


def test_every_precision_reaches_level_zero():
    assert recall_at_precision([2, 1], [False, True], 0.0) == 100.0


# --- What is refused


def test_a_nan_score_is_refused():
    with pytest.raises(UsageError, match="1 of 3 scores are NaN"):
        precision_recall([0.1, NAN, 0.3], [True, False, True])


@pytest.mark.parametrize(
    ("positive", "weights"), [([False, False], None), ([True, False], [0.0, 1.0]), (np.zeros(2, bool), None)]
)
def test_recall_without_a_positive_point_is_refused(positive, weights):
    for function in (precision_recall, average_precision):
        with pytest.raises(UsageError, match="recall is not defined"):
            function([0.1, 0.2], positive, weights=weights)


def test_no_point_at_all_is_refused():
    with pytest.raises(UsageError, match="recall is not defined: none of the 0 points"):
        precision_recall(np.zeros(0), np.zeros(0, bool))


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, NAN], [1.0, INF]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite numbers of 0 or more"):
        precision_recall([0.1, 0.2], [True, False], weights)


@pytest.mark.parametrize(
    ("scores", "positive", "weights", "message"),
    [
        ([0.1, 0.2], [True], None, "found (2,), (1,)"),
        ([[0.1, 0.2]], [[True, False]], None, "found (1, 2), (1, 2)"),
        ([0.1, 0.2], [True, False], [1.0], "found shapes (1,) and (2,)"),
        ([0.1, 0.2], [1, 2], None, "to be bool, found int64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(scores, positive, weights, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        precision_recall(scores, np.array(positive), weights)


@pytest.mark.parametrize("level", [-1.0, 100.5, NAN])
def test_a_level_that_is_no_precision_is_refused(level):
    message = f"0 to 100 %, not {level}"
    with pytest.raises(UsageError, match=message):
        recall_at_precision([0.1, 0.2], [True, False], level)
    curve = PooledCurve(np.zeros((1, 1)), np.ones((1, 1), bool), np.ones((1, 1), bool))
    with pytest.raises(UsageError, match=message):
        curve.recall_at_precision(np.ones((1, 1)), level)


# --- Hard labels


@pytest.mark.parametrize(
    ("scores", "hard"),
    [
        ([0.0, 1.0, 1.0], True),
        ([1.0, 1.0], True),
        ([0.0], True),
        ([[0, 1], [1, 0]], True),
        (np.array([0, 1], np.float32), True),
        ([False, True], True),
        ([0.0, 1.0, 0.5], False),
        ([0.0, np.nextafter(1.0, 0.0)], False),
        ([0, 1, 2], False),
        ([-1.0, 1.0], False),
        ([0.0, NAN], False),
    ],
)
def test_hard_labels_are_zero_and_one(scores, hard):
    assert is_hard(scores) is hard


def test_hard_labels_have_one_operating_point_besides_predicting_everything_positive():
    labels, positive = np.array([1, 1, 0, 0, 0]), np.array([True, False, True, False, False])
    precision, recall, thresholds = precision_recall(labels, positive)
    np.testing.assert_array_equal(thresholds, [1, 0])
    np.testing.assert_allclose(precision, [50, 40])
    np.testing.assert_allclose(recall, [50, 100])


# --- Properties

points = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30).filter(
    lambda rows: any(positive for _, positive in rows)
)
levels = st.sampled_from([0.0, 10.0, 100 / 3, 50.0, 60.0, 75.0, 80.0, 100.0])


def apart(rows):
    scores, positive = zip(*rows, strict=True)
    return np.array(scores, float), np.array(positive)


def summary(scores, positive, level, weights=None):
    plain, between = (
        recall_at_precision(scores, positive, level, weights, interpolated) for interpolated in (False, True)
    )
    return [average_precision(scores, positive, weights), plain, between]


@given(rows=points, level=levels, order=st.randoms(use_true_random=False))
def test_order_of_the_points_does_not_matter(rows, level, order):
    shuffled = order.sample(rows, len(rows))
    for one, same in zip(precision_recall(*apart(rows)), precision_recall(*apart(shuffled)), strict=True):
        np.testing.assert_array_equal(one, same)
    assert summary(*apart(rows), level) == summary(*apart(shuffled), level)


@given(rows=points, level=levels)
@pytest.mark.parametrize(
    "transform",
    [np.exp, np.arctan, lambda x: 7 * x - 3, lambda x: x**3],
    ids=["exp", "arctan", "line", "cube"],
)
def test_monotone_transforms_of_the_scores_change_nothing(transform, rows, level):
    scores, positive = apart(rows)
    assert summary(transform(scores), positive, level) == summary(scores, positive, level)


@given(rows=points, level=levels, data=st.data())
def test_values_stay_within_bounds_and_recall_never_falls(rows, level, data):
    scores, positive = apart(rows)
    weights = data.draw(arrays(float, len(rows), elements=st.floats(1e-6, 1e6)))
    precision, recall, thresholds = precision_recall(scores, positive, weights)
    assert ((precision >= 0) & (precision <= 100)).all()
    assert (recall >= 0).all()
    assert recall[-1] == 100
    assert (np.diff(recall) >= 0).all()
    assert (np.diff(thresholds) < 0).all()
    area, plain, between = summary(scores, positive, level, weights)
    assert 0 <= area <= 100 + 1e-9
    assert 0 <= plain <= between <= 100 + 1e-9


@given(rows=points, lower=levels, higher=levels)
def test_a_higher_level_never_has_a_larger_recall(rows, lower, higher):
    lower, higher = sorted([lower, higher])
    for interpolated in (False, True):
        at = [recall_at_precision(*apart(rows), one, None, interpolated) for one in (lower, higher)]
        assert at[1] <= at[0] + 1e-9


@given(rows=points, level=levels, times=st.integers(2, 4))
def test_presenting_every_point_several_times_changes_nothing(rows, level, times):
    np.testing.assert_allclose(summary(*apart(rows * times), level), summary(*apart(rows), level), rtol=1e-12)


@given(rows=points, level=levels, data=st.data())
def test_a_weight_is_the_number_of_repetitions(rows, level, data):
    scores, positive = apart(rows)
    times = data.draw(arrays(int, len(rows), elements=st.integers(0, 4)))
    times[np.argmax(positive)] += 1
    repeated = [np.repeat(one, times) for one in (scores, positive)]
    assert summary(scores, positive, level, times) == summary(*repeated, level)


# --- Faces counted several times


@st.composite
def faces_and_counts(draw):
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    scores = draw(arrays(float, (n, k), elements=st.integers(-2, 2).map(float)))
    positive, mask = (draw(arrays(bool, (n, k))) for _ in range(2))
    counts = draw(arrays(int, (3, n), elements=st.integers(0, 3)))
    return np.where(mask, scores, NAN), positive, mask, counts


def repeated_summary(scores, positive, mask, row, level):
    """The plain functions over the points of the faces repeated as often; NaN where no positive is left."""
    chosen = np.repeat(np.arange(len(scores)), row)
    s, p = scores[chosen][mask[chosen]], positive[chosen][mask[chosen]]
    return summary(s, p, level) if p.any() else [NAN] * 3


def curve_summary(curve, counts, level):
    plain, between = (
        curve.recall_at_precision(counts, level, interpolated) for interpolated in (False, True)
    )
    return np.transpose([curve.average_precision(counts), plain, between])


@given(case=faces_and_counts(), level=levels)
def test_pooled_curve_is_the_plain_one_over_repeated_faces(case, level):
    *arguments, counts = case
    expected = [repeated_summary(*arguments, row, level) for row in counts]
    found = curve_summary(PooledCurve(*arguments), counts.astype(float), level)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 9], ids=["many ties", "few ties", "distinct"])
def test_pooled_curve_over_many_faces(decimals):
    scores, positive = (one.reshape(60, 29) for one in sample(10, 60 * 29, decimals=decimals))
    mask = np.random.default_rng(11).random(scores.shape) < 0.9
    counts = np.random.default_rng(12).integers(0, 4, (20, 60))
    curve = PooledCurve(scores, positive, mask)
    for level in (40.0, 80.0):
        expected = [repeated_summary(scores, positive, mask, row, level) for row in counts]
        np.testing.assert_allclose(curve_summary(curve, counts.astype(float), level), expected, rtol=1e-12)


def test_pooled_curve_takes_fractional_counts():
    scores, positive = (one.reshape(20, 10) for one in sample(13, 200, decimals=1))
    counts = np.random.default_rng(14).random((5, 20))
    curve = PooledCurve(scores, positive, np.ones((20, 10), bool))
    expected = [summary(scores.ravel(), positive.ravel(), 60.0, np.repeat(row, 10)) for row in counts]
    np.testing.assert_allclose(curve_summary(curve, counts, 60.0), expected, rtol=1e-10)


def test_values_of_a_resample_do_not_depend_on_those_beside_it():
    scores, positive = (one.reshape(20, 10) for one in sample(15))
    counts = np.random.default_rng(16).integers(0, 3, (8, 20)).astype(float)
    curve = PooledCurve(scores, positive, np.ones((20, 10), bool))
    alone = np.concatenate([curve_summary(curve, row[None], 70.0) for row in counts])
    np.testing.assert_array_equal(curve_summary(curve, counts, 70.0), alone)


@pytest.mark.parametrize("positive", [[[True], [False]], [[False], [False]]], ids=["not drawn", "nowhere"])
def test_a_resample_without_a_positive_point_has_no_value(positive):
    curve = PooledCurve(np.array([[0.9], [0.1]]), np.array(positive), np.ones((2, 1), bool))
    assert np.isnan(curve_summary(curve, np.array([[0.0, 2.0], [0.0, 0.0]]), 80.0)).all()


def test_a_curve_without_any_point_has_no_value():
    curve = PooledCurve(np.full((2, 3), NAN), np.ones((2, 3), bool), np.zeros((2, 3), bool))
    assert np.isnan(curve_summary(curve, np.ones((4, 2)), 80.0)).all()


def test_no_resamples_have_no_values():
    curve = PooledCurve(np.ones((2, 3)), np.ones((2, 3), bool), np.ones((2, 3), bool))
    assert curve.average_precision(np.ones((0, 2))).shape == (0,)
    assert curve.recall_at_precision(np.ones((0, 2))).shape == (0,)


def test_pooled_curve_refuses_what_does_not_fit():
    scores, positive = np.zeros((2, 3)), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=re.escape("found (2, 3), (2, 3), (2, 2)")):
        PooledCurve(scores, positive, positive[:, :2])
    with pytest.raises(ValueError, match="2 axes"):
        PooledCurve(scores[0], positive[0], positive[0])
    with pytest.raises(ValueError, match="to be bool"):
        PooledCurve(scores, positive, positive.astype(int))
    with pytest.raises(UsageError, match="6 of 6 scores are NaN"):
        PooledCurve(scores + NAN, positive, positive)
    for counts in (np.ones(2), np.ones((1, 3))):
        with pytest.raises(ValueError, match=re.escape(f"(b, 2) counts, found shape {counts.shape}")):
            PooledCurve(scores, positive, positive).average_precision(counts)


# --- Published numbers (PROTOCOLS 1.6): hard labels of two methods on the 507 faces of COFW-68


@pytest.fixture(scope="module")
def occluded68(real_data):
    """(507, 68) truth, and the labels that each method predicted."""
    with zipfile.ZipFile(real_data / "raw" / "COFW68_Data.zip") as archive:
        read = [archive.read(f"COFW68_Data/test_annotations/{i}_points.mat") for i in range(1, 508)]
    truth = np.stack([loadmat(io.BytesIO(content))["Occ"][0] for content in read]).astype(bool)
    labels = {}
    with zipfile.ZipFile(real_data / "oracles" / "cofw68_results.zip") as archive:
        for name in archive.namelist():
            lines = archive.read(name).decode().splitlines()
            # Four lines a face, in any order of the faces: number, x, y, occlusion.
            faces = np.array(lines[::4], int) - 1
            found = np.full(truth.shape, -1)
            found[faces] = [line.split() for line in lines[3::4]]
            labels[name.split("_")[0]] = found
    return truth, labels


@pytest.mark.parametrize(("method", "precision", "recall"), [("HPM", 80.65, 34.06), ("SAPM", 76.50, 51.95)])
def test_published_operating_points_on_cofw68(occluded68, method, precision, recall):
    truth, labels = occluded68
    assert is_hard(labels[method])
    at = precision_recall(labels[method].ravel(), truth.ravel())
    np.testing.assert_array_equal(at[2], [1, 0])
    np.testing.assert_allclose([at[0][0], at[1][0]], [precision, recall], rtol=0, atol=0.005)
    pooled = PooledCurve(labels[method], truth, np.ones(truth.shape, bool))
    everyone = np.ones((1, len(truth)))
    assert pooled.recall_at_precision(everyone, 76.0)[0] == pytest.approx(at[1][0], rel=1e-12)


def test_method_without_occlusion_on_cofw68_has_the_share_of_occluded_points(occluded68):
    truth, labels = occluded68
    precision, recall, _ = precision_recall(labels["CFSS"].ravel(), truth.ravel())
    np.testing.assert_allclose(precision, [22.903], rtol=0, atol=0.0005)
    np.testing.assert_array_equal(recall, [100])

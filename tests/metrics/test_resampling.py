from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from facebench.errors import UsageError
from facebench.metrics import Statistic, estimate
from facebench.metrics.resampling import resample_counts, weighted_quantile

NAN, INF = np.nan, np.inf

MEAN = Statistic("error", ("all",))
MEDIAN = Statistic("error", ("all",), quantile=0.5)
BALANCED = Statistic("error", ("near", "far"))


def errors(count, seed=0):
    return np.random.default_rng(seed).gamma(4.0, 1.0, count)


def estimate_one(statistic, error, groups=None, **options):
    groups = {"all": np.ones(len(error), bool)} if groups is None else groups
    return estimate({"error": np.asarray(error, float)}, groups, [statistic], **options)[0]


def counts_of(count, resamples, seed):
    return np.concatenate(list(resample_counts(count, resamples, seed))).astype(int)


def slow_interval(statistic, count, resamples, seed):
    """Percentiles of a statistic of the rows drawn, computed for one resample after the other."""
    rows = np.arange(count)
    values = [statistic(np.repeat(rows, counts)) for counts in counts_of(count, resamples, seed)]
    return np.quantile([value for value in values if value is not None], [0.025, 0.975])


# --- Resamples


def test_each_resample_draws_as_many_faces_as_there_are():
    counts = counts_of(17, 200, seed=0)
    assert counts.shape == (200, 17)
    assert (counts >= 0).all()
    np.testing.assert_array_equal(counts.sum(axis=1), 17)


def test_faces_are_drawn_evenly_and_with_replacement():
    counts = counts_of(20, 5000, seed=1)
    # Binomial(20, 1/20): mean 1, variance 0.95; the tolerances are more than four standard errors.
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.07)
    np.testing.assert_allclose(counts.var(axis=0), 0.95, atol=0.11)
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-1 / 19, abs=0.06)


@pytest.mark.parametrize("fewer", [1, 10, 64, 65, 100])
def test_first_resamples_are_the_same_however_many_follow(fewer):
    np.testing.assert_array_equal(counts_of(30, fewer, seed=2), counts_of(30, 200, seed=2)[:fewer])


def test_resamples_differ_from_one_another_and_between_seeds():
    counts = np.concatenate([counts_of(30, 50, seed=3), counts_of(30, 50, seed=4)])
    assert len(np.unique(counts, axis=0)) == 100


# --- Values


def test_value_of_a_mean_is_the_mean():
    error = errors(100)
    one = estimate_one(MEAN, error)
    assert one.value == pytest.approx(error.mean(), rel=1e-12)
    assert one.n == 100


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 0.95, 1.0])
def test_value_of_a_quantile_is_that_of_numpy(quantile):
    error = errors(100)
    one = estimate_one(Statistic("error", ("all",), quantile), error)
    assert one.value == pytest.approx(np.quantile(error, quantile), rel=1e-12)


def test_balanced_value_is_the_mean_of_the_group_means():
    groups = {"near": np.array([1, 1, 1, 0], bool), "far": np.array([0, 0, 0, 1], bool)}
    one = estimate_one(BALANCED, [1.0, 2.0, 3.0, 10.0], groups)
    assert one.value == pytest.approx(6.0)
    assert one.n == 4


def test_statistics_do_not_influence_one_another():
    columns = {"error": errors(40), "other": errors(40, seed=1), "missed": np.full(40, INF)}
    groups = {"all": np.ones(40, bool), "near": np.arange(40) < 30, "far": np.arange(40) >= 30}
    others = [Statistic("other", ("all",)), Statistic("missed", ("all",)), Statistic("other", ("far",), 0.9)]
    alone = [estimate(columns, groups, [one])[0] for one in (MEAN, MEDIAN, BALANCED)]
    together = estimate(columns, groups, [*others, MEAN, MEDIAN, BALANCED])[3:]
    for one, same in zip(alone, together, strict=True):
        np.testing.assert_allclose(
            [one.value, one.low, one.high, one.n], [same.value, same.low, same.high, same.n], rtol=1e-12
        )


# --- Intervals


@pytest.mark.parametrize("resamples", [1, 10, 64, 150])
def test_interval_of_a_mean_equals_that_of_a_slow_loop(resamples):
    error = errors(25)
    one = estimate_one(MEAN, error, resamples=resamples, seed=5)
    slow = slow_interval(lambda rows: error[rows].mean(), 25, resamples, seed=5)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-12)


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_interval_of_a_quantile_equals_that_of_a_slow_loop(quantile):
    error = np.round(errors(25), 1)  # with ties
    one = estimate_one(Statistic("error", ("all",), quantile), error, resamples=150, seed=6)
    slow = slow_interval(lambda rows: np.quantile(error[rows], quantile), 25, 150, seed=6)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-12)


def balanced_mean(error, groups):
    """Balanced mean of the rows drawn, or None for a resample without any face of a group."""

    def statistic(rows):
        drawn = [error[rows[groups[name][rows]]] for name in ("near", "far")]
        return np.mean([group.mean() for group in drawn]) if all(map(len, drawn)) else None

    return statistic


@pytest.mark.parametrize("far", [10, 2], ids=["in every resample", "missing from some resamples"])
def test_interval_of_a_balanced_mean_equals_that_of_a_slow_loop(far):
    error, groups = errors(25), {"near": np.arange(25) >= far, "far": np.arange(25) < far}
    statistic = balanced_mean(error, groups)
    lost = [statistic(np.repeat(np.arange(25), counts)) is None for counts in counts_of(25, 150, seed=7)]
    assert any(lost) == (far == 2)
    one = estimate_one(BALANCED, error, groups, resamples=150, seed=7)
    np.testing.assert_allclose([one.low, one.high], slow_interval(statistic, 25, 150, seed=7), rtol=1e-12)


@pytest.mark.parametrize(
    ("statistic", "function"),
    [(MEAN, np.mean), (Statistic("error", ("all",), 0.9), lambda x, axis: np.quantile(x, 0.9, axis=axis))],
    ids=["mean", "quantile"],
)
def test_interval_agrees_with_the_percentile_bootstrap_of_scipy(statistic, function):
    error = errors(80)
    one = estimate_one(statistic, error, resamples=5000)
    scipys = stats.bootstrap(
        (error,), function, method="percentile", n_resamples=5000, vectorized=True, random_state=0
    )
    # Two draws of 5000 resamples: an end of the interval differs by some 0.05 standard errors.
    tolerance = 0.2 * scipys.standard_error
    np.testing.assert_allclose([one.low, one.high], scipys.confidence_interval, rtol=0, atol=tolerance)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    trials, faces = 400, 60
    samples = np.random.default_rng(8).normal(0.0, 1.0, (trials, faces))
    columns = {str(trial): sample for trial, sample in enumerate(samples)}
    statistics = [Statistic(name, ("all",)) for name in columns]
    found = estimate(columns, {"all": np.ones(faces, bool)}, statistics, resamples=500)
    below, above = np.mean([one.high < 0 for one in found]), np.mean([one.low > 0 for one in found])
    assert 0.90 <= 1 - below - above <= 0.98
    assert min(below, above) > 0.005  # it errs on both sides


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    error = errors(50)
    one, same, other = (estimate_one(MEAN, error, seed=seed) for seed in (9, 9, 10))
    assert one == same
    assert (one.low, one.high) != (other.low, other.high)
    assert one.value == other.value


def test_interval_encloses_the_value_and_narrows_with_more_faces():
    few, many = (estimate_one(MEAN, errors(count)) for count in (30, 3000))
    for one in (few, many):
        assert one.low < one.value < one.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_equal_errors_leave_no_doubt():
    one = estimate_one(MEAN, np.full(20, 3.0))
    assert (one.value, one.low, one.high) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
def test_interval_moves_with_scale_and_shift(statistic):
    error = errors(40)
    one, moved = estimate_one(statistic, error), estimate_one(statistic, 3 * error + 7)
    np.testing.assert_allclose(
        [moved.value, moved.low, moved.high], 3 * np.array([one.value, one.low, one.high]) + 7, rtol=1e-12
    )


def test_without_resamples_there_is_a_value_but_no_interval():
    one = estimate_one(MEAN, [1.0, 2.0], resamples=0)
    assert one.value == 1.5
    assert np.isnan([one.low, one.high]).all()


def test_negative_number_of_resamples_is_refused():
    with pytest.raises(UsageError, match="-1"):
        estimate_one(MEAN, [1.0], resamples=-1)


# --- Faces that do not take part, and missed faces


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
def test_absent_faces_do_not_take_part(statistic):
    error = errors(30)
    taking_part = np.arange(30) % 3 > 0
    with_nan = estimate_one(statistic, np.where(taking_part, error, NAN), resamples=50)
    with_group = estimate_one(statistic, error, {"all": taking_part}, resamples=50)
    assert with_nan == with_group
    assert with_nan.n == 20
    expected = np.mean if statistic is MEAN else np.median
    assert with_nan.value == pytest.approx(expected(error[taking_part]))


@pytest.mark.parametrize(
    ("error", "group"),
    [([1.0, 2.0], [False, False]), ([NAN, NAN], [True, True]), ([NAN, 1.0], [True, False])],
)
def test_statistic_over_no_face_is_refused_by_name(error, group):
    with pytest.raises(UsageError, match=r"'error'.*'profile'"):
        estimate_one(Statistic("error", ("profile",)), error, {"profile": np.array(group)})


def test_balanced_mean_with_one_empty_group_is_refused():
    groups = {"near": np.array([True, True]), "far": np.array([False, False])}
    with pytest.raises(UsageError, match="'far'"):
        estimate_one(BALANCED, [1.0, 2.0], groups)


def test_mean_with_a_missed_face_is_infinite_without_an_interval():
    one = estimate_one(MEAN, [1.0, 2.0, INF])
    assert one.value == INF
    assert np.isnan([one.low, one.high]).all()
    assert one.n == 3


def test_largest_error_with_a_missed_face_is_infinite_without_an_interval():
    """Though a third of the resamples draw no missed face, and have a finite largest error."""
    one = estimate_one(Statistic("error", ("all",), quantile=1.0), np.append(errors(19), INF))
    assert one.value == INF
    assert np.isnan([one.low, one.high]).all()


def test_median_bears_a_missed_face():
    error = np.append(errors(59), INF)
    one = estimate_one(MEDIAN, error)
    slow = slow_interval(lambda rows: np.median(error[rows]), 60, 1000, seed=0)
    assert one.value == np.median(error)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-12)


def test_quantile_among_missed_faces_is_infinite():
    assert estimate_one(Statistic("error", ("all",), 0.75), [1.0, INF, INF], resamples=0).value == INF


def test_interval_does_not_end_at_a_number_when_too_many_resamples_are_infinite():
    missed = np.arange(1000) < 85
    error = np.where(missed, INF, errors(1000))
    infinite = [row[missed].sum() >= 100 for row in counts_of(1000, 500, seed=0)]
    assert np.mean(infinite) > 0.04  # more than the 0.025 of the upper tail
    one = estimate_one(Statistic("error", ("all",), 0.9), error, resamples=500)
    assert np.isfinite([one.low, one.value]).all()
    assert not np.isfinite(one.high)


# --- Quantiles of repeated values


@given(
    values=arrays(float, 6, elements=st.floats(-1e3, 1e3)),
    counts=arrays(int, (3, 6), elements=st.integers(0, 4)),
    quantile=st.floats(0, 1),
)
def test_weighted_quantile_is_the_quantile_of_repeated_values(values, counts, quantile):
    repeated = [np.repeat(values, row) for row in counts]
    expected = [np.quantile(one, quantile) if len(one) else NAN for one in repeated]
    np.testing.assert_allclose(weighted_quantile(values, counts.astype(float), quantile), expected, atol=1e-9)


def test_weighted_quantile_between_a_number_and_a_missed_face_is_infinite():
    values, counts = np.array([1.0, INF]), np.array([[1.0, 1.0], [3.0, 1.0]])
    np.testing.assert_array_equal(weighted_quantile(values, counts, 0.5), [INF, 1.0])

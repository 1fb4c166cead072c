from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from facebench.errors import UsageError
from facebench.metrics import Statistic, Table, estimate
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


# --- Ratios of sums


RATIO = Statistic("hits", ("all",), over="claims")


def hits_and_claims(count=25, seed=20):
    generator = np.random.default_rng(seed)
    claims = generator.integers(0, 6, count).astype(float)
    return {"hits": np.floor(claims * generator.random(count)), "claims": claims}


def test_value_of_a_ratio_is_that_of_the_sums():
    columns = hits_and_claims()
    one = estimate(columns, {"all": np.ones(25, bool)}, [RATIO], resamples=0)[0]
    assert one.value == pytest.approx(sum(columns["hits"].tolist()) / sum(columns["claims"].tolist()))
    assert one.n == 25
    assert one.value != pytest.approx(np.nanmean(columns["hits"] / np.maximum(columns["claims"], 1)))


@pytest.mark.parametrize("group", [np.ones(25, bool), np.arange(25) % 2 == 0], ids=["all", "half"])
def test_interval_of_a_ratio_equals_that_of_a_slow_loop(group):
    columns = hits_and_claims()
    one = estimate(columns, {"all": group}, [RATIO], resamples=150, seed=21)[0]

    def ratio(rows):
        chosen = [row for row in rows if group[row]]
        return sum(columns["hits"][chosen]) / sum(columns["claims"][chosen])

    np.testing.assert_allclose([one.low, one.high], slow_interval(ratio, 25, 150, seed=21), rtol=1e-12)


def test_balanced_ratio_is_the_mean_of_the_group_ratios():
    columns = hits_and_claims()
    groups = {"near": np.arange(25) < 15, "far": np.arange(25) >= 15}
    statistic = Statistic("hits", ("near", "far"), over="claims")
    one = estimate(columns, groups, [statistic], resamples=100, seed=22)[0]

    def balanced(rows):
        parts = [rows[groups[name][rows]] for name in ("near", "far")]
        return np.mean([columns["hits"][part].sum() / columns["claims"][part].sum() for part in parts])

    assert one.value == pytest.approx(balanced(np.arange(25)), rel=1e-12)
    np.testing.assert_allclose([one.low, one.high], slow_interval(balanced, 25, 100, seed=22), rtol=1e-12)


def test_ratios_means_and_quantiles_do_not_influence_one_another():
    columns = hits_and_claims() | {"error": errors(25)}
    statistics = [
        RATIO,
        MEAN,
        Statistic("hits", ("all",)),
        Statistic("claims", ("all",)),
        Statistic("hits", ("all",), over="error"),
        Statistic("hits", ("all",), over="hits"),
        MEDIAN,
    ]
    groups = {"all": np.ones(25, bool)}
    together = estimate(columns, groups, statistics, resamples=70)
    for one, statistic in zip(together, statistics, strict=True):
        alone = estimate(columns, groups, [statistic], resamples=70)[0]
        np.testing.assert_allclose(
            [one.value, one.low, one.high], [alone.value, alone.low, alone.high], rtol=1e-12
        )
    assert together[5].value == together[5].low == together[5].high == 1.0


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_ratio_to_nothing_is_not_defined(interval):
    columns = {"hits": np.zeros(8), "claims": np.zeros(8)}
    one = estimate(columns, {"all": np.ones(8, bool)}, [RATIO], interval=interval)[0]
    assert np.isnan([one.value, one.low, one.high]).all()


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_resamples_without_a_claim_are_left_out(interval):
    columns = {"hits": np.array([1.0, 0.0, 0.0, 0.0]), "claims": np.array([2.0, 0.0, 0.0, 0.0])}
    one = estimate(columns, {"all": np.ones(4, bool)}, [RATIO], resamples=200, interval=interval)[0]
    assert (one.value, one.low, one.high) == (0.5, 0.5, 0.5)


# --- Numbers over pooled points


class Spread:
    """A pooled number that is no mean over faces: the variance of all points of the faces."""

    def __init__(self, points):
        self.points = points

    def of(self, counts):
        rows = [np.repeat(self.points, row.astype(int), axis=0) for row in counts]
        return np.array([points.var() if points.size else NAN for points in rows])

    def beside(self, other):
        return Spread(np.concatenate([self.points, other.points]))


@pytest.mark.parametrize("half", [False, True], ids=["all", "half"])
def test_pooled_number_equals_that_of_a_slow_loop(half):
    points = np.random.default_rng(23).gamma(2.0, 1.0, (20, 3))
    group = np.arange(20) % 2 == 0 if half else np.ones(20, bool)
    one = estimate({"spread": Spread(points)}, {"all": group}, [Statistic("spread", ("all",))], seed=24)[0]
    assert one.value == pytest.approx(points[group].var(), rel=1e-12)
    assert one.n == group.sum()
    slow = slow_interval(lambda rows: points[rows[group[rows]]].var(), 20, 1000, seed=24)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-12)


def test_pooled_number_stands_beside_means_and_may_be_balanced():
    points = np.random.default_rng(25).gamma(2.0, 1.0, (20, 3))
    groups = {"near": np.arange(20) < 12, "far": np.arange(20) >= 12, "all": np.ones(20, bool)}
    columns = {"spread": Spread(points), "error": points.mean(axis=1)}
    mean, both = estimate(columns, groups, [MEAN, Statistic("spread", ("near", "far"))], resamples=50)
    assert mean == estimate(columns, groups, [MEAN], resamples=50)[0]
    assert both.value == pytest.approx((points[:12].var() + points[12:].var()) / 2, rel=1e-12)
    assert both.n == 20


def test_pooled_number_over_no_face_is_refused_by_name():
    with pytest.raises(UsageError, match=r"'spread'.*'all'"):
        estimate(
            {"spread": Spread(np.ones((3, 2)))}, {"all": np.zeros(3, bool)}, [Statistic("spread", ("all",))]
        )


def test_table_has_the_statistics_for_any_counts():
    columns = hits_and_claims() | {"error": errors(25), "spread": Spread(errors(50).reshape(25, 2))}
    statistics = [RATIO, MEAN, MEDIAN, Statistic("spread", ("all",))]
    table = Table(columns, {"all": np.ones(25, bool)}, statistics)
    counts = np.random.default_rng(26).integers(0, 4, (7, 25)).astype(float)
    for row, found in zip(counts, table.of(counts), strict=True):
        rows = np.repeat(np.arange(25), row.astype(int))
        expected = [
            columns["hits"][rows].sum() / columns["claims"][rows].sum(),
            columns["error"][rows].mean(),
            np.median(columns["error"][rows]),
            columns["spread"].points[rows].var(),
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(table.of(np.zeros((1, 25)))).all()


# --- Faces that are drawn together


SUBJECTS = np.array([0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5, 5, 6, 7, 7, 7, 0, 3])


def cluster_rows(clusters, resamples, seed):
    """The rows of each resample: those of the clusters drawn, one cluster after the other."""
    members = [np.flatnonzero(clusters == k) for k in range(clusters.max() + 1)]
    for counts in counts_of(len(members), resamples, seed):
        yield np.concatenate([members[k] for k, times in enumerate(counts) for _ in range(times)])


def test_clusters_are_drawn_whole():
    counts = np.concatenate(list(resample_counts(20, 100, 27, SUBJECTS)))
    assert counts.shape == (100, 20)
    of_first = [np.argmax(np.equal(SUBJECTS, k)) for k in range(8)]
    np.testing.assert_array_equal(counts, counts[:, of_first][:, SUBJECTS])
    np.testing.assert_array_equal(counts[:, of_first].sum(axis=1), 8)
    np.testing.assert_array_equal(counts[:, of_first], counts_of(8, 100, 27))


@pytest.mark.parametrize("name", ["mean", "median", "ratio", "balanced", "pooled"])
@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_interval_over_clusters_equals_that_of_a_slow_loop(name, interval):
    error, columns = errors(20), hits_and_claims(20)
    near = np.isin(SUBJECTS, [0, 2, 4])
    groups = {"all": np.ones(20, bool), "near": near, "far": ~near}
    points = errors(40, seed=5).reshape(20, 2)
    statistic, function = {
        "mean": (MEAN, lambda rows: error[rows].mean()),
        "median": (MEDIAN, lambda rows: np.median(error[rows])),
        "ratio": (RATIO, lambda rows: columns["hits"][rows].sum() / columns["claims"][rows].sum()),
        "balanced": (BALANCED, balanced_mean(error, groups)),
        "pooled": (Statistic("spread", ("all",)), lambda rows: points[rows].var()),
    }[name]
    given = columns | {"error": error, "spread": Spread(points)}
    one = estimate(given, groups, [statistic], resamples=150, seed=28, clusters=SUBJECTS, interval=interval)[
        0
    ]
    replicates = [function(rows) for rows in cluster_rows(SUBJECTS, 150, 28)]
    replicates = [value for value in replicates if value is not None]
    left_out = [function(np.flatnonzero(np.not_equal(SUBJECTS, k))) for k in range(8)]
    value = function(np.arange(20))
    slow = np.quantile(replicates, [0.025, 0.975])
    if interval == "bca":
        slow = slow_bca(value, replicates, left_out)
    np.testing.assert_allclose([one.value, one.low, one.high], [value, *slow], rtol=1e-9)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
def test_clusters_of_one_face_are_no_clusters(statistic, interval):
    error = errors(30)
    plain = estimate_one(statistic, error, interval=interval, resamples=200)
    one = estimate_one(statistic, error, clusters=np.arange(30), interval=interval, resamples=200)
    # Sums of the same numbers, taken by another routine.
    found, expected = ((e.value, e.low, e.high) for e in (one, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_numbering_of_clusters_changes_nothing_but_the_draws(interval):
    error, other = errors(20), (SUBJECTS + 3) % 8
    one, renumbered = (
        estimate_one(MEAN, error, clusters=numbers, resamples=4000, interval=interval)
        for numbers in (SUBJECTS, other)
    )
    spread = (one.high - one.low) / 4
    assert one.value == renumbered.value
    np.testing.assert_allclose([one.low, one.high], [renumbered.low, renumbered.high], atol=0.25 * spread)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_copies_of_faces_are_no_new_evidence_when_they_are_drawn_together(interval):
    error = errors(25)
    plain = estimate_one(MEAN, error, interval=interval)
    copies = estimate_one(MEAN, np.repeat(error, 4), clusters=np.repeat(np.arange(25), 4), interval=interval)
    np.testing.assert_allclose(
        [copies.value, copies.low, copies.high], [plain.value, plain.low, plain.high], rtol=1e-12
    )
    apart = estimate_one(MEAN, np.repeat(error, 4), interval=interval)
    assert (apart.high - apart.low) < 0.7 * (plain.high - plain.low)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
def test_one_cluster_leaves_one_resample(statistic, interval):
    error = errors(12)
    one = estimate_one(statistic, error, clusters=np.zeros(12, np.int64), interval=interval, resamples=50)
    np.testing.assert_allclose([one.low, one.high], one.value, rtol=1e-12)


# --- Intervals corrected for bias and skewness (BCa)


def slow_bca(value, replicates, left_out):
    """Efron 1987, (2.3) and (6.6), one number after the other."""
    below = sum((r < value) + 0.5 * (r == value) for r in replicates) / len(replicates)
    bias = stats.norm.ppf(below)
    centre = sum(left_out) / len(left_out)
    cubes, squares = (sum((centre - one) ** power for one in left_out) for power in (3, 2))
    skewness = cubes / (6 * squares**1.5) if squares else 0.0
    ends = []
    for normal in (stats.norm.ppf(0.025), stats.norm.ppf(0.975)):
        moved = bias + (bias + normal) / (1 - skewness * (bias + normal))
        ends.append(np.quantile(replicates, stats.norm.cdf(moved)))
    return ends


STATISTICS = {
    "mean": (MEAN, np.mean),
    "median": (MEDIAN, np.median),
    "90th percentile": (Statistic("error", ("all",), 0.9), lambda x: np.quantile(x, 0.9)),
}
every_statistic = pytest.mark.parametrize(("statistic", "function"), STATISTICS.values(), ids=STATISTICS)


@every_statistic
@pytest.mark.parametrize("resamples", [40, 300])
def test_bca_interval_equals_that_of_a_slow_loop(statistic, function, resamples):
    error = np.round(errors(35) ** 2, 1)  # skewed, with ties
    one = estimate_one(statistic, error, resamples=resamples, seed=29, interval="bca")
    replicates = [function(np.repeat(error, row)) for row in counts_of(35, resamples, 29)]
    left_out = [function(np.delete(error, k)) for k in range(35)]
    slow = slow_bca(one.value, replicates, left_out)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-9)
    percentile = estimate_one(statistic, error, resamples=resamples, seed=29)
    assert (one.low, one.high) != (percentile.low, percentile.high)


@every_statistic
def test_bca_interval_equals_that_of_scipy_from_the_same_replicates(statistic, function):
    error = errors(40) ** 2
    one = estimate_one(statistic, error, resamples=500, seed=30, interval="bca")
    replicates = np.array([function(np.repeat(error, row)) for row in counts_of(40, 500, 30)])
    scipys = stats.bootstrap(
        (error,),
        function,
        method="BCa",
        n_resamples=0,
        vectorized=False,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=replicates),
    )
    np.testing.assert_allclose([one.low, one.high], scipys.confidence_interval, rtol=1e-9)


@pytest.mark.parametrize("power", [1, 3], ids=["skewed", "very skewed"])
@pytest.mark.parametrize(
    ("statistic", "function"),
    [(MEAN, np.mean), (Statistic("error", ("all",), 0.75), lambda x, axis: np.quantile(x, 0.75, axis=axis))],
    ids=["mean", "quantile"],
)
def test_bca_interval_agrees_with_that_of_scipy_from_its_own_replicates(statistic, function, power):
    error = errors(80) ** power
    one = estimate_one(statistic, error, resamples=5000, interval="bca")
    scipys = stats.bootstrap(
        (error,), function, method="BCa", n_resamples=5000, vectorized=True, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(
        [one.low, one.high], scipys.confidence_interval, rtol=0, atol=0.25 * scipys.standard_error
    )


def test_bca_interval_of_errors_skewed_to_the_right_lies_further_right():
    error = errors(60) ** 3
    plain, bca = (estimate_one(MEAN, error, resamples=2000, interval=name) for name in ("percentile", "bca"))
    assert bca.value == plain.value
    assert bca.low > plain.low
    assert bca.high > plain.high
    mirrored = estimate_one(MEAN, -error, resamples=2000, interval="bca")
    np.testing.assert_allclose([mirrored.low, mirrored.high], [-bca.high, -bca.low], rtol=1e-9)


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
def test_bca_interval_moves_with_scale_and_shift(statistic):
    error = errors(40)
    one, moved = (estimate_one(statistic, e, interval="bca") for e in (error, 2 * error + 8))
    np.testing.assert_allclose(
        [moved.value, moved.low, moved.high], 2 * np.array([one.value, one.low, one.high]) + 8, rtol=1e-9
    )


@pytest.mark.parametrize("far", [10, 2, 1])
def test_bca_interval_of_a_balanced_mean_equals_that_of_a_slow_loop(far):
    error, groups = errors(25), {"near": np.arange(25) >= far, "far": np.arange(25) < far}
    statistic = balanced_mean(error, groups)
    one = estimate_one(BALANCED, error, groups, resamples=150, seed=31, interval="bca")
    replicates = [statistic(np.repeat(np.arange(25), row)) for row in counts_of(25, 150, 31)]
    replicates = [value for value in replicates if value is not None]
    assert (len(replicates) < 150) == (far < 10)
    left_out = [statistic(np.delete(np.arange(25), k)) for k in range(25)]
    left_out = [value for value in left_out if value is not None]
    assert len(left_out) == 25 - (far == 1)
    np.testing.assert_allclose([one.low, one.high], slow_bca(one.value, replicates, left_out), rtol=1e-9)


def test_bca_interval_where_no_single_face_matters_is_corrected_for_bias_alone():
    error = np.repeat([1.0, 2.25, 3.0], [6, 7, 5])
    one = estimate_one(MEDIAN, error, resamples=301, seed=40, interval="bca")
    replicates = [np.median(np.repeat(error, row)) for row in counts_of(18, 301, 40)]
    left_out = [np.median(np.delete(error, k)) for k in range(18)]
    assert len(set(left_out)) == 1
    slow = slow_bca(one.value, replicates, left_out)
    np.testing.assert_allclose([one.low, one.high], slow, rtol=1e-12)
    assert [one.low, one.high] != np.quantile(replicates, [0.025, 0.975]).tolist()


def test_bca_statistics_do_not_influence_one_another():
    columns = {
        "error": errors(40),
        "missed": np.full(40, INF),
        "same": np.full(40, 2.0),
        **hits_and_claims(40),
    }
    groups = {"all": np.ones(40, bool), "near": np.arange(40) < 30, "far": np.arange(40) >= 30}
    others = [Statistic("missed", ("all",)), Statistic("same", ("all",)), Statistic("error", ("far",), 0.9)]
    chosen = [MEAN, MEDIAN, BALANCED, RATIO]
    together = estimate(columns, groups, [*others, *chosen], resamples=100, interval="bca")[3:]
    for one, statistic in zip(together, chosen, strict=True):
        alone = estimate(columns, groups, [statistic], resamples=100, interval="bca")[0]
        np.testing.assert_allclose(
            [one.value, one.low, one.high, one.n], [alone.value, alone.low, alone.high, alone.n], rtol=1e-9
        )


def test_bca_interval_ignores_faces_outside_the_group():
    error = errors(40)
    taking_part = np.arange(40) % 3 > 0
    with_nan = estimate_one(MEAN, np.where(taking_part, error, NAN), interval="bca", resamples=100)
    assert with_nan == estimate_one(MEAN, error, {"all": taking_part}, interval="bca", resamples=100)


def test_unknown_kind_of_interval_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="percentile, bca, not 'normal'"):
        estimate_one(MEAN, [1.0], interval="normal")


# --- Where there is little to resample


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [MEAN, MEDIAN])
@pytest.mark.parametrize("value", [3.0, 0.1, 0.0])
@pytest.mark.parametrize("count", [1, 2, 23])
def test_equal_errors_have_an_interval_of_no_width(statistic, interval, value, count):
    one = estimate_one(statistic, np.full(count, value), interval=interval, resamples=100)
    np.testing.assert_allclose([one.value, one.low, one.high], value, rtol=1e-12)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_one_face_of_a_group_has_an_interval_of_no_width(interval):
    group = np.arange(20) == 4
    error = errors(20)
    one = estimate_one(MEAN, error, {"all": group}, interval=interval, resamples=200)
    np.testing.assert_allclose([one.value, one.low, one.high], error[4], rtol=1e-12)
    assert one.n == 1


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_missed_face_leaves_a_mean_without_an_interval(interval):
    one = estimate_one(MEAN, [1.0, 2.0, INF, INF], interval=interval, resamples=100)
    assert one.value == INF
    assert np.isnan([one.low, one.high]).all()


def test_bca_interval_of_a_median_bears_missed_faces():
    error = np.append(errors(57), [INF] * 3)
    one = estimate_one(MEDIAN, error, interval="bca", resamples=300)
    replicates = [np.median(np.repeat(error, row)) for row in counts_of(60, 300, 0)]
    left_out = [np.median(np.delete(error, k)) for k in range(60)]
    np.testing.assert_allclose(
        [one.low, one.high], slow_bca(np.median(error), replicates, left_out), rtol=1e-9
    )


def test_bca_interval_may_end_at_infinity_but_never_at_nothing():
    error = np.append(errors(17), [INF, INF, INF])
    one = estimate_one(Statistic("error", ("all",), 0.8), error, interval="bca", resamples=300)
    assert np.isfinite([one.value, one.low]).all()
    assert one.high == INF


@pytest.mark.parametrize("seed", range(6))
def test_resamples_on_one_side_of_the_value_leave_nothing_to_correct(seed):
    error = errors(30) ** 3
    bca, plain = (
        estimate_one(MEAN, error, interval=name, resamples=1, seed=seed) for name in ("bca", "percentile")
    )
    assert plain.low == plain.high != plain.value
    assert bca == plain


@pytest.mark.parametrize("quantile", [0.0, 1.0])
def test_bca_interval_of_an_extreme_does_not_pass_it(quantile):
    error = np.append(errors(30), [0.0, 1000.0])
    one = estimate_one(Statistic("error", ("all",), quantile), error, interval="bca", resamples=200)
    assert 0.0 <= one.low <= one.high <= 1000.0
    assert one.value in (one.low, one.high)


def test_shares_keep_bca_intervals_within_0_and_100():
    for failed in (0, 1, 5, 49, 50):
        error = np.where(np.arange(50) < failed, 100.0, 0.0)
        one = estimate_one(MEAN, error, interval="bca", resamples=300)
        assert 0 <= one.low <= one.value <= one.high <= 100
        assert (one.low == one.high) == (failed in (0, 50))


# --- Coverage, by simulation


def coverage(columns, true, **options):
    """Shares of the intervals that cover the true mean, that lie below it, and that lie above it."""
    names = list(columns)
    count = len(columns[names[0]])
    statistics = [Statistic(name, ("all",)) for name in names]
    found = estimate(columns, {"all": np.ones(count, bool)}, statistics, resamples=300, **options)
    below, above = np.mean([one.high < true for one in found]), np.mean([one.low > true for one in found])
    return 1 - below - above, below, above


def allowed(trials):
    """Three standard errors of a share of 95 % among so many trials."""
    return 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize(("shape", "faces"), [(4.0, 100), (1.0, 200), (0.5, 300)])
def test_intervals_cover_the_mean_of_skewed_errors_as_often_as_they_say(shape, faces, interval):
    trials = 400
    samples = np.random.default_rng(32).gamma(shape, 1.0, (trials, faces))
    columns = {str(trial): sample for trial, sample in enumerate(samples)}
    covered, _, _ = coverage(columns, shape, seed=33, interval=interval)
    assert covered == pytest.approx(0.95, abs=allowed(trials))


def test_bca_intervals_err_on_both_sides_more_evenly():
    """Percentile intervals of the mean of skewed errors lie too low; those of BCa make up for most of it."""
    trials = 1000
    samples = np.random.default_rng(34).gamma(0.3, 1.0, (trials, 60))
    columns = {str(trial): sample for trial, sample in enumerate(samples)}
    (_, too_low, too_high), (_, low, high) = (
        coverage(columns, 0.3, seed=35, interval=interval) for interval in ("percentile", "bca")
    )
    assert too_low > 2 * too_high
    assert low - high < 0.7 * (too_low - too_high)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_intervals_over_clusters_cover_where_faces_are_alike_and_plain_ones_do_not(interval):
    trials, subjects, each = 400, 100, 5
    generator = np.random.default_rng(36)
    own = generator.gamma(4.0, 1.0, (trials, subjects, 1))  # variance 4 between subjects, 1 within
    samples = (own + generator.normal(0, 1, (trials, subjects, each))).reshape(trials, -1)
    columns = {str(trial): sample for trial, sample in enumerate(samples)}
    clusters = np.repeat(np.arange(subjects), each)
    covered, _, _ = coverage(columns, 4.0, seed=37, interval=interval, clusters=clusters)
    assert covered == pytest.approx(0.95, abs=allowed(trials))
    plain, _, _ = coverage(columns, 4.0, seed=37, interval=interval)
    assert plain < 0.80


def test_intervals_of_ratios_cover_the_ratio_of_the_means():
    trials, faces = 400, 150
    generator = np.random.default_rng(38)
    claims = 1.0 + generator.poisson(3.0, (trials, faces))
    hits = generator.binomial(claims.astype(int), 0.7)
    columns = {f"hits{t}": hits[t].astype(float) for t in range(trials)}
    columns |= {f"claims{t}": claims[t] for t in range(trials)}
    statistics = [Statistic(f"hits{t}", ("all",), over=f"claims{t}") for t in range(trials)]
    found = estimate(columns, {"all": np.ones(faces, bool)}, statistics, resamples=300, seed=39)
    covered = np.mean([one.low <= 0.7 <= one.high for one in found])
    assert covered == pytest.approx(0.95, abs=allowed(trials))

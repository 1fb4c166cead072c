"""Differences of two systems, against slow loops, scipy, enumeration and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from facebench.errors import UsageError
from facebench.geometry import VISIBILITY
from facebench.metrics import Statistic, VisibilitySuite, average_precision, differences, holm
from facebench.metrics.comparison import _swaps
from facebench.metrics.resampling import resample_counts

INF, NAN = np.inf, np.nan
MEAN = Statistic("error", ("all",))
MEDIAN = Statistic("error", ("all",), 0.5)
BALANCED = Statistic("error", ("near", "far"))
RATIO = Statistic("error", ("all",), over="size")


def pair(count, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.gamma(4.0, 1.0, count)
    return first, first + rng.normal(shift, 1.0, count)


def groups_of(count):
    return {"all": np.ones(count, bool), "near": np.arange(count) >= 4, "far": np.arange(count) < 4}


def compare_one(statistic, first, second, size=None, **options):
    size = np.arange(1.0, len(first) + 1) if size is None else size
    columns = [{"error": np.asarray(one, float), "size": size} for one in (first, second)]
    return differences(*columns, groups_of(len(first)), [statistic], **options)[0]


def drawn(count, resamples, seed, clusters=None):
    return np.concatenate(list(resample_counts(count, resamples, seed, clusters))).astype(int)


def swapped(count, resamples, seed, clusters=None):
    return np.concatenate(list(_swaps(count, resamples, seed, clusters))).astype(bool)


def slow_statistic(statistic, errors, size, rows):
    """Compute a statistic of the rows drawn; None for a resample without any face of a group."""
    if statistic is MEDIAN:
        return np.quantile(errors[rows], 0.5)
    if statistic is RATIO:
        return errors[rows].sum() / size[rows].sum()
    if statistic is BALANCED:
        parts = [errors[rows[rows >= 4]], errors[rows[rows < 4]]]
        return None if not all(map(len, parts)) else np.mean([part.mean() for part in parts])
    return errors[rows].mean()


def slow_difference(statistic, first, second, resamples, seed, clusters=None):
    n = len(first)
    rows, size = np.arange(n), np.arange(1.0, n + 1)
    of = lambda errors, which: slow_statistic(statistic, errors, size, which)  # noqa: E731
    observed = of(first, rows) - of(second, rows)
    resampled = []
    for counts in drawn(n, resamples, seed, clusters):
        which = np.repeat(rows, counts)
        if of(first, which) is not None:
            resampled.append(of(first, which) - of(second, which))
    exchanged = []
    for swap in swapped(n, resamples, seed, clusters):
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        exchanged.append(of(one, rows) - of(other, rows))
    above, below = (np.array(resampled) >= 0).sum(), (np.array(resampled) <= 0).sum()
    extreme = (np.abs(exchanged) >= abs(observed) - 1e-12).sum()
    return (
        *(observed, *np.quantile(resampled, [0.025, 0.975])),
        min(1, 2 * (1 + min(above, below)) / (1 + len(resampled))),
        (1 + extreme) / (1 + len(exchanged)),
    )


def numbers(one):
    return one.value, one.low, one.high, one.p_bootstrap, one.p_randomisation


def undefined(one):
    return np.isnan([one.low, one.high, one.p_bootstrap, one.p_randomisation]).all()


# --- Against other computations of the same


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN, BALANCED, RATIO], ids=["mean", "median", "bal", "ratio"])
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("resamples", [1, 64, 150])
def test_difference_equals_that_of_a_slow_loop(statistic, clustered, resamples):
    first, second = pair(25, 0.3)
    clusters = np.arange(25) // 3 if clustered else None
    found = compare_one(statistic, first, second, resamples=resamples, seed=5, clusters=clusters)
    slow = slow_difference(statistic, first, second, resamples, 5, clusters)
    np.testing.assert_allclose(numbers(found), slow, rtol=1e-9)
    assert found.value == pytest.approx(found.first - found.second, rel=1e-12)


@pytest.mark.parametrize("function", [np.mean, np.median], ids=["mean", "median"])
def test_interval_agrees_with_the_paired_bootstrap_of_scipy(function):
    first, second = pair(60, 0.3)

    def apart(x, y, axis=-1):
        return function(x, axis=axis) - function(y, axis=axis)

    peer = stats.bootstrap(
        (first, second), apart, paired=True, vectorized=True, method="percentile", n_resamples=5000, rng=0
    )
    found = compare_one(MEAN if function is np.mean else MEDIAN, first, second, resamples=5000)
    tolerance = 0.2 * peer.standard_error
    np.testing.assert_allclose([found.low, found.high], peer.confidence_interval, rtol=0, atol=tolerance)


@pytest.mark.parametrize("function", [np.mean, np.median], ids=["mean", "median"])
def test_p_agrees_with_the_permutation_test_of_scipy(function):
    first, second = pair(40, 0.25, seed=3)

    def apart(x, y, axis=-1):
        return function(x, axis=axis) - function(y, axis=axis)

    peer = stats.permutation_test(
        (first, second), apart, permutation_type="samples", vectorized=True, n_resamples=5000, rng=0
    ).pvalue
    found = compare_one(MEAN if function is np.mean else MEDIAN, first, second, resamples=5000)
    # Two simulations of 5000; scipy doubles the smaller tail, which is the same but for chance.
    assert found.p_randomisation == pytest.approx(peer, abs=5 * np.sqrt(2 * peer * (1 - peer) / 5000) + 0.01)


@pytest.mark.parametrize("seed", range(4))
def test_p_of_few_faces_is_that_of_enumerating_all_swaps(seed):
    first, second = np.round(pair(7, 0.5, seed=seed), 1)  # with ties
    apart = first - second
    signs = np.array(list(itertools.product([1, -1], repeat=7)))
    every = np.abs((signs * apart).mean(axis=1))
    exact = (every >= abs(apart.mean()) - 1e-12).mean()
    found = compare_one(MEAN, first, second, resamples=20_000)
    # A tie that is lost to rounding would cost two swaps of 128: 0.016.
    assert found.p_randomisation == pytest.approx(exact, abs=0.012)


# --- What must hold whatever the numbers


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN, BALANCED, RATIO], ids=["mean", "median", "bal", "ratio"])
@pytest.mark.parametrize("seed", range(3))
def test_exchanging_the_systems_turns_the_sign_only(statistic, seed):
    first, second = pair(30, 0.2, seed=seed)
    one, other = compare_one(statistic, first, second), compare_one(statistic, second, first)
    assert (other.first, other.second) == pytest.approx((one.second, one.first))
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert (other.p_bootstrap, other.p_randomisation) == (one.p_bootstrap, one.p_randomisation)


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN, BALANCED, RATIO], ids=["mean", "median", "bal", "ratio"])
def test_identical_systems_do_not_differ(statistic):
    first, _ = pair(30)
    assert numbers(compare_one(statistic, first, first.copy(), resamples=100)) == (0, 0, 0, 1, 1)


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN, BALANCED, RATIO], ids=["mean", "median", "bal", "ratio"])
def test_rounding_noise_is_not_significant(statistic):
    first, _ = pair(50)
    noisy = first * (1 + 1e-13)  # in the same direction for every face
    assert numbers(compare_one(statistic, 50 * noisy, 50 * first)) == (0, 0, 0, 1, 1)


def test_a_small_difference_of_every_face_is_significant():
    first, _ = pair(50)
    found = compare_one(MEAN, first + 1e-4, first)
    assert (found.low, found.high) == pytest.approx((1e-4, 1e-4))
    assert found.p_randomisation == found.p_bootstrap / 2 == 1 / 1001


def test_p_values_count_the_observed_and_are_never_above_one():
    first, second = pair(30, 5.0)
    for resamples in (1, 10, 100):
        found = compare_one(MEAN, first, second, resamples=resamples)
        assert found.p_randomisation == 1 / (1 + resamples)
        assert found.p_bootstrap == min(1, 2 / (1 + resamples))
    assert compare_one(MEAN, [1.0], [2.0]).p_randomisation == 1.0  # one face decides nothing


def test_seeds_repeat_and_statistics_do_not_influence_one_another():
    first, second = pair(40, 0.3)
    assert compare_one(MEAN, first, second, seed=1) == compare_one(MEAN, first, second, seed=1)
    assert compare_one(MEAN, first, second, seed=1).low != compare_one(MEAN, first, second, seed=2).low
    columns = [{"error": e, "size": np.ones(40)} for e in (first, second)]
    together = differences(*columns, groups_of(40), [BALANCED, MEDIAN, MEAN], seed=1)
    assert numbers(together[2]) == pytest.approx(numbers(compare_one(MEAN, first, second, seed=1)))


def test_first_randomisations_are_the_same_however_many_follow():
    np.testing.assert_array_equal(swapped(9, 70, 3), swapped(9, 300, 3)[:70])
    assert swapped(9, 4000, 3).mean() == pytest.approx(0.5, abs=0.02)


def test_whole_clusters_are_swapped():
    clusters = np.array([2, 0, 1, 0, 2, 2])
    swaps = swapped(6, 200, 0, clusters)
    for cluster in range(3):
        assert (swaps[:, clusters == cluster] == swaps[:, clusters == cluster][:, :1]).all()
    assert len(np.unique(swaps, axis=0)) == 8


def test_copies_of_faces_do_not_add_evidence_where_they_are_clusters():
    first, second = pair(12, 0.5, seed=2)
    once = compare_one(MEAN, first, second)
    copied = compare_one(
        MEAN, np.repeat(first, 9), np.repeat(second, 9), clusters=np.repeat(np.arange(12), 9)
    )
    assert numbers(copied) == pytest.approx(numbers(once))
    naive = compare_one(MEAN, np.repeat(first, 9), np.repeat(second, 9))
    assert naive.high - naive.low < (once.high - once.low) / 2


# --- As a test: it keeps its level, and finds what there is


def test_p_is_below_5_percent_5_percent_of_the_time_when_nothing_differs():
    trials, faces = 1000, 40
    rng = np.random.default_rng(7)
    columns = [{str(j): x for j, x in enumerate(rng.gamma(2, 1, (trials, faces)))} for _ in range(2)]
    wanted = [Statistic(str(j), ("all",)) for j in range(trials)]
    found = differences(*columns, {"all": np.ones(faces, bool)}, wanted, resamples=500)
    for name, slack in (("p_randomisation", 0.025), ("p_bootstrap", 0.035)):
        p = np.array([getattr(one, name) for one in found])
        assert (p <= 0.05).mean() == pytest.approx(0.05, abs=slack)  # 0.007 is one standard error
        # Draws are shared by all trials, so they are not quite independent.
        assert stats.kstest(p, "uniform").statistic < 0.08
    # The interval excludes 0 exactly where its p-value is small.
    outside = np.array([one.low > 0 or one.high < 0 for one in found])
    assert (outside == (np.array([one.p_bootstrap for one in found]) <= 0.05)).mean() > 0.98


def test_a_shift_is_found_as_often_as_by_the_t_test():
    trials, faces = 300, 40
    rng = np.random.default_rng(8)
    first = rng.gamma(4, 1, (trials, faces))
    second = first + rng.normal(0.4, 1, (trials, faces))
    columns = [{str(j): x for j, x in enumerate(system)} for system in (first, second)]
    wanted = [Statistic(str(j), ("all",)) for j in range(trials)]
    found = differences(*columns, {"all": np.ones(faces, bool)}, wanted, resamples=500)
    peer = (stats.ttest_rel(first, second, axis=1).pvalue <= 0.05).mean()
    assert 0.5 < peer < 0.9
    assert np.mean([one.p_randomisation <= 0.05 for one in found]) == pytest.approx(peer, abs=0.05)
    assert np.mean([one.value < 0 for one in found]) > 0.97


# --- Pooled points


def visibility(count, seed=0):
    rng = np.random.default_rng(seed)
    states = rng.choice([VISIBILITY["visible"], VISIBILITY["occluded"]], (count, 29)).astype(np.uint8)
    hidden = states == VISIBILITY["occluded"]
    return states, [np.clip(rng.normal(0.6 - 0.2 * hidden, 0.2), 0, 1) for _ in range(2)]


def test_average_precisions_are_compared_as_by_a_slow_loop():
    states, given = visibility(12)
    hidden = states == VISIBILITY["occluded"]
    suite = VisibilitySuite(scheme="cofw29")
    columns = [suite.columns(one, states).of for one in given]
    ap = Statistic("ap", ("all",))
    found = differences(*columns, {"all": np.ones(12, bool)}, [ap], resamples=70, seed=1)[0]

    def slow(v, rows):
        return average_precision(-v[rows].ravel(), hidden[rows].ravel())

    rows = np.arange(12)
    observed = slow(given[0], rows) - slow(given[1], rows)
    resampled = [
        slow(given[0], np.repeat(rows, counts)) - slow(given[1], np.repeat(rows, counts))
        for counts in drawn(12, 70, 1)
    ]
    exchanged = [
        slow(np.where(swap[:, None], given[1], given[0]), rows)
        - slow(np.where(swap[:, None], given[0], given[1]), rows)
        for swap in swapped(12, 70, 1)
    ]
    assert found.value == pytest.approx(observed)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))
    assert found.p_randomisation == pytest.approx((1 + (np.abs(exchanged) >= abs(observed)).sum()) / 71)


def test_precision_and_recall_are_ratios_of_both_systems():
    states, given = visibility(40)
    suite = VisibilitySuite(scheme="cofw29")
    columns = [suite.columns(one, states).of for one in given]
    metrics = [one for one in suite.metrics if one.over]
    found = differences(
        *columns, {"all": np.ones(40, bool)}, [one.over_groups(("all",)) for one in metrics], resamples=10
    )
    for one, metric in zip(found, metrics, strict=True):
        for value, column in ((one.first, columns[0]), (one.second, columns[1])):
            assert value == pytest.approx(column[metric.column].sum() / column[metric.over].sum())


# --- Missed and absent faces


def test_a_missed_face_leaves_the_mean_without_interval_and_the_other_value_as_it_is():
    first, second = pair(20)
    missed = np.append(first[:-1], INF)
    found = compare_one(MEAN, missed, second)
    assert (found.first, found.value) == (INF, INF)
    assert found.second == pytest.approx(second.mean())
    assert undefined(found)
    assert compare_one(MEAN, second, missed).value == -INF


@pytest.mark.parametrize("statistic", [MEAN, Statistic("error", ("all",), 1.0)], ids=["mean", "largest"])
def test_two_infinite_values_have_no_difference(statistic):
    first, second = pair(20)
    first[3] = second[5] = INF
    found = compare_one(statistic, first, second)
    assert (found.first, found.second) == (INF, INF)
    assert np.isnan(found.value)
    assert undefined(found)


def test_an_infinite_percentile_in_some_resamples_counts_as_the_largest():
    """The 95th percentile of the first is finite, but infinite in many resamples: the interval is open."""
    first = np.append(np.linspace(1, 2, 97), [INF] * 3)
    second = np.linspace(1, 2, 100)
    p95 = Statistic("error", ("all",), 0.95)
    found = compare_one(p95, first, second)
    assert np.isfinite(found.value)
    assert found.high == INF
    assert np.isfinite(found.low)
    other = compare_one(p95, second, first)
    assert (other.low, other.high) == (-INF, -found.low)
    assert other.p_randomisation == found.p_randomisation


def test_medians_bear_missed_faces():
    first, second = pair(40, 2.0)
    first[:3] = second[5:7] = INF
    found = compare_one(MEDIAN, first, second)
    assert np.isfinite(numbers(found)).all()


def test_absent_faces_do_not_take_part():
    first, second = pair(30)
    absent = np.arange(30) % 3 == 0
    one = compare_one(MEAN, np.where(absent, NAN, first), np.where(absent, NAN, second))
    assert one.value == pytest.approx((first - second)[~absent].mean())
    assert np.isfinite(numbers(one)).all()


def test_refusals():
    with pytest.raises(UsageError, match="1 or more resamples, not 0"):
        compare_one(MEAN, [1.0], [2.0], resamples=0)
    with pytest.raises(UsageError, match="no faces to summarise"):
        compare_one(Statistic("error", ("near",)), [1.0], [2.0])
    assert differences({}, {}, {"all": np.ones(3, bool)}, []) == []


# --- Holm


def slow_holm(p):
    """Correct each by its definition: the largest of (m - j) p over the j smallest up to it."""
    known = [x for x in p if not np.isnan(x)]
    out = []
    for x in p:
        below = [y for y in known if y <= x]
        steps = [(len(known) - j) * y for j, y in enumerate(sorted(below))]
        # Of equal ones the first has the largest factor, and the others are not below it.
        out.append(NAN if np.isnan(x) else min(1.0, max(steps)))
    return out


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0, NAN])), max_size=12))
def test_holm_is_its_definition_monotone_and_bounded(p):
    found = holm(p)
    np.testing.assert_allclose(found, slow_holm(p), rtol=1e-12)
    known = ~np.isnan(np.array(p, float))
    assert (found[known] >= np.array(p)[known]).all()
    assert (found[known] <= 1).all()
    order = np.argsort(np.array(p, float)[known], kind="stable")
    assert (np.diff(found[known][order]) >= 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_does_not_depend_on_the_order(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_array_equal(holm([p[j] for j in order]), holm(p)[order])


def test_holm_of_one_changes_nothing_and_of_none_is_none():
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []
    assert np.isnan(holm([NAN, 0.5])).tolist() == [True, False]

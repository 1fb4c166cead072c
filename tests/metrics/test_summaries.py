from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.metrics import area_under_ced, auc_share, failure, success

NAN, INF = np.nan, np.inf

error_lists = st.lists(st.floats(0, 50), min_size=1, max_size=30)
thresholds = st.floats(0.1, 40)


def area_of_steps(errors, threshold):
    """Integrate the cumulative error distribution step by step, in percent of the whole area."""
    edges = [*sorted(e for e in errors if e <= threshold), threshold]
    area = sum((end - begin) * count / len(errors) for count, (begin, end) in enumerate(pairwise(edges), 1))
    return 100 * area / threshold


# --- Area under the cumulative error distribution


@given(error_lists, thresholds)
def test_auc_equals_the_sum_of_the_steps(errors, threshold):
    assert area_under_ced(errors, threshold) == pytest.approx(area_of_steps(errors, threshold), abs=1e-9)


@pytest.mark.parametrize("threshold", [2.0, 8.0, 30.0])
def test_auc_equals_a_fine_numerical_integration(threshold):
    errors = np.sort(np.random.default_rng(0).gamma(4.0, 1.5, 300))
    grid = (np.arange(100_000) + 0.5) / 100_000 * threshold
    curve = np.searchsorted(errors, grid, side="right") / len(errors)
    assert area_under_ced(errors, threshold) == pytest.approx(100 * curve.mean(), abs=1e-3)


@given(error_lists, thresholds)
def test_auc_lies_between_nothing_and_the_success_rate(errors, threshold):
    auc = area_under_ced(errors, threshold)
    assert 0 <= auc <= success(errors, threshold).mean() + 1e-9


@given(error_lists, thresholds, st.floats(1, 5))
def test_auc_grows_with_the_threshold(errors, threshold, factor):
    assert area_under_ced(errors, threshold * factor) >= area_under_ced(errors, threshold) - 1e-9


@given(error_lists, thresholds, st.floats(0.1, 10))
def test_auc_does_not_depend_on_the_unit(errors, threshold, unit):
    scaled = area_under_ced(unit * np.array(errors), unit * threshold)
    assert scaled == pytest.approx(area_under_ced(errors, threshold), abs=1e-9)


@pytest.mark.parametrize(
    ("errors", "auc"),
    [([0.0, 0.0], 100.0), ([8.0], 0.0), ([100.0, INF], 0.0), ([2.0], 75.0), ([0.0, INF], 50.0)],
)
def test_auc_of_simple_errors(errors, auc):
    assert area_under_ced(errors, threshold=8.0) == auc


def test_auc_has_no_missing_tail_when_every_error_is_small():
    """PROTOCOLS 3.3: curves that end at the largest error, not at the threshold, lose all of this area."""
    assert area_under_ced([1.0, 1.0], threshold=10.0) == pytest.approx(90.0)


def test_share_of_each_face_averages_to_the_auc():
    errors = [0.0, 2.0, 9.0]
    np.testing.assert_allclose(auc_share(errors, 8.0), [100.0, 75.0, 0.0])
    assert area_under_ced(errors, 8.0) == pytest.approx(175 / 3)


# --- Failure and success


def test_only_errors_above_the_threshold_fail():
    errors = [0.0, np.nextafter(8.0, 0.0), 8.0, np.nextafter(8.0, 9.0), 20.0]
    np.testing.assert_array_equal(failure(errors, 8.0), [0.0, 0.0, 0.0, 100.0, 100.0])
    np.testing.assert_array_equal(success(errors, 8.0), [100.0, 100.0, 100.0, 0.0, 0.0])


@given(error_lists, thresholds)
def test_every_face_either_fails_or_succeeds(errors, threshold):
    np.testing.assert_array_equal(failure(errors, threshold) + success(errors, threshold), 100.0)


@given(error_lists, thresholds)
def test_failure_rate_counts_the_errors_above(errors, threshold):
    expected = 100 * sum(e > threshold for e in errors) / len(errors)
    assert failure(errors, threshold).mean() == pytest.approx(expected)


# --- Missed and absent faces


@pytest.mark.parametrize(("summary", "worst"), [(auc_share, 0.0), (failure, 100.0), (success, 0.0)])
def test_missed_face_counts_as_badly_as_possible(summary, worst):
    np.testing.assert_array_equal(summary([INF], 8.0), [worst])


@pytest.mark.parametrize("summary", [auc_share, failure, success])
def test_absent_face_stays_absent(summary):
    assert np.isnan(summary([NAN, 1.0, INF], 8.0)).tolist() == [True, False, False]

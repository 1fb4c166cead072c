"""The benchmarks run, and compare computations of the same thing; how fast is not asserted."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.benchmarks import measuring, metric_cases, run


def test_the_scores_compared_are_the_same_scores():
    one_pass, loop = run.scoring_cases(faces=500)
    assert one_pass.ours() == pytest.approx(one_pass.theirs())
    assert loop.ours() == pytest.approx(loop.theirs())


def test_the_images_compared_are_the_same_images(monkeypatch):
    monkeypatch.delenv("FACEBENCH_TEST_DATA", raising=False)
    for case in run.decode_cases():
        for ours, theirs in zip(case.ours()[:5], case.theirs()[:5], strict=True):
            assert np.array_equal(ours, theirs[..., ::-1])


def test_the_streamed_numbers_are_those_of_the_numpy_pass():
    case, _ = metric_cases.streaming_cases(faces=300, batch=50)
    assert case.ours()["nme/box-sqrt"] == pytest.approx(case.theirs())


def test_the_tables_compared_are_the_same_table():
    table = metric_cases.Table(40)
    np.testing.assert_allclose(table.ours(5), table.theirs(5), rtol=1e-9)
    np.testing.assert_allclose(table.ours(5), table.theirs(5, table.errors(range(40))), rtol=1e-9)


def test_a_part_of_the_work_is_scaled():
    case = measuring.Case("a", "b", lambda: None, lambda: time.sleep(0.01), 1.0, pairs=1, scale=100)
    assert measuring.measure(case).theirs > 1


def test_a_case_is_measured():
    measured = measuring.measure(
        measuring.Case("a", "b", lambda: sum(range(1000)), lambda: sum(range(1000)), 2.0, pairs=3)
    )
    assert measured.ratio > 0
    assert measured.ours > 0

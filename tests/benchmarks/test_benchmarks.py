"""The benchmarks run, and compare computations of the same thing; how fast is not asserted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks import run


def test_the_scores_compared_are_the_same_scores():
    one_pass, loop = run.scoring_cases(faces=500)
    assert one_pass.ours() == pytest.approx(one_pass.theirs())
    assert loop.ours() == pytest.approx(loop.theirs())


def test_the_images_compared_are_the_same_images(monkeypatch):
    monkeypatch.delenv("FACEBENCH_TEST_DATA", raising=False)
    for case in run.decode_cases():
        for ours, theirs in zip(case.ours()[:5], case.theirs()[:5], strict=True):
            assert np.array_equal(ours, theirs[..., ::-1])


def test_a_case_is_measured():
    measured = run.measure(
        run.Case("a", "b", lambda: sum(range(1000)), lambda: sum(range(1000)), 2.0, pairs=3)
    )
    assert measured.ratio > 0
    assert measured.ours > 0

"""Commands as a user runs them: exit code, standard output and standard error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import facebench
from facebench.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*words: object) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(stopped.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def mine(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points of a method called mine, three pixels off."""
    dataset = facebench.open_dataset(drawn)
    path = tmp_path_factory.mktemp("mine") / "mine.h5"
    truth = dataset.annotations["original"].points
    points = truth + np.random.default_rng(0).normal(0, 3, truth.shape)
    facebench.write_predictions(path, dataset="aflw2000", method="mine", ids=dataset.ids, landmarks=points)
    return path

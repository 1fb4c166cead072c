"""What the benchmarks are made of: a ratio of two times, or a value that must stay under another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """Two callables to compare.

    ``aim`` is the ratio ours / theirs to stay under; for a peer that we must beat it is below 1.  Where
    ``theirs`` does only a part of the work, what it takes is multiplied by ``scale``.
    """

    name: str
    against: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    aim: float
    pairs: int = 7
    scale: float = 1.0


@dataclass(frozen=True)
class Measured:
    case: Case
    ratio: float
    ours: float
    theirs: float

    def __str__(self) -> str:
        case = self.case
        return (
            f"{case.name:58} {case.against:36} {self.ratio:8.3f} {case.aim:8.3f} "
            f"{self.ours * 1e3:8.1f} ms {self.theirs * 1e3:8.1f} ms"
        )


@dataclass(frozen=True)
class Amount:
    """A number to stay under ``aim``."""

    name: str
    unit: str
    value: Callable[[], float]
    aim: float


def measure(case: Case) -> Measured:
    case.ours(), case.theirs()  # warm caches, imports and files
    times = np.array([(_seconds(case.ours), case.scale * _seconds(case.theirs)) for _ in range(case.pairs)])
    ours, theirs = np.median(times, axis=0)
    return Measured(case, float(np.median(times[:, 0] / times[:, 1])), ours, theirs)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def describe(one: Case | Amount) -> str:
    """Measure one, and return its line of the table."""
    if isinstance(one, Case):
        return str(measure(one))
    return f"{one.name:58} {one.unit:36} {one.value():8.3f} {one.aim:8.3f}"

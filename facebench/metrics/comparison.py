"""Paired comparison of two systems on the same faces: differences, their intervals and p-values.

Every statistic that a single system has (means, percentiles, balanced means, precision and recall of pooled
points) is compared by the same code.  A resample counts the same faces of both.  For the randomisation they
stand in one table, the rows of the second below those of the first: it swaps the systems on some faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.metrics.resampling import (
    CHUNK,
    CONFIDENCE,
    Column,
    Floats,
    Masks,
    Statistic,
    Table,
    resample_counts,
)

__all__ = ["Difference", "differences", "holm"]

# Values that differ by less are equal: the same errors added up in another order, or rotations that went
# through angles.  A test would call such a difference significant.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Difference:
    """First system less second, in the unit of the statistic.

    Attributes
    ----------
    first, second : the values of the two.
    value, low, high : their difference and its 95 % paired percentile-bootstrap interval.
    p_bootstrap : two-sided p-value by inversion of that interval: twice the smaller share of resamples on
        one side of 0.
    p_randomisation : two-sided p-value of the paired randomisation test, which swaps the systems on each face
        with probability 1/2 (for a mean: flips the sign of the difference).

    The p-values count the observed difference among the resamples, so they are never 0.
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float


def differences(
    first: Mapping[str, Column],
    second: Mapping[str, Column],
    groups: Masks,
    statistics: Sequence[Statistic],
    *,
    resamples: int = 1000,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> list[Difference]:
    """Compare two systems on the same n faces.

    Parameters
    ----------
    first, second : the columns of the two, with the same names and the faces in the same order.
    groups : (n,) masks by name.
    resamples : number of bootstrap resamples and of randomisations, 1 or more.
    seed : seed of both.
    clusters : (n,) number of the cluster of each face, counted from 0: then whole clusters are resampled, and
        swapped.

    Raises
    ------
    UsageError : a statistic is over no face at all, or there is no resample.
    """
    if resamples < 1:
        msg = f"a comparison needs 1 or more resamples, not {resamples}."
        raise UsageError(msg)
    if not statistics:
        return []
    names = {one.column for one in statistics} | {one.over for one in statistics if one.over}
    both = {name: _stacked(first[name], second[name]) for name in names}
    table = Table(both, {name: np.tile(mask, 2) for name, mask in groups.items()}, statistics)
    n = table.n // 2

    def values(of_first: Floats, of_second: Floats) -> Floats:
        return table.of(np.concatenate([of_first, of_second], axis=1))

    # Each in a table of its own: half the work, and no infinity times zero where the other missed a face.
    alone = [Table(one, groups, statistics) for one in (first, second)]
    ours, theirs = (one.of(np.ones((1, n)))[0] for one in alone)
    drawn, swapped = [], []
    for counts in resample_counts(n, resamples, seed, clusters):
        drawn.append(_less(*(one.of(counts) for one in alone)))
    for swap in _swaps(n, resamples, seed, clusters):
        swapped.append(_less(values(1 - swap, swap), values(swap, 1 - swap)))
    return _summarise(ours, theirs, np.concatenate(drawn), np.concatenate(swapped))


def _stacked(first: Column, second: Column) -> Column:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.concatenate([first, second])
    assert not isinstance(first, np.ndarray)
    assert not isinstance(second, np.ndarray)
    return first.beside(second)


def _less(first: Floats, second: Floats) -> Floats:
    """Return the differences, 0 where they are but a rounding, NaN where both are infinite."""
    with np.errstate(invalid="ignore"):
        apart = first - second
    equal = np.isclose(first, second, rtol=ROUNDING, atol=ROUNDING) & np.isfinite(apart)
    return np.where(equal, 0.0, apart)


def _swaps(n: int, resamples: int, seed: int, clusters: NDArray[np.int64] | None) -> Iterator[Floats]:
    """Yield blocks of (b, n) zeros and ones: where the systems are swapped."""
    generator = np.random.default_rng([seed, 1])  # other draws than those of the bootstrap
    units = np.arange(n) if clusters is None else clusters
    for begin in range(0, resamples, CHUNK):
        coins = generator.integers(0, 2, (CHUNK, int(units.max()) + 1))
        yield coins[: resamples - begin, units].astype(float)


def _summarise(ours: Floats, theirs: Floats, drawn: Floats, swapped: Floats) -> list[Difference]:
    found = []
    observed = _less(ours, theirs)
    for j, value in enumerate(observed):
        # An infinite difference (a percentile of the one falls on a missed face) is larger than every number.
        resampled, exchanged = (d[~np.isnan(d)] for d in (drawn[:, j], swapped[:, j]))
        if not np.isfinite(value) or not len(resampled) or not len(exchanged):
            found.append(Difference(float(ours[j]), float(theirs[j]), float(value), *[np.nan] * 4))
            continue
        low, high = _interval(resampled)
        sides = min((resampled <= 0).sum(), (resampled >= 0).sum())
        # Swapping twice the same faces must not differ from the observed by a rounding.
        extreme = (np.abs(exchanged) >= abs(value) * (1 - ROUNDING)).sum()
        found.append(
            Difference(
                first=float(ours[j]),
                second=float(theirs[j]),
                value=float(value),
                low=low,
                high=high,
                p_bootstrap=min(1.0, 2.0 * float(1 + sides) / (1 + len(resampled))),
                p_randomisation=float(1 + extreme) / (1 + len(exchanged)),
            )
        )
    return found


def _interval(resampled: Floats) -> tuple[float, float]:
    """Return the ends of the percentile interval; outwards where one lies between a number and infinity."""
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(resampled, tails)
    if np.isnan(low):
        low = np.quantile(resampled, tails[0], method="lower")
    if np.isnan(high):
        high = np.quantile(resampled, tails[1], method="higher")
    return float(low), float(high)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values corrected for their number by Holm's step-down method; NaN stays NaN.

    Holm, "A simple sequentially rejective multiple test procedure" (1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    known = order[: int((~np.isnan(p)).sum())]  # NaN is sorted to the end
    corrected = p.copy()
    factors = np.arange(len(known), 0, -1)
    corrected[known] = np.minimum(1.0, np.maximum.accumulate(p[known] * factors))
    return corrected

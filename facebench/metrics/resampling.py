"""Statistics over faces with bootstrap intervals: one set of resamples serves every number.

A resample draws n faces of n with replacement, which is a vector of counts.  Means, and means of means,
under all resamples are then one matrix product, and percentiles a cumulative sum over sorted errors;
no error is ever copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError

__all__ = ["CONFIDENCE", "Estimate", "Statistic", "estimate", "resample_counts"]

Floats = NDArray[np.float64]
Masks = Mapping[str, NDArray[np.bool_]]

#: Share of the resamples inside an interval.
CONFIDENCE = 0.95

# Resamples drawn at a time.  Another number draws other resamples: it would change every interval.
CHUNK = 64


@dataclass(frozen=True)
class Statistic:
    """A number over faces: which error vector, over which groups of faces, summarised how.

    Attributes
    ----------
    column : name of the per-face vector.
    groups : names of the groups of faces.  With several, the statistic is the mean of the group means
        (a balanced mean).
    quantile : None for the mean, else the quantile within [0, 1] (of a single group).
    """

    column: str
    groups: tuple[str, ...]
    quantile: float | None = None

    def __post_init__(self) -> None:
        if self.quantile is not None and len(self.groups) != 1:
            msg = f"a quantile of '{self.column}' is over one group, not over {self.groups}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % percentile-bootstrap interval (NaN where there is none), and its face count."""

    value: float
    low: float
    high: float
    n: int


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of (b, n) counts: how often each face is drawn in each of b resamples.

    The draws depend on ``n`` and ``seed`` alone, so resample 7 is the same however many follow it.
    """
    generator = np.random.default_rng(seed)
    first_bin = n * np.arange(CHUNK)[:, None]
    for begin in range(0, resamples, CHUNK):
        draws = generator.integers(0, n, (CHUNK, n))
        draws += first_bin  # one long histogram instead of one for each resample
        counts = np.bincount(draws.ravel(), minlength=CHUNK * n).reshape(CHUNK, n)
        yield counts[: resamples - begin].astype(float)


def estimate(
    columns: Mapping[str, Floats],
    groups: Masks,
    statistics: Sequence[Statistic],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Estimate]:
    """Compute statistics and their intervals.

    Parameters
    ----------
    columns : (n,) error vectors by name; NaN where a face does not take part, infinite where it failed.
    groups : (n,) masks by name.
    resamples : number of bootstrap resamples; 0 for no intervals.
    seed : seed of the resampling.

    Raises
    ------
    UsageError : a statistic is over no face at all, or ``resamples`` is negative.
    """
    if resamples < 0:
        msg = f"resamples must be 0 or more, not {resamples}."
        raise UsageError(msg)
    if not statistics:
        return []
    n = len(next(iter(columns.values())))
    # Each distinct pair of column and group becomes one column of the matrix product.
    pairs = list(dict.fromkeys((s.column, group) for s in statistics for group in s.groups))
    taking_part = {pair: groups[pair[1]] & ~np.isnan(columns[pair[0]]) for pair in pairs}
    for (column, group), mask in taking_part.items():
        if not mask.any():
            msg = f"'{column}' over the faces of '{group}': there are no faces to summarise."
            raise UsageError(msg)
    masks = np.stack([taking_part[pair] for pair in pairs], axis=1).astype(float)
    values = np.stack([np.where(taking_part[c, g], columns[c], 0.0) for c, g in pairs], axis=1)
    replicates = _Replicates(statistics, pairs, columns, taking_part)
    value = replicates.of(np.ones((1, n)), values, masks)[0]
    drawn = [replicates.of(counts, values, masks) for counts in resample_counts(n, resamples, seed)]
    low = high = np.full(len(statistics), np.nan)
    if drawn:
        tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        every = np.concatenate(drawn)
        every[:, ~np.isfinite(value)] = np.nan  # an infinite error has no interval
        low, high = _interval(every, tails)
    faces = [int(sum(taking_part[s.column, group].sum() for group in s.groups)) for s in statistics]
    return [
        Estimate(float(value[j]), float(low[j]), float(high[j]), faces[j]) for j in range(len(statistics))
    ]


@dataclass(frozen=True)
class _Replicates:
    statistics: Sequence[Statistic]
    pairs: list[tuple[str, str]]
    columns: Mapping[str, Floats]
    taking_part: Mapping[tuple[str, str], NDArray[np.bool_]]

    def of(self, counts: Floats, values: Floats, masks: Floats) -> Floats:
        """Return the (b, statistics) values under (b, n) counts."""
        with np.errstate(invalid="ignore"):
            means = (counts @ values) / (counts @ masks)
        out = np.empty((len(counts), len(self.statistics)))
        for j, statistic in enumerate(self.statistics):
            mine = [(statistic.column, group) for group in statistic.groups]
            if statistic.quantile is None:
                out[:, j] = means[:, [self.pairs.index(pair) for pair in mine]].mean(axis=1)
            else:
                chosen = np.flatnonzero(self.taking_part[mine[0]])
                errors = self.columns[statistic.column][chosen]
                out[:, j] = weighted_quantile(errors, counts[:, chosen], statistic.quantile)
        return out


def weighted_quantile(errors: Floats, counts: Floats, quantile: float) -> Floats:
    """Quantile of errors repeated ``counts`` times, by linear interpolation as ``numpy.quantile`` does.

    Parameters
    ----------
    errors : (n,) values.
    counts : (b, n) how often each is present.

    Returns
    -------
    (b,) quantiles; NaN where a row of counts is empty.
    """
    order = np.argsort(errors)
    ranked = errors[order]
    up_to = np.cumsum(counts[:, order], axis=1)
    total = up_to[:, -1]
    position = quantile * (total - 1)
    below = np.floor(position)
    at = [(up_to <= rank[:, None]).sum(axis=1).clip(max=len(ranked) - 1) for rank in (below, below + 1)]
    first, second = ranked[at[0]], ranked[at[1]]
    share = position - below
    with np.errstate(invalid="ignore"):
        # Between two missed faces, infinity minus infinity must not become NaN.
        between = np.where((share > 0) & (first != second), first + share * (second - first), first)
    return np.where(total > 0, between, np.nan)


def _interval(replicates: Floats, tails: Sequence[float]) -> Floats:
    """Return the (tails, columns) quantiles of (b, columns) replicates.

    Resamples without any face of a group have no value, NaN, and are left out; an infinite replicate
    counts as larger than every number.
    """
    out = np.full((len(tails), replicates.shape[1]), np.nan)
    for column, values in enumerate(replicates.T):
        kept = values[~np.isnan(values)]
        if kept.size:
            with np.errstate(invalid="ignore"):
                ends = np.quantile(kept, tails)
            out[:, column] = np.where(np.isnan(ends), np.inf, ends)
    return out

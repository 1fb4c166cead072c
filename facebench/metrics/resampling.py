"""Statistics over faces with bootstrap intervals: one set of resamples serves every number.

A resample draws n faces of n with replacement, which is a vector of counts.  Means, ratios of sums, and
means of means, under all resamples are then one matrix product, and percentiles a cumulative sum over
sorted errors; no error is ever copied.  Faces that belong together (a subject, an image) are drawn
together: a resample of clusters is a vector of counts too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError

__all__ = [
    "CONFIDENCE",
    "INTERVALS",
    "Column",
    "Estimate",
    "Pooled",
    "Statistic",
    "Table",
    "estimate",
    "resample_counts",
]

Floats = NDArray[np.float64]
Masks = Mapping[str, NDArray[np.bool_]]

#: Share of the resamples inside an interval.
CONFIDENCE = 0.95

#: How an interval is had from the resamples: their quantiles, or those corrected for bias and skewness
#: (bias-corrected and accelerated; Efron 1987).
INTERVALS = ("percentile", "bca")

# Resamples drawn at a time.  Another number draws other resamples: it would change every interval.
CHUNK = 64


class Pooled(Protocol):
    """A number over the pooled points of n faces that is no mean over faces, such as an average precision."""

    def of(self, counts: Floats) -> Floats:
        """Return the (b,) values when the faces are present (b, n) ``counts`` times."""
        ...

    def beside(self, other: Pooled) -> Pooled:
        """Return the same number over these faces followed by those of the other."""
        ...


#: What a statistic summarises: (n,) a number for each face, or a number over the pooled points of all.
Column: TypeAlias = Floats | Pooled


@dataclass(frozen=True)
class Statistic:
    """A number over faces: which column, over which groups of faces, summarised how.

    Attributes
    ----------
    column : name of the column.
    groups : names of the groups of faces.  With several, the statistic is the mean of the group values
        (a balanced mean).
    quantile : None for the mean, else the quantile within [0, 1] (of a single group).
    over : None for the mean, else the column whose sum the sum of ``column`` is divided by.
    """

    column: str
    groups: tuple[str, ...]
    quantile: float | None = None
    over: str | None = None

    def __post_init__(self) -> None:
        if self.quantile is not None and len(self.groups) != 1:
            msg = f"a quantile of '{self.column}' is over one group, not over {self.groups}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % bootstrap interval (NaN where there is none), and its face count."""

    value: float
    low: float
    high: float
    n: int


def resample_counts(
    n: int, resamples: int, seed: int, clusters: NDArray[np.int64] | None = None
) -> Iterator[Floats]:
    """Yield blocks of (b, n) counts: how often each face is drawn in each of b resamples.

    The draws depend on ``n`` (or on the number of clusters) and ``seed`` alone, so resample 7 is the same
    however many follow it.

    Parameters
    ----------
    clusters : (n,) number of the cluster of each face, counted from 0, when whole clusters are drawn.
    """
    generator = np.random.default_rng(seed)
    units = n if clusters is None else int(clusters.max()) + 1
    first_bin = units * np.arange(CHUNK)[:, None]
    for begin in range(0, resamples, CHUNK):
        draws = generator.integers(0, units, (CHUNK, units))
        draws += first_bin  # one long histogram instead of one for each resample
        counts = np.bincount(draws.ravel(), minlength=CHUNK * units).reshape(CHUNK, units)
        kept = counts[: resamples - begin].astype(float)
        yield kept if clusters is None else kept[:, clusters]


def estimate(
    columns: Mapping[str, Column],
    groups: Masks,
    statistics: Sequence[Statistic],
    *,
    resamples: int = 1000,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
    interval: Literal["percentile", "bca"] = "percentile",
) -> list[Estimate]:
    """Compute statistics and their intervals.

    Parameters
    ----------
    columns : what is summarised, by name.  In (n,) vectors NaN marks a face that does not take part, infinity
        one that failed.
    groups : (n,) masks by name.
    resamples : number of bootstrap resamples; 0 for no intervals.
    seed : seed of the resampling.
    clusters : (n,) number of the cluster of each face, counted from 0, where faces are not independent.
    interval : one of :data:`INTERVALS`.

    Raises
    ------
    UsageError : a statistic is over no face at all, or ``resamples`` is negative.
    """
    if resamples < 0:
        msg = f"resamples must be 0 or more, not {resamples}."
        raise UsageError(msg)
    if interval not in INTERVALS:
        msg = f"interval must be one of {', '.join(INTERVALS)}, not '{interval}'."
        raise UsageError(msg)
    if not statistics:
        return []
    table = Table(columns, groups, statistics)
    value = table.of(np.ones((1, table.n)))[0]
    low = high = np.full(len(statistics), np.nan)
    if resamples:
        drawn = resample_counts(table.n, resamples, seed, clusters)
        every = np.concatenate([table.of(counts) for counts in drawn])
        every[:, ~np.isfinite(value)] = np.nan  # an infinite error has no interval
        tails = np.tile([[(1 - CONFIDENCE) / 2], [(1 + CONFIDENCE) / 2]], len(statistics))
        if interval == "bca":
            tails = _bca_tails(value, every, _jackknife(table, clusters), tails)
        low, high = _ends(every, tails)
    return [
        Estimate(float(value[j]), float(low[j]), float(high[j]), table.faces(one))
        for j, one in enumerate(statistics)
    ]


class Table:
    """Statistics over a table of columns, for any numbers of times that its n rows are counted.

    Raises
    ------
    UsageError : a statistic is over no face at all.
    """

    def __init__(self, columns: Mapping[str, Column], groups: Masks, statistics: Sequence[Statistic]) -> None:
        self.columns, self.groups, self.statistics = columns, groups, statistics
        self.n = len(next(iter(groups.values())))
        for one in statistics:
            for group in one.groups:
                if not self._taking_part(one.column, group).any():
                    msg = f"'{one.column}' over the faces of '{group}': there are no faces to summarise."
                    raise UsageError(msg)
        # Each distinct sum becomes one column of a matrix product: that of a column over a group's faces,
        # or, for None, how many faces they are.
        self._sums: dict[tuple[str, str, str | None], int] = {}
        for one in statistics:
            if one.quantile is None and isinstance(columns[one.column], np.ndarray):
                for group in one.groups:
                    self._sums.setdefault((one.column, group, one.column), len(self._sums))
                    self._sums.setdefault((one.column, group, one.over), len(self._sums))
        self._summands = np.zeros((self.n, len(self._sums)))
        for (column, group, summed), j in self._sums.items():
            rows = self._taking_part(column, group)
            self._summands[rows, j] = 1.0 if summed is None else columns[summed][rows]  # type: ignore[index]

    def faces(self, statistic: Statistic) -> int:
        """Return how many faces a statistic is over."""
        return int(sum(self._taking_part(statistic.column, group).sum() for group in statistic.groups))

    def _taking_part(self, column: str, group: str) -> NDArray[np.bool_]:
        values = self.columns[column]
        mask = self.groups[group]
        return mask & ~np.isnan(values) if isinstance(values, np.ndarray) else mask

    def of(self, counts: Floats) -> Floats:
        """Return the (b, statistics) values under (b, n) counts; NaN where no face is left."""
        with np.errstate(invalid="ignore"):  # a face that failed, drawn no time: infinity times zero
            sums = counts @ self._summands
        out = np.empty((len(counts), len(self.statistics)))
        for j, one in enumerate(self.statistics):
            out[:, j] = np.mean([self._of_group(one, group, counts, sums) for group in one.groups], axis=0)
        return out

    def _of_group(self, one: Statistic, group: str, counts: Floats, sums: Floats) -> Floats:
        values = self.columns[one.column]
        if not isinstance(values, np.ndarray):
            mask = self.groups[group]
            return values.of(counts if mask.all() else counts * mask)
        if one.quantile is not None:
            chosen = np.flatnonzero(self._taking_part(one.column, group))
            return weighted_quantile(values[chosen], counts[:, chosen], one.quantile)
        with np.errstate(invalid="ignore", divide="ignore"):
            above = sums[:, self._sums[one.column, group, one.column]]
            return np.asarray(above / sums[:, self._sums[one.column, group, one.over]])


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


def _jackknife(table: Table, clusters: NDArray[np.int64] | None) -> Floats:
    """Return the (units, statistics) values without each face, or without each cluster, in turn."""
    units = np.arange(table.n) if clusters is None else clusters
    every = np.arange(int(units.max()) + 1)
    blocks = [every[begin : begin + CHUNK] for begin in range(0, len(every), CHUNK)]
    return np.concatenate([table.of((units != block[:, None]).astype(float)) for block in blocks])


def _bca_tails(value: Floats, replicates: Floats, left_out: Floats, tails: Floats) -> Floats:
    """Return the (2, statistics) shares of the replicates at the ends of BCa intervals.

    Efron, "Better bootstrap confidence intervals" (1987): the bias is the normal quantile of the share of
    replicates below the value (those equal to it count half), the acceleration comes from the jackknife.
    """
    from scipy.special import ndtr, ndtri

    known = np.maximum((~np.isnan(replicates)).sum(axis=0), 1)
    left = (~np.isnan(left_out)).sum(axis=0)  # without a group's only face there is no value
    below = ((replicates < value).sum(axis=0) + 0.5 * (replicates == value).sum(axis=0)) / known
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.nansum(left_out, axis=0) / left - left_out
        skewness = np.nansum(apart**3, axis=0) / (6.0 * np.nansum(apart**2, axis=0) ** 1.5)
        bias, normal = ndtri(below), ndtri(tails)
        moved = bias + (bias + normal) / (1.0 - np.nan_to_num(skewness) * (bias + normal))
    # Where all replicates lie on one side of the value there is nothing to correct by.
    return np.where(np.isfinite(moved), ndtr(moved), tails)


def _ends(replicates: Floats, tails: Floats) -> Floats:
    """Return the (2, columns) quantiles of (b, columns) replicates at the shares given for each column.

    Resamples without any face of a group have no value, NaN, and are left out; an infinite replicate
    counts as larger than every number.
    """
    out = np.full(tails.shape, np.nan)
    for column, values in enumerate(replicates.T):
        kept = values[~np.isnan(values)]
        if kept.size:
            with np.errstate(invalid="ignore"):
                ends = np.quantile(kept, tails[:, column])
            out[:, column] = np.where(np.isnan(ends), np.inf, ends)
    return out

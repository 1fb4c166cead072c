"""Comparison of methods by one protocol: paired differences on the same faces, with a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from facebench import __version__
from facebench.errors import InvalidData, UsageError, name_some
from facebench.formats import PreparedDataset
from facebench.metrics import differences, holm
from facebench.protocols.scoring import RESAMPLES, SEED, Measured, Missing, Number, PointMapping, measure

__all__ = [
    "SIGNIFICANT",
    "Compared",
    "Comparison",
    "check_comparable",
    "check_distinct",
    "compare",
    "compare_measured",
]

#: The largest p-value at which a difference counts as one.
SIGNIFICANT = 0.05


class Compared(BaseModel):
    """One number of one method against the baseline.

    Attributes
    ----------
    value, baseline : the values of the two.
    difference, low, high : value less baseline in the unit of the metric, and its 95 % interval.
    p_randomisation : of the paired randomisation test; ``p_holm`` is corrected for the number of methods.
    p_bootstrap : of the paired bootstrap.
    better : whether the method is better than the baseline at a corrected p of at most 0.05; None when the
        difference is not significant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    metric: str
    group: str
    value: Number
    baseline: Number
    difference: Number
    low: Number
    high: Number
    p_bootstrap: Number
    p_randomisation: Number
    p_holm: Number
    better: bool | None


class Comparison(BaseModel):
    """Methods against a baseline, by one protocol.

    Attributes
    ----------
    signature : what the numbers of all methods share.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["facebench-comparison"] = "facebench-comparison"
    version: Literal[1] = 1
    protocol: str
    dataset: str
    baseline: str
    methods: list[str]
    n: int
    signature: str
    rows: list[Compared]
    inputs: dict[str, str | None]
    facebench: str = __version__

    def get(self, method: str, metric: str, group: str = "all") -> Compared:
        """Return one row by method, metric and group; raises KeyError."""
        return {(one.method, one.metric, one.group): one for one in self.rows}[method, metric, group]


def compare(
    predictions: Sequence[Any],
    protocol: str,
    dataset: PreparedDataset | str | Path | None = None,
    *,
    missing: Missing = "error",
    mapping: PointMapping = "exact",
    differ: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare methods with the first of them.

    Parameters
    ----------
    predictions : two or more, each as for :func:`facebench.score`; the first is the baseline.
    protocol, dataset, missing, mapping : as for :func:`facebench.score`.
    differ : fields of the signature that may differ, such as ``box``.
    resamples, seed : of the bootstrap and of the randomisation.

    Raises
    ------
    UsageError : fewer than two predictions, or two of the same method.
    InvalidData : the signatures of two differ in more than the method.
    """
    measured = [measure(one, protocol, dataset, missing=missing, mapping=mapping) for one in predictions]
    return compare_measured(measured, differ=differ, resamples=resamples, seed=seed)


def compare_measured(
    measured: Sequence[Measured],
    *,
    differ: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare the errors of methods with those of the first; see :func:`compare` for the rest."""
    if len(measured) < 2:
        msg = "a comparison needs two predictions files or more: the baseline, then the others."
        raise UsageError(msg)
    first, *others = measured
    names = [one.predictions.method for one in measured]
    check_distinct(names)
    for one in others:
        check_comparable(first, one, differ)
    chosen = first.protocol
    given = [{(key, group) for key, group, _ in one.wanted} for one in others]
    wanted = [number for number in first.wanted if all(number[:2] in one for one in given)]
    rows = []
    for one, name in zip(others, names[1:], strict=True):
        found = differences(
            one.columns.of,
            first.columns.of,
            first.masks,
            [statistic for _, _, statistic in wanted],
            resamples=resamples,
            seed=seed,
            clusters=first.clusters,
        )
        rows.append([(name, key, group, d) for (key, group, _), d in zip(wanted, found, strict=True)])
    compared = []
    for same in zip(*rows, strict=True):  # the same number of every method
        corrected = holm([d.p_randomisation for *_, d in same])
        for (name, key, group, d), p in zip(same, corrected, strict=True):
            higher = d.value > 0
            wins = bool(higher == (chosen.metric(key).better == "higher"))
            compared.append(
                Compared(
                    method=name,
                    metric=key,
                    group=group,
                    value=d.first,
                    baseline=d.second,
                    difference=d.value,
                    low=d.low,
                    high=d.high,
                    p_bootstrap=d.p_bootstrap,
                    p_randomisation=d.p_randomisation,
                    p_holm=float(p),
                    better=wins if p <= SIGNIFICANT and d.value != 0 else None,
                )
            )
    shared = {k: v for k, v in first.signature.fields.items() if k not in differ}
    by = "" if first.clusters is None else f"-by-{chosen.clusters}"
    tested = f"paired-bootstrap+randomisation-{resamples}-seed-{seed}{by}"
    return Comparison(
        protocol=chosen.name,
        dataset=first.dataset.name,
        baseline=names[0],
        methods=names[1:],
        n=len(first.rows),
        signature="|".join([*(f"{k}:{v}" for k, v in shared.items()), f"test:{tested}"]),
        rows=compared,
        inputs={name: one.predictions.sha256 for name, one in zip(names, (first, *others), strict=True)},
    )


def check_distinct(methods: Sequence[str]) -> None:
    """Refuse two methods of the same name with :class:`UsageError`."""
    twice = next((name for name in methods if methods.count(name) > 1), None)
    if twice is not None:
        msg = (
            f"two of the predictions are of the same method '{twice}'; give them names that tell them apart."
        )
        raise UsageError(msg)


def check_comparable(first: Measured, other: Measured, differ: Sequence[str] = ()) -> None:
    """Refuse methods whose signatures or faces differ with :class:`InvalidData`, which says in what."""
    # Of methods whose missing faces are failures, each has its own number of them.
    counted = ("missing",) if first.missing == other.missing == "fail" else ()
    found = first.signature.differences(other.signature, [*differ, *counted])
    if not np.array_equal(first.rows, other.rows):
        # Nobody can let this differ: the differences are those on the same faces.
        names = [set(first.ids), set(other.ids)]
        found = [*found, f"the faces themselves ({name_some(sorted(names[0] ^ names[1]))})"]
        remedy = "Predict the same faces with both, or count missing ones as failures: --missing fail."
    else:
        may = " ".join(f"--differ {one.partition(':')[0]}" for one in found)
        remedy = f"Score both alike, or say that it may differ: {may}."
    if found:
        msg = (
            f"{first.protocol.name}: '{first.predictions.method}' and '{other.predictions.method}' cannot be "
            f"compared, their signatures differ in {'; '.join(found)}. {remedy}"
        )
        raise InvalidData(msg)

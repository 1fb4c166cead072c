"""Scoring predictions by a protocol: match by id, compute per-face errors, summarise with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from facebench import __version__
from facebench.errors import InvalidData, UsageError, name_some
from facebench.formats import Predictions, PreparedDataset, open_dataset, read_predictions
from facebench.metrics import Statistic, estimate
from facebench.protocols.protocol import ALL, BALANCED, Columns, Protocol
from facebench.protocols.registry import get_protocol, protocols_of
from facebench.protocols.signature import Signature

__all__ = ["Missing", "Result", "Score", "answered_protocols", "check_predictions", "score"]

#: What to do about faces without a prediction: refuse, leave them out, or count them as failures.
Missing = Literal["error", "exclude", "fail"]

RESAMPLES, SEED = 1000, 0

Rows = NDArray[np.int64]

# JSON has no infinity and no NaN; an undefined number is null there.
Number = Annotated[
    float | None,
    PlainSerializer(lambda x: x if x is not None and math.isfinite(x) else None, when_used="json"),
]


class Score(BaseModel):
    """One number of a result: a metric over a group of faces, with its 95 % interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    group: str
    value: Number
    low: Number
    high: Number
    n: int


class Result(BaseModel):
    """The outcome of scoring one predictions file by one protocol.

    Attributes
    ----------
    faces : how many faces the protocol has; ``n`` of them are in the numbers.
    missing : policy for faces without a prediction, and their ids.
    complete : whether the prepared dataset holds all faces that are published.
    signature : everything that can change the numbers, but for the metric and the group.
    inputs : SHA-256 of the predictions file and of the prepared dataset.
    per_point, per_part : mean error of each point and part, where landmarks are scored.
    ids, per_face : the faces, and their errors by metric column; not part of the JSON.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["facebench-result"] = "facebench-result"
    version: Literal[1] = 1
    protocol: str
    dataset: str
    method: str
    faces: int
    n: int
    complete: bool
    missing: Missing
    missing_ids: list[str]
    signature: str
    scores: list[Score]
    per_part: dict[str, float] = Field(default_factory=dict)
    per_point: dict[str, float] = Field(default_factory=dict)
    inputs: dict[str, str | None]
    facebench: str = __version__
    ids: list[str] = Field(default_factory=list, exclude=True, repr=False)
    per_face: dict[str, list[float]] = Field(default_factory=dict, exclude=True, repr=False)

    def get(self, metric: str, group: str = ALL) -> Score:
        """Return one score by metric and group; raises KeyError."""
        return {(one.metric, one.group): one for one in self.scores}[metric, group]

    @property
    def headline(self) -> Score:
        """The number that the protocol is quoted by."""
        return self.get(*get_protocol(self.protocol).headline)

    def signature_of(self, one: Score) -> Signature:
        """Return the full signature of one number."""
        return Signature.parse(self.signature).extended(metric=one.metric, group=one.group)


def score(
    predictions: Predictions | str | Path,
    protocol: str,
    dataset: PreparedDataset | str | Path | None = None,
    *,
    missing: Missing = "error",
    mapping: Literal["exact", "approximate"] = "exact",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Result:
    """Score predictions by a protocol.

    Parameters
    ----------
    predictions : predictions, or the path of their file.
    protocol : name of the protocol, such as ``aflw2000/pose``.
    dataset : the prepared dataset, its name or its path; by default the one in the data home.
    missing : what to do about faces without a prediction.
    mapping : for landmarks of another scheme than the protocol's: score only points of the same definition,
        or approximate further ones too.  Either way the signature says which points were used.
    resamples, seed : of the bootstrap intervals; 0 resamples for none.

    Raises
    ------
    InvalidData : the predictions are for another dataset or faces, lack what is scored, or lack faces.
    DataMissing : the dataset has not been prepared, or lacks the annotation set.
    UsageError : unknown protocol or option.
    """
    if missing not in ("error", "exclude", "fail"):
        msg = f"missing must be 'error', 'exclude' or 'fail', not '{missing}'."
        raise UsageError(msg)
    chosen = get_protocol(protocol)
    given = predictions if isinstance(predictions, Predictions) else read_predictions(predictions)
    truth = dataset if isinstance(dataset, PreparedDataset) else open_dataset(dataset or chosen.dataset)
    _check_same_dataset(given, truth, chosen)
    rows, predicted, absent = _match(given, truth, chosen)
    if absent and missing == "error":
        msg = (
            f"{chosen.name}: {len(absent)} of {len(rows) + len(absent)} faces have no prediction (absent, or "
            f"not finite): {name_some(absent, 10)}. Score with '--missing exclude' to leave them out, or "
            f"'--missing fail' to count them as failures; either shows in the signature."
        )
        raise InvalidData(msg)
    if not len(rows):
        msg = f"{chosen.name}: none of its faces has a prediction in the file for '{given.method}'."
        raise InvalidData(msg)
    columns = chosen.columns(truth, rows, chosen.in_own_terms(given, mapping), predicted)
    if missing == "fail":
        rows, columns = _with_failures(chosen, truth, rows, columns, absent)
    scores = _summarise(chosen, truth, rows, columns, resamples, seed)
    signature = Signature(
        {
            "protocol": chosen.name,
            "version": str(chosen.version),
            "faces": chosen.faces,
            "n": str(len(rows)),
            "missing": missing if missing == "error" else f"{missing}-{len(absent)}",
            "truth": chosen.truth_sha256(truth, truth.split(chosen.faces))[:8],
            **chosen.signature_fields(given, mapping),
            "box": given.box or "unstated",
            "interval": f"bootstrap-{resamples}-seed-{seed}" if resamples else "none",
            "facebench": __version__,
        }
    )
    return Result(
        protocol=chosen.name,
        dataset=truth.name,
        method=given.method,
        faces=len(truth.split(chosen.faces)),
        n=len(rows),
        complete=not truth.provenance.get("options", {}).get("partial", False),
        missing=missing,
        missing_ids=absent,
        signature=str(signature),
        scores=scores,
        per_part=dict(columns.part_nme),
        per_point=dict(columns.point_nme),
        inputs={"predictions": given.sha256, "dataset": truth.sha256},
        ids=[truth.ids[row] for row in rows],
        per_face={name: vector.tolist() for name, vector in columns.vectors.items()},
    )


def answered_protocols(predictions: Predictions, dataset: PreparedDataset) -> tuple[list[str], list[str]]:
    """Return the protocols that predictions can be scored by, and why the others cannot."""
    able, notes = [], []
    for protocol in protocols_of(dataset.name):
        annotation = getattr(protocol, "annotation", None)
        if not protocol.is_answered_by(predictions):
            notes.append(f"{protocol.name}: not scored, the file has no {protocol.needs}")
        elif annotation is not None and annotation not in dataset.annotations:
            notes.append(f"{protocol.name}: not scored, {dataset.path} has no '{annotation}' labels")
        else:
            able.append(protocol.name)
    return able, notes


def check_predictions(predictions: Predictions, dataset: PreparedDataset) -> list[str]:
    """Return what stands against scoring predictions, in sentences; nothing when all is well.

    Raises
    ------
    InvalidData : the predictions are for another dataset, or for faces that it does not have.
    """
    able, notes = answered_protocols(predictions, dataset)
    found = [] if able else [f"{note}." for note in notes]
    for name in able:
        protocol = get_protocol(name)
        _check_same_dataset(predictions, dataset, protocol)
        _, _, absent = _match(predictions, dataset, protocol)
        if absent:
            found.append(f"{name}: {len(absent)} faces have no finite prediction: {name_some(absent, 10)}.")
    return found


def _check_same_dataset(predictions: Predictions, dataset: PreparedDataset, protocol: Protocol) -> None:
    for what, name in (("predictions are", predictions.dataset), ("prepared file is", dataset.name)):
        if name != protocol.dataset:
            msg = f"{protocol.name}: the {what} for dataset '{name}', expected '{protocol.dataset}'."
            raise InvalidData(msg)
    if not protocol.is_answered_by(predictions):
        msg = f"{protocol.name}: expected {protocol.needs} in the predictions of '{predictions.method}'."
        raise InvalidData(msg)


def _match(
    predictions: Predictions, dataset: PreparedDataset, protocol: Protocol
) -> tuple[Rows, Rows, list[str]]:
    """Match predictions to the faces of a protocol by id.

    Returns
    -------
    the rows of the matched faces in the dataset and in the predictions, and the ids without a finite
    prediction.
    """
    known = set(dataset.ids)
    extra = [one for one in predictions.ids if one not in known]
    if extra:
        msg = (
            f"predictions of '{predictions.method}': {len(extra)} ids are not faces of {dataset.name}: "
            f"{name_some(extra, 10)}. Ids look like '{dataset.ids[0]}'."
        )
        raise InvalidData(msg)
    found = protocol.found(predictions)
    row_of = {one: row for row, one in enumerate(predictions.ids) if found[row]}
    wanted = dataset.split(protocol.faces)
    ids = [dataset.ids[row] for row in wanted]
    absent = [one for one in ids if one not in row_of]
    have = np.array([one in row_of for one in ids], bool)
    predicted = np.array([row_of[one] for one in ids if one in row_of], np.int64)
    return wanted[have], predicted, absent


def _with_failures(
    protocol: Protocol, dataset: PreparedDataset, rows: Rows, columns: Columns, absent: Sequence[str]
) -> tuple[Rows, Columns]:
    """Give the faces without a prediction the worst value of every error vector."""
    vectors: dict[str, NDArray[np.float64]] = {}
    for metric in protocol.metrics:
        worst = 0.0 if metric.better == "higher" else (100.0 if metric.column.startswith("fr") else np.inf)
        vectors[metric.column] = np.concatenate([columns.vectors[metric.column], [worst] * len(absent)])
    every = np.concatenate([rows, dataset.rows(absent)])
    order = np.argsort(every)
    sorted_vectors = {name: vector[order] for name, vector in vectors.items()}
    return every[order], replace(columns, vectors=sorted_vectors)


def _summarise(
    protocol: Protocol, dataset: PreparedDataset, rows: Rows, columns: Columns, resamples: int, seed: int
) -> list[Score]:
    masks = {ALL: np.ones(len(rows), bool)}
    for split in protocol.bins.values():
        # A part of a release may have no face in a bin.
        masks[split] = np.isin(rows, dataset.splits.get(split, ()))
    bins = tuple(split for split in protocol.bins.values() if masks[split].any())
    wanted: list[tuple[str, str, Statistic]] = []
    for metric in protocol.metrics:
        groups: dict[str, tuple[str, ...]] = {ALL: (ALL,)}
        if metric.binned:
            groups |= {split: (split,) for split in bins}
            # A balanced mean without one of its bins would be a different number under the same name.
            groups |= {BALANCED: bins} if bins and len(bins) == len(protocol.bins) else {}
        wanted += [
            (metric.key, name, Statistic(metric.column, members, metric.quantile))
            for name, members in groups.items()
        ]
    estimates = estimate(
        columns.vectors, masks, [statistic for _, _, statistic in wanted], resamples=resamples, seed=seed
    )
    return [
        Score(metric=key, group=group, value=one.value, low=one.low, high=one.high, n=one.n)
        for (key, group, _), one in zip(wanted, estimates, strict=True)
    ]

"""Scoring predictions by a protocol: match by id, compute per-face errors, summarise with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from facebench import __version__
from facebench.datasets import get_dataset
from facebench.errors import DataMissing, InvalidData, UsageError, name_some
from facebench.formats import Predictions, PreparedDataset, as_predictions, ids_sha256, open_dataset
from facebench.metrics import Columns, Statistic, estimate
from facebench.protocols.protocol import ALL, BALANCED, Protocol
from facebench.protocols.registry import get_protocol, protocols_of
from facebench.protocols.signature import Signature

__all__ = [
    "Interval",
    "Measured",
    "Missing",
    "PointMapping",
    "Result",
    "Score",
    "answered_protocols",
    "check_predictions",
    "measure",
    "score",
    "summarise",
]

#: What to do about faces without a prediction: refuse, leave them out, or count them as failures.
Missing = Literal["error", "exclude", "fail"]

#: How landmarks of another scheme are carried over.
PointMapping = Literal["exact", "approximate"]

#: How intervals are had from resamples.
Interval = Literal["percentile", "bca"]

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
    per_yaw : mean error of the faces of each class of true yaw, by its centre in degrees, where pose is
        scored; ``yaw_confusion`` has the number of faces by true (rows) and predicted class.
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
    per_yaw: dict[str, float] = Field(default_factory=dict)
    yaw_confusion: list[list[int]] = Field(default_factory=list)
    inputs: dict[str, str | None]
    facebench: str = __version__
    ids: list[str] = Field(default_factory=list, exclude=True, repr=False)
    per_face: dict[str, list[float]] = Field(default_factory=dict, exclude=True, repr=False)

    def get(self, metric: str, group: str = ALL) -> Score:
        """Return one score by metric and group; raises KeyError."""
        return {(one.metric, one.group): one for one in self.scores}[metric, group]

    @property
    def remarks(self) -> list[str]:
        """What a reader should know about the faces behind the numbers."""
        found = []
        if self.missing_ids:
            what = "left out" if self.missing == "exclude" else "counted as failures"
            some = name_some(self.missing_ids)
            found.append(f"{len(self.missing_ids)} faces without a prediction are {what}: {some}")
        if not self.complete:
            found.append(
                "the prepared dataset is a part of the release: not comparable with published numbers"
            )
        return found

    @property
    def headline(self) -> Score:
        """The number that the protocol is quoted by; where the predictions do not give it, their first."""
        wanted = get_protocol(self.protocol).headline
        known = [one for one in self.scores if one.value is not None and not math.isnan(one.value)]
        first = next(iter(known or self.scores))
        return {(one.metric, one.group): one for one in self.scores}.get(wanted, first)

    def signature_of(self, one: Score) -> Signature:
        """Return the full signature of one number."""
        return Signature.parse(self.signature).extended(metric=one.metric, group=one.group)


@dataclass(frozen=True)
class Measured:
    """The errors of one predictions file under one protocol, before they are summarised.

    Attributes
    ----------
    predictions, given : as they were read, and in the protocol's own terms.
    rows, ids : the faces in the numbers; with ``--missing fail`` those without a prediction too.
    predicted : their rows in the predictions; -1 where there is none.
    missing_ids : the faces without a prediction.
    masks : which of the faces are in each group.
    clusters : (n,) number of what each face is resampled with; None for faces on their own.
    signature : everything but the resampling, the metric and the group.
    """

    protocol: Protocol
    dataset: PreparedDataset
    predictions: Predictions
    given: Predictions
    rows: Rows
    predicted: Rows
    missing: Missing
    missing_ids: list[str]
    columns: Columns
    masks: dict[str, NDArray[np.bool_]]
    clusters: Rows | None
    signature: Signature

    @property
    def ids(self) -> list[str]:
        return [self.dataset.ids[row] for row in self.rows]

    @property
    def wanted(self) -> list[tuple[str, str, Statistic]]:
        """Metric key, group and statistic of each number that there is."""
        found: list[tuple[str, str, Statistic]] = []
        bins = tuple(name for name in self.protocol.bin_groups if self.masks[name].any())
        for metric in self.protocol.metrics:
            if metric.column not in self.columns.of:
                continue  # hard labels of visibility have no sweep
            groups: dict[str, tuple[str, ...]] = {ALL: (ALL,)}
            if metric.binned:
                groups |= {name: (name,) for name, mask in self.masks.items() if mask.any()}
                # A balanced mean without one of its bins would be a different number under the same name.
                groups |= {BALANCED: bins} if bins and len(bins) == len(self.protocol.bin_groups) else {}
            found += [(metric.key, name, metric.over_groups(members)) for name, members in groups.items()]
        return [one for one in found if self._has_faces(one[2])]

    def _has_faces(self, statistic: Statistic) -> bool:
        """Tell whether there is a face in every group; no face may have an occluded point, say."""
        values = self.columns.of[statistic.column]
        known = ~np.isnan(values) if isinstance(values, np.ndarray) else np.ones(len(self.rows), bool)
        return all((known & self.masks[group]).any() for group in statistic.groups)

    def interval_field(self, resamples: int, seed: int, interval: Interval) -> str:
        """Return what the signature says of the resampling."""
        if not resamples:
            return "none"
        how = "bootstrap" if interval == "percentile" else interval
        by = "" if self.clusters is None else f"-by-{self.protocol.clusters}"
        return f"{how}-{resamples}-seed-{seed}{by}"


def measure(
    predictions: Any,
    protocol: str,
    dataset: PreparedDataset | str | Path | None = None,
    *,
    missing: Missing = "error",
    mapping: PointMapping = "exact",
) -> Measured:
    """Compute the errors of predictions by a protocol; see :func:`score` for the parameters and errors."""
    if missing not in ("error", "exclude", "fail"):
        msg = f"missing must be 'error', 'exclude' or 'fail', not '{missing}'."
        raise UsageError(msg)
    chosen = get_protocol(protocol)
    given = as_predictions(predictions)
    truth = dataset if isinstance(dataset, PreparedDataset) else open_dataset(dataset or chosen.dataset)
    _check_fit(given, truth, chosen)
    rows, predicted, absent = _match(given, truth, chosen)
    if absent and missing == "error":
        msg = (
            f"{chosen.name}: {len(absent)} of {len(rows)} faces have no prediction (absent, or "
            f"not finite): {name_some(absent, 10)}. Score with '--missing exclude' to leave them out, or "
            f"'--missing fail' to count them as failures; either shows in the signature."
        )
        raise InvalidData(msg)
    if missing != "fail":
        rows, predicted = rows[predicted >= 0], predicted[predicted >= 0]
    if not (predicted >= 0).any():
        msg = f"{chosen.name}: none of its faces has a prediction in the file for '{given.method}'."
        raise InvalidData(msg)
    in_own_terms = chosen.in_own_terms(given, mapping)
    columns = chosen.measure(truth, rows, in_own_terms, predicted)
    if missing == "fail":
        columns = _with_failures(chosen, columns, predicted < 0)
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
            "facebench": __version__,
        }
    )
    return Measured(
        protocol=chosen,
        dataset=truth,
        predictions=given,
        given=in_own_terms,
        rows=rows,
        predicted=predicted,
        missing=missing,
        missing_ids=absent,
        columns=columns,
        masks=chosen.masks(truth, rows),
        clusters=chosen.cluster_numbers(truth, rows),
        signature=signature,
    )


def score(
    predictions: Any,
    protocol: str,
    dataset: PreparedDataset | str | Path | None = None,
    *,
    missing: Missing = "error",
    mapping: PointMapping = "exact",
    resamples: int = RESAMPLES,
    seed: int = SEED,
    interval: Interval = "percentile",
) -> Result:
    """Score predictions by a protocol.

    Parameters
    ----------
    predictions : the path of a file, or whatever else :func:`facebench.as_predictions` takes: arrays by
        name, a data frame, batches.
    protocol : name of the protocol, such as ``aflw2000/pose``.
    dataset : the prepared dataset, its name or its path; by default the one in the data home.
    missing : what to do about faces without a prediction.
    mapping : for landmarks of another scheme than the protocol's: score only points of the same definition,
        or approximate further ones too.  Either way the signature says which points were used.
    resamples, seed : of the bootstrap intervals; 0 resamples for none.
    interval : ``percentile`` or ``bca``.

    Raises
    ------
    InvalidData : the predictions are for another dataset or faces, lack what is scored, or lack faces.
    DataMissing : the dataset has not been prepared, or not with what the protocol scores.
    UsageError : unknown protocol or option.
    """
    measured = measure(predictions, protocol, dataset, missing=missing, mapping=mapping)
    return summarise(measured, resamples=resamples, seed=seed, interval=interval)


def summarise(
    measured: Measured, *, resamples: int = RESAMPLES, seed: int = SEED, interval: Interval = "percentile"
) -> Result:
    """Turn errors into scores; see :func:`score` for the parameters."""
    wanted = measured.wanted
    estimates = estimate(
        measured.columns.of,
        measured.masks,
        [statistic for _, _, statistic in wanted],
        resamples=resamples,
        seed=seed,
        clusters=measured.clusters,
        interval=interval,
    )
    fields = dict(measured.signature.fields)
    version = fields.pop("facebench")
    resampling = measured.interval_field(resamples, seed, interval)
    columns, truth, given = measured.columns, measured.dataset, measured.predictions
    return Result(
        protocol=measured.protocol.name,
        dataset=truth.name,
        method=given.method,
        faces=len(truth.split(measured.protocol.faces)),
        n=len(measured.rows),
        complete=_is_complete(truth),
        missing=measured.missing,
        missing_ids=measured.missing_ids,
        signature=str(Signature({**fields, "interval": resampling, "facebench": version})),
        scores=[
            Score(metric=key, group=group, value=one.value, low=one.low, high=one.high, n=one.n)
            for (key, group, _), one in zip(wanted, estimates, strict=True)
        ],
        per_part=dict(columns.part_nme),
        per_point=dict(columns.point_nme),
        per_yaw=dict(columns.yaw_mae),
        yaw_confusion=[] if columns.yaw_confusion is None else columns.yaw_confusion.tolist(),
        inputs={"predictions": given.sha256, "dataset": truth.sha256},
        ids=measured.ids,
        per_face={k: v.tolist() for k, v in columns.of.items() if isinstance(v, np.ndarray)},
    )


def answered_protocols(predictions: Predictions, dataset: PreparedDataset) -> tuple[list[str], list[str]]:
    """Return the protocols that predictions can be scored by, and why the others cannot."""
    able, notes = [], []
    for protocol in protocols_of(dataset.name):
        lacking = protocol.lacks(dataset)
        if not protocol.is_answered_by(predictions):
            notes.append(f"{protocol.name}: not scored, the file has no {protocol.needs}")
        elif lacking is not None:
            notes.append(f"{protocol.name}: not scored, {dataset.path} has no {lacking}")
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
        _check_fit(predictions, dataset, protocol)
        _, _, absent = _match(predictions, dataset, protocol)
        if absent:
            found.append(f"{name}: {len(absent)} faces have no finite prediction: {name_some(absent, 10)}.")
    return found


def _check_fit(predictions: Predictions, dataset: PreparedDataset, protocol: Protocol) -> None:
    for what, name in (("predictions are", predictions.dataset), ("prepared file is", dataset.name)):
        if name != protocol.dataset:
            msg = f"{protocol.name}: the {what} for dataset '{name}', expected '{protocol.dataset}'."
            raise InvalidData(msg)
    if not protocol.is_answered_by(predictions):
        msg = f"{protocol.name}: expected {protocol.needs} in the predictions of '{predictions.method}'."
        raise InvalidData(msg)
    lacking = protocol.lacks(dataset)
    if lacking is not None:
        msg = (
            f"{protocol.name}: {dataset.path} has no {lacking}. Prepare it again with the source that brings "
            f"it, if there is one; 'facebench info {dataset.name}' lists the sources."
        )
        raise DataMissing(msg)
    rows = dataset.split(protocol.faces)
    if not len(rows):
        msg = f"{protocol.name}: the split '{protocol.faces}' of {dataset.path} has no faces."
        raise InvalidData(msg)
    published = get_dataset(dataset.name).manifest.splits[protocol.faces].sha256
    if _is_complete(dataset) and published is not None:
        found = ids_sha256(dataset.ids[row] for row in rows)
        if found != published:
            msg = (
                f"{protocol.name}: the ids of split '{protocol.faces}' of {dataset.path} hash to "
                f"{found[:16]}..., the published ones to {published[:16]}...: another list of faces. "
                "Prepare the dataset again."
            )
            raise InvalidData(msg)


def _is_complete(dataset: PreparedDataset) -> bool:
    return not dataset.provenance.get("options", {}).get("partial", False)


def _match(
    predictions: Predictions, dataset: PreparedDataset, protocol: Protocol
) -> tuple[Rows, Rows, list[str]]:
    """Match predictions to the faces of a protocol by id.

    Returns
    -------
    the rows of the protocol's faces in the dataset and in the predictions, there -1 for those without a
    finite prediction, and the ids of these.
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
    rows = dataset.split(protocol.faces)
    ids = [dataset.ids[row] for row in rows]
    predicted = np.array([row_of.get(one, -1) for one in ids], np.int64)
    return rows, predicted, [one for one, row in zip(ids, predicted, strict=True) if row < 0]


def _with_failures(protocol: Protocol, columns: Columns, missed: NDArray[np.bool_]) -> Columns:
    """Give the faces without a prediction the worst value of every error; what is pooled has theirs."""
    found = dict(columns.of)
    for metric in protocol.metrics:
        values = found.get(metric.column)
        if isinstance(values, np.ndarray) and metric.over is None:
            found[metric.column] = np.where(missed, metric.worst, values)
    return replace(columns, of=found)

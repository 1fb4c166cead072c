"""One predictions file, its many numbers: every normaliser, area rule, average and Euler order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from facebench.errors import UsageError
from facebench.formats import PreparedDataset
from facebench.geometry import CONVENTIONS, rotation_to_euler
from facebench.metrics import (
    ENGINES,
    NORMALISERS,
    area_under_ced,
    engine_auc,
    engine_balanced,
    engine_euler_errors,
    engine_failure,
    engine_nme,
    engine_normalising_distance,
    euler_errors,
    failure,
    get_engine,
    nme,
    normalising_distance,
)
from facebench.metrics.suites import normaliser_meaning
from facebench.protocols.protocol import BALANCED, LandmarkProtocol, PoseProtocol, predicted_for
from facebench.protocols.scoring import Measured, Missing, Number, PointMapping, measure

__all__ = ["Explanation", "Reading", "explain"]

Unit: TypeAlias = Literal["%", "°"]

# A yaw in each of the bins of 3DDFA.
ENGINE_BINS = (15.0, 45.0, 75.0)


class Reading(BaseModel):
    """One way to put a number on the predictions.

    Attributes
    ----------
    measure : what is measured: ``NME``, ``AUC@8``, ``FR@8``, ``MAE`` ...
    rule : the normaliser, the Euler convention or the engine; ``exact`` for facebench's own rule.
    value : the number; ``exact`` is facebench's for the same measure, where it has one.
    why : in a line, what the rule does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    rule: str
    unit: Unit
    value: Number
    exact: Number = None
    why: str


class Explanation(BaseModel):
    """The readings of one predictions file under one protocol; the first is the one to quote."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["facebench-explanation"] = "facebench-explanation"
    version: Literal[1] = 1
    protocol: str
    dataset: str
    method: str
    n: int
    signature: str
    readings: list[Reading]


def explain(
    predictions: Any,
    protocol: str,
    dataset: PreparedDataset | str | Path | None = None,
    *,
    missing: Missing = "error",
    mapping: PointMapping = "exact",
    engine: str | None = None,
) -> Explanation:
    """Put the numbers on predictions that other normalisers, conventions and evaluation codes would put.

    Parameters
    ----------
    predictions, protocol, dataset, missing, mapping : as for :func:`facebench.score`.
    engine : give only the numbers of this engine, after the one to quote.

    Raises
    ------
    UsageError : unknown engine, or one that has no rule for what the protocol measures; or a protocol for
        visibility, which has no variants of this kind.
    """
    if engine is not None:
        get_engine(engine)
    measured = measure(predictions, protocol, dataset, missing=missing, mapping=mapping)
    chosen = measured.protocol
    if isinstance(chosen, LandmarkProtocol):
        readings = list(_landmarks(measured, chosen))
    elif isinstance(chosen, PoseProtocol):
        readings = list(_pose(measured, chosen))
    else:
        msg = f"{chosen.name}: only landmarks and pose have normalisers, conventions and engines to explain."
        raise UsageError(msg)
    if engine is not None:
        quoted, readings = readings[0], [one for one in readings if one.rule == f"engine {engine}"]
        if not readings:
            rules = ", ".join(get_engine(engine).rules)
            msg = f"{chosen.name}: the engine '{engine}' ({rules}) has no rule for what it measures."
            raise UsageError(msg)
        readings = [quoted, *readings]
    return Explanation(
        protocol=chosen.name,
        dataset=measured.dataset.name,
        method=measured.predictions.method,
        n=len(measured.rows),
        signature=str(measured.signature),
        readings=readings,
    )


def _landmarks(measured: Measured, protocol: LandmarkProtocol) -> Iterator[Reading]:
    errors = _column(measured, f"nme/{protocol.normaliser}")
    balanced = _mean_of_bins(measured, errors)
    if protocol.headline[1] == BALANCED and balanced is not None:
        why = f"mean of the means of the bins of yaw, {normaliser_meaning(protocol.normaliser)}"
        yield Reading(measure="NME, balanced", rule=protocol.normaliser, unit="%", value=balanced, why=why)
    yield from _normalisers(measured, protocol, float(errors.mean()))
    for t in protocol.normalisers[protocol.normaliser]:
        yield from _curve(errors, t)
    yield from _balanced(measured, "NME", "%", errors)


def _normalisers(measured: Measured, protocol: LandmarkProtocol, mean: float) -> Iterator[Reading]:
    """Yield the NME as it is, by every other normaliser that has a value for all faces, and by engines."""
    truth = measured.dataset.annotation(protocol.annotation).points[measured.rows]
    assert measured.given.landmarks is not None
    given = predicted_for(measured.given.landmarks, measured.predicted)
    first, others = protocol.normaliser, [name for name in protocol.normalisers if "@" in name]
    yield Reading(measure="NME", rule=first, unit="%", value=mean, why=normaliser_meaning(first))
    for name in dict.fromkeys([*NORMALISERS, *others]):
        distance = None if name == first else _distance(measured, protocol, name, truth)
        if distance is not None and (distance > 0).all():
            value = float(np.nanmean(_failed(nme(given, truth, distance), measured)))
            why = normaliser_meaning(name)
            yield Reading(measure="NME", rule=name, unit="%", value=value, exact=mean, why=why)
    rule, boxes = _rule_and_boxes(measured, first)

    def by_engine(name: str) -> float:
        distance = engine_normalising_distance(truth, rule, name, scheme=protocol.scheme, boxes=boxes)
        return float(np.nanmean(engine_nme(given, truth, distance, name)))

    yield from _engines("nme", "NME", "%", mean, by_engine)


def _rule_and_boxes(measured: Measured, normaliser: str) -> tuple[str, np.ndarray | None]:
    rule, _, box = normaliser.partition("@")
    return rule, measured.dataset.boxes[box][measured.rows] if box else None


def _distance(
    measured: Measured, protocol: LandmarkProtocol, normaliser: str, truth: np.ndarray
) -> np.ndarray | None:
    """Return a normalising distance; None where the scheme lacks a point that it needs."""
    rule, boxes = _rule_and_boxes(measured, normaliser)
    try:
        return normalising_distance(truth, rule, scheme=protocol.scheme, boxes=boxes)
    except UsageError:
        return None


def _curve(errors: np.ndarray, threshold: float) -> Iterator[Reading]:
    """Yield AUC and FR at a threshold, exact and by engines."""
    auc, fr = area_under_ced(errors, threshold), float(failure(errors, threshold).mean())
    for key, exact, why, by_engine in (
        ("auc", auc, "integral of the step curve of the faces", engine_auc),
        ("fr", fr, "share of faces above the threshold", engine_failure),
    ):
        title = f"{key.upper()}@{threshold:g}"
        yield Reading(measure=title, rule="exact", unit="%", value=exact, why=why)
        yield from _engines(key, title, "%", exact, partial(by_engine, errors, threshold))


def _engines(
    key: str, title: str, unit: Unit, exact: float, by_engine: Callable[[str], float]
) -> Iterator[Reading]:
    """Yield what each engine that has a rule makes of a number."""
    for name, engine in ENGINES.items():
        if key in engine.rules:
            why = engine.rules[key].why
            rule, value = f"engine {name}", by_engine(name)
            yield Reading(measure=title, rule=rule, unit=unit, value=value, exact=exact, why=why)


def _pose(measured: Measured, protocol: PoseProtocol) -> Iterator[Reading]:
    truth = protocol.rotation(measured.dataset)[measured.rows]
    convention, exact = protocol.convention, float(_column(measured, f"mae/{protocol.convention}").mean())

    def mean_error(name: str, errors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        given = predicted_for(measured.given.eulers(name), measured.predicted)
        return float(_failed(errors(given, rotation_to_euler(truth, name)).mean(axis=1), measured).mean())

    def by_engine(name: str) -> float:
        return mean_error(convention, partial(engine_euler_errors, engine=name, convention=convention))

    for name in dict.fromkeys([convention, *CONVENTIONS]):
        why = f"the same errors as angles in the convention {name}"
        first = None if name == convention else exact
        value = mean_error(name, euler_errors)
        yield Reading(measure="MAE", rule=name, unit="°", value=value, exact=first, why=why)
    yield from _engines("mae", "MAE", "°", exact, by_engine)
    yield from _balanced(measured, "MAE", "°", _column(measured, f"mae/{convention}"))
    turn = float(_column(measured, "geodesic").mean())
    why = "angle of the rotation between prediction and truth, in no convention"
    yield Reading(measure="Geodesic", rule="exact", unit="°", value=turn, why=why)
    for side, frame in (("left", "camera"), ("right", "head")) if protocol.aligned else ():
        why = f"a constant rotation of the {frame} frame is removed first"
        for title, key, plain in (("MAE", f"mae/{convention}", exact), ("Geodesic", "geodesic", turn)):
            value = float(_column(measured, f"{key}/aligned-{side}").mean())
            rule = f"aligned {side}"
            yield Reading(measure=title, rule=rule, unit="°", value=value, exact=plain, why=why)


def _balanced(measured: Measured, title: str, unit: Unit, errors: np.ndarray) -> Iterator[Reading]:
    """Yield what engines make of bins of yaw; nothing where the yaw of a face is not known."""
    protocol = measured.protocol
    truth = protocol.rotation(measured.dataset)[measured.rows]
    if not np.isfinite(truth).all():
        return
    yaw = rotation_to_euler(truth, protocol.yaw_convention)[:, 0]
    if len(protocol.bins) == len(ENGINE_BINS):  # the release's own bins, where it says which they are
        for middle, name in zip(ENGINE_BINS, protocol.bin_groups, strict=True):
            yaw[measured.masks[name]] = middle
    exact = _mean_of_bins(measured, errors)
    yield from _engines(
        "balanced",
        f"{title}, balanced",
        unit,
        float(errors.mean()) if exact is None else exact,
        lambda name: engine_balanced(errors, yaw, name).mean,
    )


def _mean_of_bins(measured: Measured, errors: np.ndarray) -> float | None:
    """Return the balanced mean of a protocol; None where it has no bins, or one of them has no face."""
    bins = [errors[measured.masks[name]] for name in measured.protocol.bin_groups]
    return float(np.mean([one.mean() for one in bins])) if bins and all(map(len, bins)) else None


def _column(measured: Measured, name: str) -> np.ndarray:
    column = measured.columns.of[name]
    assert isinstance(column, np.ndarray)
    return column


def _failed(errors: np.ndarray, measured: Measured) -> np.ndarray:
    """Return errors with infinity for the faces that are counted as failures."""
    return np.where(measured.predicted < 0, np.inf, errors)

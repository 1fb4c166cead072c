"""One predictions file, its many numbers: every normaliser, area rule, average and Euler order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

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
from facebench.protocols.scoring import Mapping, Measured, Missing, Number, measure

__all__ = ["Explanation", "Reading", "explain"]

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
    unit: Literal["%", "°"]
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
    mapping: Mapping = "exact",
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
    truth = measured.dataset.annotation(protocol.annotation).points[measured.rows]
    assert measured.given.landmarks is not None
    given = predicted_for(measured.given.landmarks, measured.predicted)
    errors = _column(measured, f"nme/{protocol.normaliser}")
    mean = float(errors.mean())
    balanced = _mean_of_bins(measured, protocol, errors)
    if protocol.headline[1] == BALANCED and balanced is not None:
        why = f"mean of the means of the bins of yaw, {normaliser_meaning(protocol.normaliser)}"
        yield _reading("NME, balanced", protocol.normaliser, balanced, None, why)
    yield _reading("NME", protocol.normaliser, mean, None, normaliser_meaning(protocol.normaliser))
    seen = np.where(np.isfinite(given), given, np.nan)
    boxed = (name for name in protocol.normalisers if "@" in name)
    for name in dict.fromkeys([*NORMALISERS, *boxed]):
        if name == protocol.normaliser:
            continue
        rule, _, box = name.partition("@")
        boxes = measured.dataset.boxes[box][measured.rows] if box else None
        try:
            distance = normalising_distance(truth, rule, scheme=protocol.scheme, boxes=boxes)
        except UsageError:
            continue  # the scheme lacks a point that this normaliser needs
        if not (distance > 0).all():
            continue  # undefined for some of the faces
        value = float(np.nanmean(_failed(nme(seen, truth, distance), measured)))
        yield _reading("NME", name, value, mean, normaliser_meaning(name))
    rule, _, box = protocol.normaliser.partition("@")
    boxes = measured.dataset.boxes[box][measured.rows] if box else None
    for name, engine in ENGINES.items():
        if "nme" in engine.rules:
            distance = engine_normalising_distance(truth, rule, name, scheme=protocol.scheme, boxes=boxes)
            value = float(np.nanmean(engine_nme(seen, truth, distance, name)))
            yield _reading("NME", f"engine {name}", value, mean, engine.rules["nme"].why)
    for t in protocol.normalisers[protocol.normaliser]:
        exact = area_under_ced(errors, t)
        yield _reading(f"AUC@{t:g}", "exact", exact, None, "integral of the step curve of the faces")
        for name, engine in ENGINES.items():
            if "auc" in engine.rules:
                value = engine_auc(errors, t, name)
                yield _reading(f"AUC@{t:g}", f"engine {name}", value, exact, engine.rules["auc"].why)
        exact = float(failure(errors, t).mean())
        yield _reading(f"FR@{t:g}", "exact", exact, None, "share of faces above the threshold")
        for name, engine in ENGINES.items():
            if "fr" in engine.rules:
                value = engine_failure(errors, t, name)
                yield _reading(f"FR@{t:g}", f"engine {name}", value, exact, engine.rules["fr"].why)
    yield from _balanced(measured, protocol, "NME", "%", errors)


def _pose(measured: Measured, protocol: PoseProtocol) -> Iterator[Reading]:
    truth = protocol.rotation(measured.dataset)[measured.rows]
    exact: dict[str, float] = {}
    for name in dict.fromkeys([protocol.convention, *CONVENTIONS]):
        given = predicted_for(measured.given.eulers(name), measured.predicted)
        errors = euler_errors(given, rotation_to_euler(truth, name))
        exact[name] = float(_failed(errors.mean(axis=1), measured).mean())
        first = exact[protocol.convention] if name != protocol.convention else None
        yield _reading("MAE", name, exact[name], first, f"the same errors as angles in the convention {name}")
    convention = protocol.convention
    given = predicted_for(measured.given.eulers(convention), measured.predicted)
    for name, engine in ENGINES.items():
        if "mae" in engine.rules:
            errors = engine_euler_errors(
                given, rotation_to_euler(truth, convention), name, convention=convention
            )
            value = float(_failed(errors.mean(axis=1), measured).mean())
            yield _reading("MAE", f"engine {name}", value, exact[convention], engine.rules["mae"].why, "°")
    yield from _balanced(measured, protocol, "MAE", "°", _column(measured, f"mae/{convention}"))
    for side, frame in (("left", "camera"), ("right", "head")):
        for key, title in ((f"mae/{convention}", "MAE"), ("geodesic", "Geodesic")):
            if protocol.aligned:
                value = float(_column(measured, f"{key}/aligned-{side}").mean())
                plain = float(_column(measured, key).mean())
                why = f"a constant rotation of the {frame} frame is removed first"
                yield _reading(title, f"aligned {side}", value, plain, why, "°")


def _balanced(
    measured: Measured,
    protocol: LandmarkProtocol | PoseProtocol,
    measure: str,
    unit: Literal["%", "°"],
    errors: np.ndarray,
) -> Iterator[Reading]:
    truth = protocol.rotation(measured.dataset)[measured.rows]
    if not np.isfinite(truth).all():
        return
    yaw = rotation_to_euler(truth, protocol.yaw_convention)[:, 0]
    if len(protocol.bins) == len(ENGINE_BINS):  # the release's own bins, where it says which they are
        for middle, name in zip(ENGINE_BINS, protocol.bin_groups, strict=True):
            yaw[measured.masks[name]] = middle
    exact = _mean_of_bins(measured, protocol, errors)
    if exact is None:
        exact = float(errors.mean())
    for name, engine in ENGINES.items():
        if "balanced" in engine.rules:
            value = engine_balanced(errors, yaw, name).mean
            why = engine.rules["balanced"].why
            yield _reading(f"{measure}, balanced", f"engine {name}", value, exact, why, unit)


def _mean_of_bins(
    measured: Measured, protocol: LandmarkProtocol | PoseProtocol, errors: np.ndarray
) -> float | None:
    """Return the balanced mean of a protocol; None where it has no bins, or one of them has no face."""
    bins = [errors[measured.masks[name]] for name in protocol.bin_groups]
    return float(np.mean([one.mean() for one in bins])) if bins and all(map(len, bins)) else None


def _column(measured: Measured, name: str) -> np.ndarray:
    column = measured.columns.of[name]
    assert isinstance(column, np.ndarray)
    return column


def _failed(errors: np.ndarray, measured: Measured) -> np.ndarray:
    """Return errors with infinity for the faces that are counted as failures."""
    return np.where(measured.predicted < 0, np.inf, errors)


def _reading(
    measure: str,
    rule: str,
    value: float,
    exact: float | None,
    why: str,
    unit: Literal["%", "°"] | None = None,
) -> Reading:
    found: Literal["%", "°"] = unit or ("°" if measure == "MAE" else "%")
    return Reading(measure=measure, rule=rule, unit=found, value=value, exact=exact, why=why)

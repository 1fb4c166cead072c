"""What a protocol is: which faces, which ground truth, which errors, summarised how.

A protocol is a value, not code: it names an annotation set or an Euler convention, a split, the groups of
faces that are reported apart, and its metrics.  Two kinds exist, for landmarks and for pose; each turns
predictions into per-face error vectors (its ``columns``), and every metric is a summary of one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InvalidData, name_some
from facebench.formats import Predictions, PreparedDataset
from facebench.geometry import convert, correspondences, geodesic_distance, get_scheme, rotation_to_euler
from facebench.metrics import (
    auc_share,
    axis_errors,
    euler_errors,
    failure,
    masked_mean,
    nme,
    normalising_distance,
    point_errors,
    success,
)

__all__ = ["ALL", "BALANCED", "Columns", "LandmarkProtocol", "Metric", "PoseProtocol", "Protocol"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: The groups of faces that every protocol has: all of its faces, and the mean of the means of its bins.
ALL, BALANCED = "all", "balanced"

AXES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Metric:
    """One metric of a protocol.

    Attributes
    ----------
    key : its name in results and entries, such as ``nme/box-sqrt``.
    title : its name in tables.
    meaning : what it measures, in a clause.
    better : whether lower or higher values are better.
    column : the error vector that it summarises.
    quantile : None for the mean over faces.
    binned : reported for each bin and balanced too, not only over all faces.
    """

    key: str
    title: str
    meaning: str
    unit: Literal["%", "°"]
    better: Literal["lower", "higher"]
    column: str
    quantile: float | None = None
    binned: bool = False


@dataclass(frozen=True)
class Columns:
    """Per-face error vectors of m faces by name, and the landmark errors behind them.

    Attributes
    ----------
    point_nme : (K,) mean NME of each point over the faces, where points are scored.
    """

    vectors: Mapping[str, Floats]
    point_nme: Mapping[str, float] = field(default_factory=dict)
    part_nme: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What both kinds of protocol share.

    Attributes
    ----------
    faces : the split that is scored.
    bins : title and split of each group of faces that is also reported apart.
    board : metric keys and groups of the columns of its leaderboard, in order; the headline is the first.
    """

    name: str
    version: int
    title: str
    dataset: str
    faces: str
    bins: Mapping[str, str]
    board: tuple[tuple[str, str], ...]
    description: str
    sources: tuple[str, ...]

    @property
    def headline(self) -> tuple[str, str]:
        """Metric key and group of the number to quote and to rank by."""
        return self.board[0]

    @property
    def needs(self) -> str:
        """Name what a predictions file must hold to be scored."""
        raise NotImplementedError

    @property
    def metrics(self) -> tuple[Metric, ...]:
        raise NotImplementedError

    def metric(self, key: str) -> Metric:
        """Return a metric by key; raises KeyError."""
        return {metric.key: metric for metric in self.metrics}[key]

    @property
    def groups(self) -> dict[str, str]:
        """Names of the groups of faces that scores are given for, each with its title."""
        bins = {split: title for title, split in self.bins.items()}
        return {ALL: "all faces", **bins, BALANCED: "balanced"} if bins else {ALL: "all faces"}

    def is_answered_by(self, predictions: Predictions) -> bool:
        """Tell whether the predictions hold what is scored."""
        raise NotImplementedError

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Return the (n,) mask of predicted faces whose every number is finite."""
        raise NotImplementedError

    def truth_sha256(self, dataset: PreparedDataset, rows: Rows) -> str:
        """Hash the ids and the ground truth of the faces at ``rows``, to tell labellings apart."""
        digest = hashlib.sha256("".join(f"{dataset.ids[row]}\n" for row in rows).encode())
        digest.update(np.ascontiguousarray(self._truth(dataset)[rows], "<f8").tobytes())
        return digest.hexdigest()

    def _truth(self, dataset: PreparedDataset) -> Floats:
        raise NotImplementedError

    def in_own_terms(self, predictions: Predictions, mapping: str) -> Predictions:
        """Return predictions that answer the protocol, from others that can be brought to do so.

        Parameters
        ----------
        mapping : how landmarks of another scheme are carried over, one of ``geometry.MAPPINGS``.
        """
        return predictions

    def signature_fields(self, predictions: Predictions, mapping: str) -> dict[str, str]:
        """Return what the signature has to say of these predictions beyond what all signatures have."""
        return {}

    def columns(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        """Compute the error vectors of faces.

        Parameters
        ----------
        rows : (m,) rows of the faces in the dataset.
        predictions : predictions in the protocol's own terms.
        predicted : (m,) rows of the same faces in the predictions.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LandmarkProtocol(Protocol):
    """Landmarks: NME of the annotated points under a normaliser, AUC, FR and percentiles of it.

    Attributes
    ----------
    annotation : the annotation set that is the ground truth.
    normaliser : the normaliser of the headline, of AUC, FR and the percentiles.
    also : further normalisers, under which the NME is given too.
    thresholds : NME in percent at which AUC and FR are given.
    """

    annotation: str
    scheme: str
    normaliser: str
    also: tuple[str, ...]
    thresholds: tuple[float, ...]
    percentiles: tuple[int, ...] = (50, 90, 95)

    @property
    def needs(self) -> str:
        return f"landmarks (of {self.scheme}, or of a scheme that shares points with it)"

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        by = self.normaliser
        headline = f"nme/{by}"
        found = [Metric(headline, f"NME {by}", _nme_meaning(by), "%", "lower", headline, binned=True)]
        for t in self.thresholds:
            area = f"area under the cumulative error curve up to an NME of {t:g} %, exact"
            failed = f"share of faces with an NME above {t:g} %"
            found += [
                Metric(f"auc{t:g}/{by}", f"AUC@{t:g}", area, "%", "higher", f"auc{t:g}"),
                Metric(f"fr{t:g}/{by}", f"FR@{t:g}", failed, "%", "lower", f"fr{t:g}"),
            ]
        for p in self.percentiles:
            below = f"NME that {p} % of the faces stay below"
            found.append(
                Metric(f"p{p}/{by}", f"{p}th percentile", below, "%", "lower", headline, quantile=p / 100)
            )
        for name in self.also:
            key = f"nme/{name}"
            found.append(Metric(key, f"NME {name}", _nme_meaning(name), "%", "lower", key, binned=True))
        return tuple(found)

    def is_answered_by(self, predictions: Predictions) -> bool:
        scheme = predictions.scheme
        return predictions.landmarks is not None and bool(scheme and correspondences(scheme, self.scheme))

    def in_own_terms(self, predictions: Predictions, mapping: str) -> Predictions:
        assert predictions.landmarks is not None
        assert predictions.scheme is not None
        points = convert(predictions.landmarks, predictions.scheme, self.scheme, mapping)
        return replace(predictions, landmarks=points, scheme=self.scheme)

    def signature_fields(self, predictions: Predictions, mapping: str) -> dict[str, str]:
        """Say which points are scored: all, or how many another scheme gives and how."""
        assert predictions.scheme is not None
        if predictions.scheme == self.scheme:
            return {"points": self.scheme}
        one = np.zeros((1, len(get_scheme(predictions.scheme)), 2))
        given = np.isfinite(convert(one, predictions.scheme, self.scheme, mapping)[0, :, 0]).sum()
        return {"points": f"{given}-of-{self.scheme}-{mapping}-from-{predictions.scheme}"}

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        assert predictions.landmarks is not None
        return np.asarray(np.isfinite(predictions.landmarks).all(axis=(1, 2)))

    def _truth(self, dataset: PreparedDataset) -> Floats:
        return dataset.annotation(self.annotation).points

    def columns(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        assert predictions.landmarks is not None
        given, truth = predictions.landmarks[predicted], self._truth(dataset)[rows]
        distances = {
            name: self._distance(dataset, rows, truth, name) for name in (self.normaliser, *self.also)
        }
        vectors = {f"nme/{name}": nme(given, truth, distance) for name, distance in distances.items()}
        headline = vectors[f"nme/{self.normaliser}"]
        for t in self.thresholds:
            vectors[f"auc{t:g}"] = auc_share(headline, t)
            vectors[f"fr{t:g}"] = failure(headline, t)
        normalised = 100.0 * point_errors(given, truth) / distances[self.normaliser][:, None]
        per_point = masked_mean(normalised.T)
        scheme = get_scheme(self.scheme)
        scored = np.isfinite(per_point)
        points = {name: float(per_point[k]) for k, name in enumerate(scheme.points) if scored[k]}
        inside = {part: scheme.part(part) for part in dict.fromkeys(scheme.parts)}
        parts = {
            part: float(masked_mean(per_point[which]))
            for part, which in inside.items()
            if scored[which].any()
        }
        return Columns(vectors, points, parts)

    def _distance(self, dataset: PreparedDataset, rows: Rows, truth: Floats, normaliser: str) -> Floats:
        distance = normalising_distance(truth, normaliser, scheme=self.scheme)
        degenerate = ~(distance > 0)
        if degenerate.any():
            which = name_some(dataset.ids[row] for row in rows[degenerate])
            msg = f"{dataset.path}: normaliser '{normaliser}' is zero or undefined for {which}."
            raise InvalidData(msg)
        return distance


def _nme_meaning(normaliser: str) -> str:
    sizes = {
        "corners": "the distance of the outer eye corners",
        "pupils6": "the distance of the means of the 6 points of each eye",
        "pupils-corners": "the distance of the middles of the two corners of each eye",
        "box-height": "the height of the tight box of the true points",
        "box-sqrt": "sqrt(width * height) of the tight box of the true points",
        "box-diagonal": "the diagonal of the tight box of the true points",
        "box-max": "the longer side of the tight box of the true points",
    }
    return f"mean distance of predicted and true points, divided by {sizes[normaliser]}"


@dataclass(frozen=True, kw_only=True)
class PoseProtocol(Protocol):
    """Head pose: MAE of the Euler angles in a named convention, geodesic distance, MAEV, success rates.

    Attributes
    ----------
    convention : the Euler convention of the headline.
    also : further conventions, in which the MAE is given too: the same errors, read differently.
    thresholds : geodesic distances in degrees at which success rates are given.
    """

    convention: str
    also: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = (5.0, 10.0, 15.0)

    @property
    def needs(self) -> str:
        return "rotation, or euler with its convention"

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        found = []
        for name in (self.convention, *self.also):
            key = f"mae/{name}"
            mean = f"mean absolute error of yaw, pitch and roll read in the convention {name}"
            found.append(Metric(key, f"MAE {name}", mean, "°", "lower", key, binned=True))
            for axis in AXES if name == self.convention else ():
                key, one = f"mae-{axis}/{name}", f"mean absolute error of {axis} in {name}"
                found.append(Metric(key, f"MAE {axis}", one, "°", "lower", key, binned=True))
        turn = "angle of the rotation between prediction and truth, whatever the Euler convention"
        axes = "mean angle between the head axes of prediction and truth"
        found += [
            Metric("geodesic", "Geodesic", turn, "°", "lower", "geodesic", binned=True),
            Metric("maev", "MAEV", axes, "°", "lower", "maev", binned=True),
        ]
        for t in self.thresholds:
            within = f"share of faces with a geodesic distance of at most {t:g}°"
            found.append(
                Metric(f"success{t:g}", f"Geodesic ≤ {t:g}°", within, "%", "higher", f"success{t:g}")
            )
        return tuple(found)

    def is_answered_by(self, predictions: Predictions) -> bool:
        return predictions.has_pose

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(predictions.rotations()).all(axis=(1, 2)))

    def _truth(self, dataset: PreparedDataset) -> Floats:
        # The release's own numbers where there are any: they do not depend on anybody's sine and cosine.
        return dataset.pose_source if dataset.pose_source.size else dataset.rotation

    def columns(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        truth = dataset.rotation[rows]
        if not np.isfinite(truth).all():
            unknown = [dataset.ids[row] for row in rows[~np.isfinite(truth).all(axis=(1, 2))]]
            msg = (
                f"{dataset.path}: no pose is known for {', '.join(unknown[:5])}, which '{self.name}' scores."
            )
            raise InvalidData(msg)
        rotations = predictions.rotations()[predicted]
        vectors: dict[str, Floats] = {}
        for name in (self.convention, *self.also):
            errors = euler_errors(predictions.eulers(name)[predicted], rotation_to_euler(truth, name))
            vectors[f"mae/{name}"] = errors.mean(axis=1)
            if name == self.convention:
                for axis, column in zip(AXES, errors.T, strict=True):
                    vectors[f"mae-{axis}/{name}"] = column
        vectors["geodesic"] = geodesic_distance(rotations, truth)
        vectors["maev"] = axis_errors(rotations, truth)
        for t in self.thresholds:
            vectors[f"success{t:g}"] = success(vectors["geodesic"], t)
        return Columns(vectors)

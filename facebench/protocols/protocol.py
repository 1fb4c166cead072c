"""What a protocol is: a suite of metrics, over which faces and which ground truth of a dataset.

A protocol is a value, not code: it names an annotation set or a pose, a split, the groups of faces that are
reported apart, and the settings of its suite (:mod:`facebench.metrics.suites`).  Three kinds exist, for
landmarks, for pose and for visibility.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InvalidData, UsageError, name_some
from facebench.formats import Predictions, PreparedDataset
from facebench.geometry import VISIBILITY, carry, convert, correspondences, get_scheme, rotation_to_euler
from facebench.metrics import Columns, LandmarkSuite, Metric, PoseSuite, VisibilitySuite

__all__ = [
    "ALL",
    "BALANCED",
    "LandmarkProtocol",
    "PoseProtocol",
    "Protocol",
    "VisibilityProtocol",
    "pose_board",
    "predicted_for",
]

Rows = NDArray[np.int64]

#: The groups of faces that every protocol has: all of its faces, and the mean of the means of its bins.
ALL, BALANCED = "all", "balanced"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all kinds of protocol share.

    Attributes
    ----------
    faces : the split that is scored.
    bins : title and split of each group of faces that is also reported apart, and the mean over them.
    yaw_bins : instead of ``bins``, upper ends in degrees of the bins of the yaw's size, read in
        ``yaw_convention``: (30, 60, 90) for [0, 30], (30, 60] and everything beyond.
    subsets : title and split of further groups, which may overlap.
    clusters : what is drawn together when faces are resampled: ``image``, or a kind of group that the
        dataset has, such as ``subject``.
    board : metric keys and groups of the columns of its leaderboard, in order; the headline is the first.
    uncertain : what no source settles about this definition, a sentence each.
    """

    name: str
    version: int
    title: str
    dataset: str
    faces: str
    board: tuple[tuple[str, str], ...]
    description: str
    sources: tuple[str, ...]
    bins: Mapping[str, str] = field(default_factory=dict)
    yaw_bins: tuple[float, ...] = ()
    yaw_convention: str = "raw-xyz"
    subsets: Mapping[str, str] = field(default_factory=dict)
    clusters: str | None = None
    uncertain: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, group in self.board:
            for what, name, known in (
                ("metric", key, [metric.key for metric in self.metrics]),
                ("group", group, list(self.groups)),
            ):
                if name not in known:
                    msg = f"{self.name}: unknown {what} '{name}' in its board. Known: {', '.join(known)}."
                    raise UsageError(msg)

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

    def title_of(self, key: str, group: str) -> str:
        """Return the title of a number: its metric, and its group where that is not all faces."""
        title = self.metric(key).title
        return title if group == ALL else f"{title}, {self.groups[group]}"

    @property
    def groups(self) -> dict[str, str]:
        """Names of the groups of faces that scores are given for, each with its title."""
        subsets = {split: title for title, split in self.subsets.items()}
        bins = self._bin_titles
        return {ALL: "all faces", **subsets, **bins, **({BALANCED: "balanced"} if bins else {})}

    @property
    def _splits(self) -> tuple[str, ...]:
        """Names of the splits that it takes from the dataset: its faces, then its groups."""
        return (self.faces, *self.subsets.values(), *self.bins.values())

    @property
    def _bin_titles(self) -> dict[str, str]:
        if not self.yaw_bins:
            return {split: title for title, split in self.bins.items()}
        ends = zip((0, *self.yaw_bins), self.yaw_bins, strict=False)
        return {f"yaw-{low:g}-{high:g}": f"yaw {low:g}-{high:g}°" for low, high in ends}

    @property
    def bin_groups(self) -> tuple[str, ...]:
        """Names of the groups that the balanced mean is over."""
        return tuple(self._bin_titles)

    def masks(self, dataset: PreparedDataset, rows: Rows) -> dict[str, NDArray[np.bool_]]:
        """Return which of the faces at ``rows`` are in each group, without the balanced one.

        A part of a release may have no face in a group.
        """
        found = {ALL: np.ones(len(rows), bool)}
        for split in self._splits[1:]:
            found[split] = np.isin(rows, dataset.splits.get(split, ()))
        if self.yaw_bins:
            yaw = np.abs(rotation_to_euler(self.rotation(dataset)[rows], self.yaw_convention)[:, 0])
            # A bin holds its upper end, and the last one all that is beyond.
            which = np.minimum(np.searchsorted(self.yaw_bins, yaw), len(self.yaw_bins) - 1)
            for number, name in enumerate(self.bin_groups):
                found[name] = (which == number) & ~np.isnan(yaw)
        return found

    def cluster_numbers(self, dataset: PreparedDataset, rows: Rows) -> Rows | None:
        """Return the number of the cluster of each face at ``rows``, from 0 on; None without clusters."""
        if self.clusters is None:
            return None
        labels = dataset.image_of if self.clusters == "image" else np.asarray(dataset.groups[self.clusters])
        return np.unique(labels[rows], return_inverse=True)[1].astype(np.int64)

    def rotation(self, dataset: PreparedDataset) -> NDArray[np.float64]:
        """Return the (N, 3, 3) rotations by which the yaw bins are drawn, and pose is scored."""
        return dataset.rotation

    def lacks(self, dataset: PreparedDataset) -> str | None:
        """Name what a prepared file would have to hold to be scored by this protocol, or return None."""
        absent = [name for name in self._splits if name not in dataset.splits]
        # A part of a release may lack a split; one that the manifest lacks is a slip of the protocol.
        if absent and (known := _published_splits(self.dataset)):
            for name in absent:
                if name not in known:
                    return f"split '{name}', nor has the manifest of {self.dataset} ({', '.join(known)})"
        if self.faces in absent:
            return f"split '{self.faces}'"
        grouped = self.clusters in (None, "image", *dataset.groups)
        return None if grouped else f"group '{self.clusters}'"

    def is_answered_by(self, predictions: Predictions) -> bool:
        """Tell whether the predictions hold what is scored."""
        raise NotImplementedError

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Return the (n,) mask of predicted faces whose every number is finite."""
        raise NotImplementedError

    def truth_sha256(self, dataset: PreparedDataset, rows: Rows) -> str:
        """Hash the ids and the ground truth of the faces at ``rows``, to tell labellings apart."""
        digest = hashlib.sha256("".join(f"{dataset.ids[row]}\n" for row in rows).encode())
        for array in self._truth(dataset):
            digest.update(np.ascontiguousarray(array[rows], "<f8").tobytes())
        return digest.hexdigest()

    def _truth(self, dataset: PreparedDataset) -> list[NDArray]:
        """Return the arrays that the ground truth consists of."""
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

    def measure(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        """Compute the columns of faces.

        Parameters
        ----------
        rows : (m,) rows of the faces in the dataset.
        predictions : predictions in the protocol's own terms.
        predicted : (m,) rows of the same faces in the predictions; -1 where there is none.
        """
        raise NotImplementedError


def pose_board(convention: str) -> tuple[tuple[str, str], ...]:
    """Return the columns that every leaderboard of poses begins with: MAE, its axes, geodesic distance."""
    axes = (f"mae-{axis}/{convention}" for axis in ("yaw", "pitch", "roll"))
    return tuple((key, ALL) for key in (f"mae/{convention}", *axes, "geodesic"))


def predicted_for(values: NDArray, predicted: Rows) -> NDArray:
    """Return the predicted values of faces, NaN for those without a prediction."""
    chosen = np.asarray(values[predicted], float)
    chosen[predicted < 0] = np.nan
    return chosen


def _published_splits(dataset: str) -> list[str]:
    """Return the splits in the manifest of a dataset; none where its package is not installed."""
    from facebench.datasets import get_dataset  # only where a split is absent: most scoring needs no manifest

    try:
        return list(get_dataset(dataset).manifest.splits)
    except UsageError:
        return []


def _named(dataset: PreparedDataset, rows: Rows) -> list[str]:
    return [f"{dataset.ids[row]} ({dataset.path})" for row in rows]


@dataclass(frozen=True, kw_only=True)
class LandmarkProtocol(LandmarkSuite, Protocol):
    """Landmarks: NME of the points under its normalisers, AUC, FR and percentiles.

    Attributes
    ----------
    annotation : the annotation set that is the ground truth.
    """

    annotation: str

    def __post_init__(self) -> None:
        LandmarkSuite.__post_init__(self)
        Protocol.__post_init__(self)

    @property
    def needs(self) -> str:
        return f"landmarks (of {self.scheme}, or of a scheme that shares points with it)"

    def lacks(self, dataset: PreparedDataset) -> str | None:
        if self.annotation not in dataset.annotations:
            return f"'{self.annotation}' labels"
        absent = [name for name in self.boxes if name not in dataset.boxes]
        return f"box '{absent[0]}'" if absent else super().lacks(dataset)

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
        return {"points": _points_field(self.scheme, predictions, mapping)}

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        assert predictions.landmarks is not None
        return np.asarray(np.isfinite(predictions.landmarks).all(axis=(1, 2)))

    def _truth(self, dataset: PreparedDataset) -> list[NDArray]:
        truth = dataset.annotation(self.annotation)
        by_state = self.apart or self.counted != "annotated"
        return [truth.points, *([truth.visibility] if by_state else [])]

    def measure(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        assert predictions.landmarks is not None
        truth = dataset.annotation(self.annotation)
        return self.columns(
            predicted_for(predictions.landmarks, predicted),
            truth.points[rows],
            visibility=truth.visibility[rows],
            boxes={name: dataset.boxes[name][rows] for name in self.boxes},
            names=_named(dataset, rows),
        )


def _points_field(scheme: str, predictions: Predictions, mapping: str) -> str:
    assert predictions.scheme is not None
    if predictions.scheme == scheme:
        return scheme
    one = np.zeros((1, len(get_scheme(predictions.scheme)), 2))
    given = np.isfinite(convert(one, predictions.scheme, scheme, mapping)[0, :, 0]).sum()
    return f"{given}-of-{scheme}-{mapping}-from-{predictions.scheme}"


@dataclass(frozen=True, kw_only=True)
class PoseProtocol(PoseSuite, Protocol):
    """Head pose: MAE of the Euler angles in a named convention, geodesic distance, MAEV, success rates.

    Attributes
    ----------
    pose : which of the dataset's named poses is the ground truth; its own choice when not given.
    align_by : the kind of group whose faces are aligned together; all faces when not given.
    """

    pose: str | None = None
    align_by: str | None = None

    @property
    def needs(self) -> str:
        return "rotation, or euler with its convention"

    def lacks(self, dataset: PreparedDataset) -> str | None:
        if not dataset.poses or self.pose not in (None, *dataset.poses):
            return f"pose '{self.pose}'" if self.pose else "pose"
        if self.align_by not in (None, *dataset.groups):
            return f"group '{self.align_by}'"
        return super().lacks(dataset)

    def is_answered_by(self, predictions: Predictions) -> bool:
        return predictions.has_pose

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(predictions.rotations()).all(axis=(1, 2)))

    def rotation(self, dataset: PreparedDataset) -> NDArray[np.float64]:
        return dataset.rotation if self.pose is None else dataset.poses[self.pose]

    def _truth(self, dataset: PreparedDataset) -> list[NDArray]:
        # The release's own numbers where there are any: they do not depend on anybody's sine and cosine.
        own = self.pose is None and dataset.pose_source.size
        return [dataset.pose_source if own else self.rotation(dataset)]

    def measure(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        truth = self.rotation(dataset)[rows]
        unknown = ~np.isfinite(truth).all(axis=(1, 2))
        if unknown.any():
            which = name_some(dataset.ids[row] for row in rows[unknown])
            msg = f"{dataset.path}: no pose is known for {which}, which '{self.name}' scores."
            raise InvalidData(msg)
        return self.columns(
            predicted_for(predictions.rotations(), predicted),
            truth,
            eulers={
                n: predicted_for(predictions.eulers(n), predicted) for n in (self.convention, *self.also)
            },
            alike=None if self.align_by is None else np.asarray(dataset.groups[self.align_by])[rows],
        )


@dataclass(frozen=True, kw_only=True)
class VisibilityProtocol(VisibilitySuite, Protocol):
    """Visibility: precision and recall of the hidden points, all points of all faces pooled.

    Attributes
    ----------
    annotation : the annotation set whose visibility states are the ground truth.
    """

    annotation: str

    def __post_init__(self) -> None:
        VisibilitySuite.__post_init__(self)
        Protocol.__post_init__(self)

    @property
    def needs(self) -> str:
        return f"visibility (of the points of {self.scheme}, or of a scheme that shares points with it)"

    def lacks(self, dataset: PreparedDataset) -> str | None:
        if self.annotation not in dataset.annotations:
            return f"'{self.annotation}' labels"
        return super().lacks(dataset)

    def is_answered_by(self, predictions: Predictions) -> bool:
        scheme = predictions.scheme
        return predictions.visibility is not None and bool(scheme and correspondences(scheme, self.scheme))

    def in_own_terms(self, predictions: Predictions, mapping: str) -> Predictions:
        assert predictions.visibility is not None
        assert predictions.scheme is not None
        if predictions.scheme == self.scheme:
            return predictions
        carried = carry(predictions.visibility, predictions.scheme, self.scheme, np.nan)
        return replace(predictions, visibility=carried, scheme=self.scheme)

    def signature_fields(self, predictions: Predictions, mapping: str) -> dict[str, str]:
        """Say which points are pooled, and which class is the positive one."""
        return {
            "points": _points_field(self.scheme, predictions, "exact"),
            "positive": self.positive_class,
        }

    def found(self, predictions: Predictions) -> NDArray[np.bool_]:
        assert predictions.visibility is not None
        return np.asarray(np.isfinite(predictions.visibility).all(axis=1))

    def _truth(self, dataset: PreparedDataset) -> list[NDArray]:
        return [dataset.annotation(self.annotation).visibility]

    def measure(
        self, dataset: PreparedDataset, rows: Rows, predictions: Predictions, predicted: Rows
    ) -> Columns:
        assert predictions.visibility is not None
        given = predicted_for(predictions.visibility, predicted)
        states = self._truth(dataset)[0][rows]
        # A point that the scheme of the predictions lacks is not pooled.
        scored = np.isfinite(given[predicted >= 0]).any(axis=0)
        return self.columns(given, np.where(scored, states, VISIBILITY["unknown"]).astype(np.uint8))

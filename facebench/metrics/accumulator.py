"""Metrics over batches, for training loops and for more faces than fit into memory.

Per face only a few numbers are kept (of visibility, those of its points), so that every metric, percentiles
and average precision included, is that of all faces at once, however they were divided into batches or among
processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError
from facebench.geometry import get_scheme
from facebench.metrics.resampling import Column, Estimate, estimate
from facebench.metrics.suites import LandmarkSuite, PoseSuite, Suite, VisibilitySuite

__all__ = ["Accumulator"]

ALL = "all"
PREDICTED, TRUTH = "predicted", "truth"


class Accumulator:
    """The metrics of a suite, from batches of predictions and truth.

    A protocol is a suite, so ``Accumulator(get_protocol("300w/landmarks"))`` gives its numbers over the faces
    that it is shown.  Arrays may be NumPy arrays or tensors.  An accumulator can be pickled, and those of
    several processes merged in any order.

    Parameters
    ----------
    suite : what to measure.  Metrics after alignment need all faces at once and are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from facebench.metrics import Accumulator, LandmarkSuite
    >>> seen = Accumulator(LandmarkSuite(scheme="ibug68", normalisers={"box-sqrt": (8,)}))
    >>> truth = np.random.default_rng(0).uniform(0, 100, (6, 68, 2))
    >>> seen.update(truth[:4] + 1, truth[:4])
    >>> seen.update(truth[4:] + 1, truth[4:])
    >>> len(seen), round(seen.compute()["nme/box-sqrt"], 3)
    (6, 1.448)
    """

    def __init__(self, suite: Suite) -> None:
        self.suite = replace(suite, aligned=False) if isinstance(suite, PoseSuite) else suite
        self._face = _shape_of_a_face(suite)
        self._batches: list[Mapping[str, Column]] = []
        self._faces = 0

    def __len__(self) -> int:
        """Return how many faces have been seen."""
        return self._faces

    def update(self, predicted: Any, truth: Any, **more: Any) -> None:
        """Add a batch of n faces.

        Parameters
        ----------
        predicted, truth : landmarks (n, K, 2) in pixels; ``R_cam`` (n, 3, 3); or predicted probabilities of
            visible and true visibility states, (n, K) each.
        more : what else :meth:`LandmarkSuite.columns` or :meth:`PoseSuite.columns` takes, by name.

        Raises
        ------
        InvalidData : a face cannot be measured; the batch is not added.
        ValueError : the shapes do not fit.
        """
        given, true = _array(predicted), _array(truth)
        if not len(given) and not len(true):
            return
        if given.shape != true.shape or given.shape[1:] != self._face:
            shape = ", ".join(["n", *map(str, self._face)])
            msg = (
                f"expected predicted and true faces of shape ({shape}), found {given.shape} and {true.shape}"
            )
            raise ValueError(msg)
        others = {name: _values(value) for name, value in more.items()}
        columns = self.suite.columns(given, true, **others).of
        if isinstance(self.suite, VisibilitySuite):
            # Whether there is a sweep shows in all batches only: one may happen to hold nothing but 0 and 1.
            columns = {PREDICTED: np.array(given, float), TRUTH: np.array(true)}
        self._batches.append(columns)
        self._faces += len(given)

    def merge(self, *others: Accumulator) -> None:
        """Add the faces that other accumulators of the same suite have seen.

        Raises
        ------
        UsageError : another measures something else.
        """
        for other in others:
            if other.suite != self.suite:
                msg = "accumulators of different suites cannot be merged."
                raise UsageError(msg)
        for other in others:
            self._batches += other._batches
            self._faces += other._faces

    def reset(self) -> None:
        """Forget all faces."""
        self._batches, self._faces = [], 0

    def compute(self) -> dict[str, float]:
        """Return the value of each metric by key.

        Metrics that the predictions cannot give (a sweep over hard labels) are left out.
        """
        return {key: one.value for key, one in self.estimate(resamples=0).items()}

    def estimate(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Return the value and the 95 % bootstrap interval of each metric by key.

        Raises
        ------
        UsageError : no face has been seen.
        """
        if not self._faces:
            msg = "no face has been seen yet: call update first."
            raise UsageError(msg)
        self._batches = [self._joined()]
        columns = self._batches[0]
        if isinstance(self.suite, VisibilitySuite):
            columns = self.suite.columns(columns[PREDICTED], columns[TRUTH]).of  # type: ignore[arg-type]
        metrics = [one for one in self.suite.metrics if one.column in columns and _any(columns[one.column])]
        found = estimate(
            columns,
            {ALL: np.ones(self._faces, bool)},
            [one.over_groups((ALL,)) for one in metrics],
            resamples=resamples,
            seed=seed,
        )
        return {metric.key: one for metric, one in zip(metrics, found, strict=True)}

    def _joined(self) -> Mapping[str, Column]:
        if len(self._batches) == 1:
            return self._batches[0]
        return {name: np.concatenate([batch[name] for batch in self._batches]) for name in self._batches[0]}


def _shape_of_a_face(suite: Suite) -> tuple[int, ...]:
    if isinstance(suite, PoseSuite):
        return (3, 3)
    points = len(get_scheme(suite.scheme))
    return (points, 2) if isinstance(suite, LandmarkSuite) else (points,)


def _any(column: Column) -> bool:
    return not isinstance(column, np.ndarray) or not np.isnan(column).all()


def _values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _array(one) for name, one in value.items()}
    return _array(value) if hasattr(value, "__array__") else value


def _array(value: Any) -> NDArray:
    """Return an array from what a training loop has: a tensor may be on a device, and may have a gradient."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point():  # NumPy has no bfloat16
            value = value.double()
    return np.asarray(value)

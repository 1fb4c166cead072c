"""Precision and recall of visibility: which landmarks a method takes for occluded (PROTOCOLS 4).

The positive class is "occluded", the score of a landmark is one minus its visibility, and the landmarks of
all faces are pooled (Burgos-Artizzu, Perona and Dollar, ICCV 2013).  "Recall at 80 % precision" is the
largest recall among the operating points whose precision is at least 80 %.

Only the order of the scores matters, so minus the visibility serves as well as one minus it, and keeps
apart visibilities so close to 0 that the subtraction would round them to ties.

Precision, recall, and average precision are in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError

__all__ = ["PooledCurve", "average_precision", "is_hard", "precision_recall", "recall_at_precision"]

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

# A precision reaches a level when it falls short of it by at most this share: 29 of 50 must reach 58 %,
# though 100 * (29 / 50) is 57.99999999999999, and sums of fractional weights are rounded as well.  Counts of
# fewer than a million points come no closer to a level given with one decimal without reaching it.
TOLERANCE = 1e-10


def precision_recall(
    scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return the operating points of scores: precision and recall at every threshold.

    A point is predicted positive when its score is at least the threshold.  There is one operating point
    for each distinct score, so equal scores are taken together.

    The values are those of scikit-learn's ``precision_recall_curve``, in percent and in descending order
    of the thresholds, without the end point that it appends (precision 1 at recall 0), which no threshold
    yields.

    Parameters
    ----------
    scores : (m,) higher means more positive; may be infinite.
    positive : (m,) bool.
    weights : (m,) how much each point counts, 0 or more; a point of weight 0 is absent.  All 1 when not
        given.

    Returns
    -------
    precision, recall : (d,) percent.  Recall never falls, and ends at 100.
    thresholds : (d,) the distinct scores in descending order.

    Raises
    ------
    UsageError : a score is NaN, or no point is positive.
    ValueError : the shapes do not fit, ``positive`` is not bool, or weights are negative or not finite.

    Examples
    --------
    >>> precision_recall([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    (array([100.        ,  66.66666667,  50.        ]), array([ 50., 100., 100.]), array([0.9, 0.8, 0.1]))
    """
    s, p = _checked(scores, positive, dimensions=1)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, float)
    if w.shape != s.shape:
        msg = f"expected one weight for each score, found shapes {w.shape} and {s.shape}"
        raise ValueError(msg)
    if not (np.isfinite(w) & (w >= 0)).all():
        msg = "weights must be finite numbers of 0 or more"
        raise ValueError(msg)
    present = w > 0
    s, p, w = s[present], p[present], w[present]
    if not p.any():
        msg = f"recall is not defined: none of the {len(s)} points that count is positive."
        raise UsageError(msg)
    order = np.argsort(-s, kind="stable")
    s, p, w = s[order], p[order], w[order]
    last = np.append(s[1:] != s[:-1], True)
    predicted, found = np.cumsum(w)[last], np.cumsum(w * p)[last]
    # Divided first: no share of anything is rounded to above 100.
    return 100.0 * (found / predicted), 100.0 * (found / found[-1]), s[last]


def average_precision(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the average precision, in percent: the sum over operating points of recall step times precision.

    This is scikit-learn's ``average_precision_score``; nothing is interpolated.  Parameters and errors are
    those of :func:`precision_recall`.

    Examples
    --------
    >>> average_precision([0.9, 0.8, 0.7, 0.6], [True, False, False, True])
    75.0
    """
    precision, recall, _ = precision_recall(scores, positive, weights)
    return float(np.diff(recall, prepend=0.0) @ precision / 100.0)


def recall_at_precision(
    scores: ArrayLike,
    positive: ArrayLike,
    level: float = 80.0,
    weights: ArrayLike | None = None,
    interpolated: bool = False,
) -> float:
    """Return the largest recall whose precision is at least a level, in percent; 0 where none is.

    A precision of exactly the level counts.

    Parameters
    ----------
    scores, positive, weights : as :func:`precision_recall` takes them.
    level : precision to reach, in percent.
    interpolated : go on, from the last operating point that reaches the level, along the straight line to
        the next one in the plane of recall and precision, up to where precision equals the level.  Without
        a next point recall is 100 already, and where no point reaches the level it remains 0.  The value is
        never smaller.  (No threshold yields it, and between two operating points precision is not linear in
        recall: it serves to compare with numbers computed so.)

    Raises
    ------
    UsageError, ValueError : as :func:`precision_recall`; UsageError also for a level outside 0 to 100.

    Examples
    --------
    >>> recall_at_precision([0.9, 0.8, 0.7, 0.6], [True, False, False, True])
    50.0
    """
    _check_level(level)
    precision, recall, _ = precision_recall(scores, positive, weights)
    reaching = np.flatnonzero(_reaches(precision, level))
    if not len(reaching):
        return 0.0
    last = reaching[-1]
    if not interpolated or last + 1 == len(recall):
        return float(recall[last])
    (above, below), (left, right) = precision[last : last + 2], recall[last : last + 2]
    return float(_cross(level, above, below, left, right))


def is_hard(scores: ArrayLike) -> bool:
    """Return whether every score is exactly 0 or 1: labels, with one operating point and nothing to sweep.

    The operating point of such labels is the first that :func:`precision_recall` returns (threshold 1).

    Examples
    --------
    >>> is_hard([0, 1, 1]), is_hard([0, 0.5, 1])
    (True, False)
    """
    s = np.asarray(scores)
    return bool(((s == 0) | (s == 1)).all())


class _Steps(NamedTuple):
    """The operating points at which recall may rise, for faces present so many times."""

    before: Floats  # predicted positive down to just above the threshold
    predicted: Floats  # predicted positive at the threshold
    found: Floats  # of these, truly positive


@dataclass(frozen=True, eq=False)
class PooledCurve:
    """Precision and recall over the pooled points of faces, for any numbers of times that faces are counted.

    The points are sorted once, however many resamples of the faces follow.  Every value equals that of the
    plain function over the points of the faces repeated as often.

    Attributes
    ----------
    scores : (n, K) of n faces, higher means more positive.
    positive : (n, K) bool.
    mask : (n, K) bool: the points that count.  Elsewhere scores may be NaN.

    Raises
    ------
    UsageError : a score that counts is NaN.
    ValueError : the shapes do not fit, or ``positive`` or ``mask`` is not bool.

    Examples
    --------
    >>> import numpy as np
    >>> scores, positive = np.array([[0.9, 0.4], [0.8, 0.1]]), np.array([[True, True], [False, False]])
    >>> curve = PooledCurve(scores, positive, np.ones((2, 2), bool))
    >>> curve.recall_at_precision([[1.0, 1.0], [1.0, 0.0], [0.0, 2.0]])
    array([ 50., 100.,  nan])
    """

    scores: Floats
    positive: NDArray[np.bool_]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _checked(self.scores, self.positive, dimensions=2, mask=self.mask)

    def average_precision(self, counts: ArrayLike) -> Floats:
        """Return the (b,) average precisions when the faces are present (b, n) ``counts`` times, in percent.

        Counts are 0 or more.  NaN where no positive point is left.
        """
        return np.array([_average_precision(self._steps(row)) for row in self._rows(counts)])

    def recall_at_precision(
        self, counts: ArrayLike, level: float = 80.0, interpolated: bool = False
    ) -> Floats:
        """Return the (b,) largest recalls whose precision is at least a level, in percent.

        Parameters
        ----------
        counts : (b, n) how often each face is present, 0 or more.
        level, interpolated : as :func:`recall_at_precision` takes them.

        Returns
        -------
        (b,) percent; NaN where no positive point is left.

        Raises
        ------
        UsageError : the level is outside 0 to 100.
        """
        _check_level(level)
        rows = self._rows(counts)
        return np.array([_recall_at_precision(self._steps(row), level, interpolated) for row in rows])

    def _rows(self, counts: ArrayLike) -> Floats:
        c = np.asarray(counts, float)
        if c.ndim != 2 or c.shape[1] != len(self.scores):
            msg = f"expected (b, {len(self.scores)}) counts, found shape {c.shape}"
            raise ValueError(msg)
        return c

    @cached_property
    def _ranked(self) -> tuple[Integers, Integers, Integers, Integers, Integers]:
        """What a row of counts is summed by, over the points in descending order of their scores.

        The face of each point and of each positive point; and, for each distinct score that a positive
        point has, how many points lie above it, at or above it, and how many positive points do the latter.
        (At the other scores recall stays and precision falls: no summary needs these operating points.)
        """
        mask, scores = np.asarray(self.mask), np.asarray(self.scores, float)
        faces = np.nonzero(mask)[0]
        s, p = scores[mask], np.asarray(self.positive)[mask]
        order = np.argsort(-s, kind="stable")
        s, p, faces = s[order], p[order], faces[order]
        ends = np.flatnonzero(np.append(s[1:] != s[:-1], np.ones(min(len(s), 1), bool))) + 1
        starts = np.append(0, ends)[:-1]
        ranks = np.append(0, np.cumsum(p))
        rising = ranks[ends] > ranks[starts]
        starts, ends = starts[rising], ends[rising]
        return faces, faces[p], starts, ends, ranks[ends]

    def _steps(self, row: Floats) -> _Steps:
        # One row at a time: its running sums stay in the processor's cache.
        faces, positives, starts, ends, ranks = self._ranked
        up_to, found = np.zeros(len(faces) + 1), np.zeros(len(positives) + 1)
        np.cumsum(row[faces], out=up_to[1:])
        np.cumsum(row[positives], out=found[1:])
        return _Steps(up_to[starts], up_to[ends], found[ranks])


def _average_precision(steps: _Steps) -> float:
    _, predicted, found = steps
    if not len(found) or not found[-1]:
        return np.nan
    # Where nothing is predicted yet nothing is found either: 0 of 1 instead of 0 of 0.
    gain = np.diff(found, prepend=0.0)
    return float(100.0 * (gain @ (found / np.where(predicted > 0, predicted, 1.0))) / found[-1])


def _recall_at_precision(steps: _Steps, level: float, interpolated: bool) -> float:
    before, predicted, found = steps
    if not len(found) or not found[-1]:
        return np.nan
    precision = 100.0 * (found / np.where(predicted > 0, predicted, 1.0))
    reaching = np.flatnonzero(_reaches(precision, level))
    if not len(reaching):
        return 0.0
    last = reaching[-1]
    left = 100.0 * (found[last] / found[-1])
    if not interpolated or last + 1 == len(found):
        return float(left)
    # Negative points between the two steps lower the precision at the same recall: the last operating
    # point that reaches the level may be below the step, and if it is not the last of them, recall stays.
    above = 100.0 * (found[last] / before[last + 1])
    if not _reaches(above, level):
        return float(left)
    right = 100.0 * (found[last + 1] / found[-1])
    return float(_cross(level, above, precision[last + 1], left, right))


def _reaches(precision: Floats, level: float) -> NDArray[np.bool_]:
    return precision >= level * (1.0 - TOLERANCE)


def _cross(level: float, above: float, below: float, left: float, right: float) -> float:
    """Return the recall at which a line from (left, above) down to (right, below) meets the level."""
    return left + (right - left) * max(0.0, (above - level) / (above - below))


def _check_level(level: float) -> None:
    if not 0.0 <= level <= 100.0:
        msg = f"level must be a precision from 0 to 100 %, not {level}."
        raise UsageError(msg)


def _checked(
    scores: ArrayLike, positive: ArrayLike, *, dimensions: int, mask: ArrayLike | None = None
) -> tuple[Floats, NDArray[np.bool_]]:
    s, p = np.asarray(scores, float), np.asarray(positive)
    m = np.ones(s.shape, bool) if mask is None else np.asarray(mask)
    if s.ndim != dimensions or p.shape != s.shape or m.shape != s.shape:
        what = "scores, positive" if mask is None else "scores, positive and mask"
        shapes = ", ".join(str(one.shape) for one in ((s, p) if mask is None else (s, p, m)))
        msg = f"expected {what} of one shape with {dimensions} axes, found {shapes}"
        raise ValueError(msg)
    # The states of landmarks are integers too, and most of them are "true".
    if p.dtype != bool or m.dtype != bool:
        msg = f"expected positive and mask to be bool, found {p.dtype} and {m.dtype}"
        raise ValueError(msg)
    undefined = int(np.isnan(s[m]).sum())
    if undefined:
        msg = f"{undefined} of {int(m.sum())} scores are NaN; a point that counts needs a score."
        raise UsageError(msg)
    return s, p

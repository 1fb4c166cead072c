"""Exact summaries of an error vector: AUC, failure and success rates as means of per-face shares.

``CED(x)`` is the share of faces with an error of at most x.  The area under it up to t, divided by t, is
the integral of a step function, and equals ``mean(max(0, 1 - e / t))`` exactly: no grid, no integration
rule, no missing tail (PROTOCOLS 3.3).  A NaN error (no such face) stays NaN; an infinite one (a missed
face) is a failure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["area_under_ced", "auc_share", "failure", "success"]

Floats = NDArray[np.float64]


def auc_share(errors: ArrayLike, threshold: float) -> Floats:
    """Return what each face adds to the AUC at a threshold, in percent: its mean is the AUC."""
    return 100.0 * np.maximum(0.0, 1.0 - np.asarray(errors, float) / threshold)


def failure(errors: ArrayLike, threshold: float) -> Floats:
    """Return 100 for each face with an error above the threshold, else 0: its mean is the FR."""
    e = np.asarray(errors, float)
    return np.where(np.isnan(e), np.nan, 100.0 * (e > threshold))


def success(errors: ArrayLike, threshold: float) -> Floats:
    """Return 100 for each face with an error of at most the threshold, else 0."""
    return 100.0 - failure(errors, threshold)


def area_under_ced(errors: ArrayLike, threshold: float) -> float:
    """Return the exact AUC of the cumulative error distribution, in percent.

    Examples
    --------
    >>> area_under_ced([0.0, 4.0, 8.0, 20.0], threshold=8.0)
    37.5
    """
    return float(auc_share(errors, threshold).mean())

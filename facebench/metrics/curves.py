"""Numbers read off a published cumulative error curve, where the errors behind it are not published.

Such a curve is a table of errors x, ascending, with the share of faces whose error is at most x.  The authors
of MNN publish one for each method they compare with; their rule (PROTOCOLS 3.3) integrates the points below
the threshold by Simpson's rule and leaves out the strip from the last of them to the threshold.  Where the
errors themselves are at hand, :func:`facebench.metrics.area_under_ced` is exact and to be preferred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError

__all__ = ["auc_of_curve", "failure_of_curve"]

Floats = NDArray[np.float64]


def auc_of_curve(x: ArrayLike, share: ArrayLike, threshold: float) -> float:
    """Return the area under a published curve up to a threshold, divided by the threshold, in percent.

    Parameters
    ----------
    x : (n,) errors, ascending; points from the threshold on are left out.
    share : (n,) shares of faces with an error of at most x, from 0 to 1.
    threshold : in the unit of ``x``.

    Raises
    ------
    UsageError : the numbers are no such curve, or no point of it is below the threshold.

    Examples
    --------
    >>> auc_of_curve([2.0, 4.0, 6.0, 9.0], [0.0, 0.5, 1.0, 1.0], threshold=8.0)
    25.0
    """
    from scipy.integrate import simpson

    errors, shares = _below(x, share, threshold)
    return 100.0 * float(simpson(shares, x=errors)) / threshold


def failure_of_curve(x: ArrayLike, share: ArrayLike, threshold: float) -> float:
    """Return the share of faces beyond the last point of a published curve below a threshold, in percent.

    Parameters and errors are those of :func:`auc_of_curve`.

    Examples
    --------
    >>> failure_of_curve([2.0, 4.0, 9.0], [0.5, 0.75, 1.0], threshold=8.0)
    25.0
    """
    return 100.0 * float(1.0 - _below(x, share, threshold)[1][-1])


def _below(x: ArrayLike, share: ArrayLike, threshold: float) -> tuple[Floats, Floats]:
    """Return the points of a curve below a threshold, after checking that it is one."""
    errors, shares = np.asarray(x, float), np.asarray(share, float)
    if errors.ndim != 1 or errors.shape != shares.shape:
        msg = f"expected as many shares as errors, found shapes {shares.shape} and {errors.shape}."
        raise UsageError(msg)
    rising = bool((np.diff(errors) > 0).all() and (np.diff(shares) >= 0).all())
    if not rising or not bool(((shares >= 0) & (shares <= 1)).all()):
        msg = "expected errors that ascend, with shares of faces that never fall, from 0 to 1."
        raise UsageError(msg)
    kept = errors < threshold
    if not kept.any():
        msg = f"no point of the curve is below the threshold of {threshold:g}."
        raise UsageError(msg)
    return errors[kept], shares[kept]

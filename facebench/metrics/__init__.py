"""Errors of landmarks and poses, exact summaries of them, and bootstrap intervals.

Arrays in, arrays out; nothing here knows a file or a dataset.

Conventions
-----------
An error is a vector with one value per face; every published number is a summary of such a vector (a
mean, a share, a percentile), so that one set of resampled faces gives the intervals of all of them.
Landmark errors, AUC, FR and success rates are in percent, pose errors in degrees.  A face that a method
missed has an infinite error where a protocol counts missing faces as failures.
"""

from facebench.metrics.landmarks import (
    EYE_NORMALISERS,
    NORMALISERS,
    masked_mean,
    nme,
    normalising_distance,
    point_errors,
)
from facebench.metrics.pose import axis_errors, euler_errors
from facebench.metrics.resampling import Estimate, Statistic, estimate
from facebench.metrics.summaries import area_under_ced, auc_share, failure, success

__all__ = [
    "EYE_NORMALISERS",
    "NORMALISERS",
    "Estimate",
    "Statistic",
    "area_under_ced",
    "auc_share",
    "axis_errors",
    "estimate",
    "euler_errors",
    "failure",
    "masked_mean",
    "nme",
    "normalising_distance",
    "point_errors",
    "success",
]

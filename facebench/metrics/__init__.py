"""Errors of landmarks and poses, exact summaries of them, and bootstrap intervals.

Arrays in, arrays out; nothing here knows a file or a dataset.

Conventions
-----------
An error is a vector with one value per face; every published number is a summary of such a vector (a
mean, a share, a percentile), so that one set of resampled faces gives the intervals of all of them.
Landmark errors, AUC, FR and success rates are in percent, pose errors in degrees.  A face that a method
missed has an infinite error where a protocol counts missing faces as failures.
"""

from facebench.metrics.accumulator import Accumulator
from facebench.metrics.alignment import SIDES, align
from facebench.metrics.comparison import Difference, differences, holm
from facebench.metrics.curves import auc_of_curve, failure_of_curve
from facebench.metrics.engines import (
    ENGINES,
    Balanced,
    Engine,
    Rule,
    engine_auc,
    engine_balanced,
    engine_euler_errors,
    engine_failure,
    engine_nme,
    engine_normalising_distance,
    get_engine,
)
from facebench.metrics.landmarks import (
    EYE_NORMALISERS,
    NORMALISERS,
    masked_mean,
    nme,
    normalising_distance,
    point_errors,
)
from facebench.metrics.pose import axis_errors, euler_errors, yaw_class, yaw_confusion
from facebench.metrics.resampling import INTERVALS, Estimate, Statistic, Table, estimate
from facebench.metrics.suites import Columns, LandmarkSuite, Metric, PoseSuite, Suite, VisibilitySuite
from facebench.metrics.summaries import area_under_ced, auc_share, failure, success
from facebench.metrics.visibility import (
    PooledCurve,
    average_precision,
    is_hard,
    precision_recall,
    recall_at_precision,
)

__all__ = [
    "ENGINES",
    "EYE_NORMALISERS",
    "INTERVALS",
    "NORMALISERS",
    "SIDES",
    "Balanced",
    "Accumulator",
    "Columns",
    "Engine",
    "Difference",
    "Estimate",
    "LandmarkSuite",
    "Metric",
    "PooledCurve",
    "PoseSuite",
    "Rule",
    "Statistic",
    "Suite",
    "Table",
    "VisibilitySuite",
    "align",
    "area_under_ced",
    "auc_of_curve",
    "auc_share",
    "average_precision",
    "axis_errors",
    "engine_auc",
    "engine_balanced",
    "engine_euler_errors",
    "engine_failure",
    "engine_nme",
    "engine_normalising_distance",
    "differences",
    "estimate",
    "euler_errors",
    "failure",
    "failure_of_curve",
    "get_engine",
    "holm",
    "is_hard",
    "masked_mean",
    "nme",
    "normalising_distance",
    "point_errors",
    "precision_recall",
    "recall_at_precision",
    "success",
    "yaw_class",
    "yaw_confusion",
]

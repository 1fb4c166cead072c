"""AUC and FR of MNN and the methods beside it, from the curves that MNN's authors published.

The curves are those of pcr-upm/images_framework, ``output/cum/landmarks``: errors in percent and the share of
faces up to them, each curve a histogram's left edges.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from facebench.errors import UsageError
from facebench.metrics import auc_of_curve, engine_auc, engine_failure, failure_of_curve

# Who the authors' files are named after.
FILES = {
    "MNN+OERT": "valle20", "RCPR": "burgos13", "SAN": "dong18", "RCN": "honari16", "ERT": "kazemi14",
    "cGPRT": "lee15", "DAN": "marek17", "DCFE": "valle18", "3DDE": "valle19a", "CHR2C": "valle19b",
    "LAB": "wu18",
}  # fmt: skip

# Data set, threshold in percent, method, AUC and FR in percent, as recomputed from these curves by others.
# Normalisers (PROTOCOLS 3.2): 300w_public and cofw the pupils, 300w_private and wflw the outer eye corners,
# aflw the height of the box.  Published with three digits, of which trailing zeros were lost.
TABLE = """
300w_public    8 MNN+OERT   46.971   6.531
300w_public    8 RCPR       28.912   21.48
300w_public    8 SAN        32.298  15.965
300w_public    8 RCN        38.563  11.611
300w_public    8 ERT        31.235  23.077
300w_public    8 cGPRT      39.081  14.078
300w_public    8 DAN        39.004   8.273
300w_public    8 DCFE       45.711   7.257
300w_public    8 3DDE       46.901   6.096
300w_public    8 CHR2C      43.821   6.967
300w_private   8 MNN+OERT   54.524     1.5
300w_private   8 RCN        43.713     2.5
300w_private   8 ERT        32.201    19.0
300w_private   8 cGPRT      41.323  12.833
300w_private   8 DAN        46.956   2.667
300w_private   8 DCFE       52.429   1.833
300w_private   8 3DDE       53.942   2.333
300w_private   8 CHR2C      52.858   0.833
cofw           8 MNN+OERT   38.808   5.325
cofw           8 RCN        28.893  13.609
cofw           8 ERT        21.109  30.769
cofw           8 DCFE       35.864   7.298
cofw           8 3DDE       38.187   6.509
cofw           8 CHR2C      37.378   5.128
aflw           4 MNN+OERT   51.288   2.113
aflw           4 RCN        44.696   4.039
aflw           4 ERT        31.407  14.209
aflw           4 DCFE       47.166   3.376
aflw           4 3DDE       50.034   3.293
aflw           4 CHR2C      50.834   1.864
wflw          10 MNN+OERT   56.684    4.84
wflw          10 RCN        50.299    6.88
wflw          10 ERT         36.82   23.48
wflw          10 3DDE       55.447    5.04
wflw          10 CHR2C      57.554    3.56
wflw          10 LAB        53.256    7.56
"""
ROWS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


@pytest.fixture(scope="module")
def curves(real_data):
    def read(place: str) -> np.ndarray:
        with zipfile.ZipFile(real_data / "oracles" / "ced_curves.zip") as archive:
            return np.loadtxt(io.BytesIO(archive.read(f"{place}.txt"))).T

    return read


@pytest.mark.parametrize(("data", "threshold", "method", "auc", "fr"), ROWS)
def test_auc_and_failure_rate_of_published_curves(curves, data, threshold, method, auc, fr):
    x, share = curves(f"{data}/{FILES[method]}")
    found = auc_of_curve(x, share, float(threshold)), failure_of_curve(x, share, float(threshold))
    assert tuple(round(one, 3) for one in found) == (float(auc), float(fr))


def test_trapezoids_do_not_reproduce_the_last_digit(curves):
    """Simpson's rule is what the numbers were computed by: no other rule gives all of them."""
    off = {"trapezoids": 0, "steps": 0, "with the strip up to the threshold": 0}
    for data, threshold, method, auc, _ in ROWS:
        x, share = curves(f"{data}/{FILES[method]}")
        t = float(threshold)
        x, share = x[x < t], share[x < t]
        trapezoids = (np.diff(x) * (share[1:] + share[:-1])).sum() / 2
        steps = (np.diff(np.append(x, t)) * share).sum()
        whole = auc_of_curve(x, share, t) * t / 100 + (t - x[-1]) * share[-1]
        for name, area in zip(off, (trapezoids, steps, whole), strict=True):
            off[name] += round(100 * area / t, 3) != float(auc)
    assert off["trapezoids"] >= 5
    assert off["steps"] > 30
    assert off["with the strip up to the threshold"] == len(ROWS)


@pytest.mark.parametrize("threshold", [4.0, 8.0])
def test_the_curve_of_errors_gives_what_the_authors_code_gives(threshold):
    errors = np.random.default_rng(4).lognormal(1.3, 0.4, 500)
    counts, edges = np.histogram(errors, bins=10_000)
    share = counts.cumsum() / len(errors)
    assert auc_of_curve(edges[:-1], share, threshold) == pytest.approx(engine_auc(errors, threshold, "upm"))
    expected = engine_failure(errors, threshold, "upm")
    assert failure_of_curve(edges[:-1], share, threshold) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "share", "message"),
    [
        ([1, 2], [0.5], "as many shares as errors"),
        ([2, 1], [0.5, 0.6], "errors that ascend"),
        ([1, 1], [0.5, 0.6], "errors that ascend"),
        ([1, 2], [0.6, 0.5], "never fall"),
        ([1, 2], [50, 60], "from 0 to 1"),
        ([1, 2], [0.5, np.nan], "from 0 to 1"),
        ([8, 9], [0.5, 0.6], "below the threshold of 8"),
        ([], [], "below the threshold of 8"),
    ],
)
def test_what_is_no_curve_is_refused(x, share, message):
    for rule in (auc_of_curve, failure_of_curve):
        with pytest.raises(UsageError, match=message):
            rule(x, share, 8.0)

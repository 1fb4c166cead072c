"""Published numbers of SPIGA on the 689 faces of 300W (PROTOCOLS 3.2, 3.7), from its stored predictions.

They are the outside check of the eye normalisers, which AFLW2000-3D is not scored by.
"""

from __future__ import annotations

import numpy as np
import pytest

from facebench.geometry import euler_to_rotation, geodesic_distance, rotation_to_euler
from facebench.metrics import (
    area_under_ced,
    axis_errors,
    euler_errors,
    failure,
    nme,
    normalising_distance,
)

COMMON, CHALLENGING = slice(0, 554), slice(554, 689)


@pytest.fixture(scope="module")
def spiga(real_data):
    with np.load(real_data / "oracles" / "spiga_300w_public.npz") as stored:
        return {name: stored[name] for name in stored.files}


def check(measured, published):
    """Compare with numbers published with four digits after the point."""
    np.testing.assert_allclose(measured, published, rtol=0, atol=0.5000001e-4)


def errors_of(spiga, normaliser):
    truth = spiga["gt_landmarks68"]
    return nme(spiga["pred_landmarks68"], truth, normalising_distance(truth, normaliser))


@pytest.mark.parametrize(
    ("normaliser", "full", "common", "challenging"),
    [
        ("corners", 2.9937, 2.5871, 4.6623),
        ("pupils6", 4.2034, 3.5871, 6.7325),
        ("pupils-corners", 4.2338, 3.6160, 6.7688),
        ("box-height", 1.7497, 1.5663, 2.5026),
        ("box-sqrt", 1.7417, 1.5522, 2.5193),
        ("box-diagonal", 1.2294, 1.0960, 1.7767),
    ],
)
def test_nme(spiga, normaliser, full, common, challenging):
    errors = errors_of(spiga, normaliser)
    check([errors.mean(), errors[COMMON].mean(), errors[CHALLENGING].mean()], [full, common, challenging])


@pytest.mark.parametrize(
    ("normaliser", "threshold", "auc", "fr"),
    [
        ("corners", 8, 62.7205, 0.7257),
        ("corners", 10, 70.0858, 0.2903),
        ("pupils6", 8, 48.5976, 4.0639),
    ],
)
def test_exact_auc_and_failure_rate(spiga, normaliser, threshold, auc, fr):
    errors = errors_of(spiga, normaliser)
    check([area_under_ced(errors, threshold), failure(errors, threshold).mean()], [auc, fr])


@pytest.mark.parametrize(
    ("normaliser", "percent"),
    [
        ("pupils6", 1.1340),
        ("pupils-corners", 1.1408),
        ("corners", 0.8047),
        ("box-sqrt", 0.4652),
        ("box-diagonal", 0.3284),
    ],
)
def test_what_one_pixel_everywhere_amounts_to(spiga, normaliser, percent):
    truth = spiga["gt_landmarks68"]
    one_pixel_off = truth + np.array([0.6, 0.8])
    check(nme(one_pixel_off, truth, normalising_distance(truth, normaliser)).mean(), percent)


def test_pose_errors(spiga):
    predicted, truth = (spiga[f"{whose}_headpose"][:, :3] for whose in ("pred", "gt"))
    errors = euler_errors(predicted, truth)
    check(errors.mean(axis=0), [1.4117, 1.7012, 0.7717])
    means = [errors.mean(), errors[COMMON].mean(), errors[CHALLENGING].mean()]
    check(means, [1.2948, 1.1383, 1.9374])


def test_the_same_pose_errors_as_rotations_and_in_the_other_order(spiga):
    rotations = [euler_to_rotation(spiga[f"{whose}_headpose"][:, :3], "mnn-yxz") for whose in ("pred", "gt")]
    check(geodesic_distance(*rotations).mean(), 2.6580)
    check(axis_errors(*rotations).mean(), 2.0625)
    check(euler_errors(*(rotation_to_euler(one, "raw-xyz") for one in rotations)).mean(), 1.2970)

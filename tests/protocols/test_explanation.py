"""What other rules make of predictions, against the same numbers computed apart."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

import facebench
from facebench import Predictions
from facebench.errors import InvalidData, UsageError
from facebench.formats import AnnotationSet
from facebench.geometry import CONVENTIONS, VISIBILITY, rotation_to_euler
from facebench.metrics import ENGINES, engine_auc, engine_failure
from facebench.protocols import Explanation, explain, get_protocol
from tests.protocols.hand_made import write

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"


@pytest.fixture(scope="module")
def dataset(drawn: Path):
    return facebench.open_dataset(drawn)


@pytest.fixture(scope="module")
def predictions(dataset):
    rng = np.random.default_rng(1)
    points = dataset.annotations["original"].points
    euler = rotation_to_euler(dataset.rotation, "raw-xyz")
    return Predictions(
        dataset="aflw2000",
        method="noisy",
        ids=list(dataset.ids),
        landmarks=points + rng.normal(0, 5, points.shape),
        euler=euler + rng.normal(0, 4, euler.shape),
        euler_convention="raw-xyz",
        scheme="ibug68",
    )


def readings(found):
    keys = [(one.measure, one.rule) for one in found.readings]
    assert len(set(keys)) == len(keys)
    return {(one.measure, one.rule): one for one in found.readings}


def without(predictions, rows):
    landmarks, euler = predictions.landmarks.copy(), predictions.euler.copy()
    landmarks[rows], euler[rows] = np.nan, np.nan
    return dataclasses.replace(predictions, landmarks=landmarks, euler=euler)


SIZES = {
    "box-sqrt": lambda g: math.sqrt(np.ptp(g[:, 0]) * np.ptp(g[:, 1])),
    "box-height": lambda g: np.ptp(g[:, 1]),
    "box-diagonal": lambda g: math.hypot(np.ptp(g[:, 0]), np.ptp(g[:, 1])),
    "box-max": lambda g: max(np.ptp(g[:, 0]), np.ptp(g[:, 1])),
    "corners": lambda g: math.dist(g[36], g[45]),
    "pupils6": lambda g: math.dist(g[36:42].mean(axis=0), g[42:48].mean(axis=0)),
    "pupils-corners": lambda g: math.dist((g[36] + g[39]) / 2, (g[42] + g[45]) / 2),
}


def test_normalisers_are_those_of_a_loop_over_faces(dataset, predictions):
    found = readings(explain(predictions, ORIGINAL, dataset))
    truth = dataset.annotations["original"].points
    distances = np.linalg.norm(predictions.landmarks - truth, axis=2).mean(axis=1)
    for name, size in SIZES.items():
        expected = np.mean([100 * d / size(g) for d, g in zip(distances, truth, strict=True)])
        assert found["NME", name].value == pytest.approx(expected), name
    first = found["NME", "box-sqrt"].value
    assert {found["NME", name].exact for name in SIZES if name != "box-sqrt"} == {first}
    assert first == pytest.approx(facebench.score(predictions, ORIGINAL, dataset).get("nme/box-sqrt").value)


def test_the_first_reading_is_the_headline_of_the_score(dataset, predictions):
    for protocol in (ORIGINAL, POSE):
        found, result = (
            explain(predictions, protocol, dataset),
            facebench.score(predictions, protocol, dataset),
        )
        assert found.readings[0].value == pytest.approx(result.headline.value, rel=1e-12)
        assert found.readings[0].exact is None
        assert found.signature in result.signature.replace("|interval:bootstrap-1000-seed-0", "")
        assert (found.method, found.n) == ("noisy", result.n)


def test_exact_areas_and_failures_are_those_of_the_score(dataset, predictions):
    found, result = (
        readings(explain(predictions, ORIGINAL, dataset)),
        facebench.score(predictions, ORIGINAL, dataset),
    )
    protocol = get_protocol(ORIGINAL)
    for t in protocol.normalisers[protocol.normaliser]:
        for measure, key in ((f"AUC@{t:g}", f"auc{t:g}"), (f"FR@{t:g}", f"fr{t:g}")):
            exact = result.get(f"{key}/{protocol.normaliser}").value
            assert found[measure, "exact"].value == pytest.approx(exact)
            rule = key.removesuffix(f"{t:g}")
            shown = {name for name in ENGINES if (measure, f"engine {name}") in found}
            assert shown == {name for name, engine in ENGINES.items() if rule in engine.rules}


def test_engines_get_the_errors_of_the_headline(dataset, predictions):
    found = readings(explain(predictions, ORIGINAL, dataset))
    errors = facebench.score(predictions, ORIGINAL, dataset).per_face["nme/box-sqrt"]
    t = get_protocol(ORIGINAL).normalisers["box-sqrt"][0]
    for name, engine in ENGINES.items():
        if "auc" in engine.rules:
            one = found[f"AUC@{t:g}", f"engine {name}"]
            assert one.value == engine_auc(errors, t, name)
            assert one.exact == found[f"AUC@{t:g}", "exact"].value
            assert one.why == engine.rules["auc"].why
        if "fr" in engine.rules:
            assert found[f"FR@{t:g}", f"engine {name}"].value == engine_failure(errors, t, name)


def test_whole_pixels_of_upm_are_those_of_a_loop(dataset, predictions):
    found = readings(explain(predictions, ORIGINAL, dataset))
    expected = []
    for p, g in zip(predictions.landmarks, np.round(dataset.annotations["original"].points), strict=True):
        size = math.sqrt((np.ptp(g[:, 0]) + 1) * (np.ptp(g[:, 1]) + 1))
        expected.append(100 * np.linalg.norm(p - g, axis=1).mean() / size)
    assert found["NME", "engine upm"].value == pytest.approx(np.mean(expected))
    # With no point missing, a division by all points is the exact one.
    assert found["NME", "engine spiga"].value == pytest.approx(found["NME", "box-sqrt"].value)


def test_conventions_are_those_of_a_loop_over_faces(dataset, predictions):
    found = readings(explain(predictions, POSE, dataset))
    rows = dataset.split("valid")
    for name in CONVENTIONS:
        given, truth = predictions.eulers(name)[rows], rotation_to_euler(dataset.rotation[rows], name)
        errors = [[min(abs(e) % 360, 360 - abs(e) % 360) for e in face] for face in given - truth]
        assert found["MAE", name].value == pytest.approx(np.mean(errors)), name
        assert found["MAE", name].unit == "°"
    score = facebench.score(predictions, POSE, dataset)
    for side in ("left", "right"):
        for title, key in (("MAE", "mae/raw-xyz"), ("Geodesic", "geodesic")):
            one = found[title, f"aligned {side}"]
            assert one.value == pytest.approx(score.get(f"{key}/aligned-{side}").value)
            assert one.exact == pytest.approx(score.get(key).value)


def test_an_error_of_180_degrees_counts_as_none_for_6drepnet(dataset, predictions):
    euler = rotation_to_euler(dataset.rotation, "raw-xyz")
    turned = dataclasses.replace(predictions, euler=euler + np.array([0, 0, 180.0]))
    found = readings(explain(turned, POSE, dataset))
    assert found["MAE", "raw-xyz"].value == pytest.approx(60)
    assert found["MAE", "engine 6drepnet"].value == pytest.approx(0, abs=1e-6)


def test_three_bins_of_yaw_are_those_of_a_loop(dataset, predictions):
    found = readings(explain(predictions, ORIGINAL, dataset))["NME, balanced", "engine 3ddfa"]
    errors = np.array(facebench.score(predictions, ORIGINAL, dataset).per_face["nme/box-sqrt"])
    bins = [errors[dataset.split(name)] for name in ("yaw-raw-0-30", "yaw-raw-30-60", "yaw-raw-60-90")]
    assert found.value == pytest.approx(np.mean([one.mean() for one in bins]))
    assert found.exact == pytest.approx(
        facebench.score(predictions, ORIGINAL, dataset).get("nme/box-sqrt", "balanced").value
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("protocol", [ORIGINAL, POSE])
def test_one_engine_is_shown_after_the_number_to_quote(dataset, predictions, engine, protocol):
    every = explain(predictions, protocol, dataset)
    wanted = [one for one in every.readings if one.rule == f"engine {engine}"]
    if not wanted:
        with pytest.raises(UsageError, match=f"the engine '{engine}' .* has no rule for what it measures"):
            explain(predictions, protocol, dataset, engine=engine)
        return
    assert explain(predictions, protocol, dataset, engine=engine).readings == [every.readings[0], *wanted]


def test_refusals(dataset, predictions):
    with pytest.raises(UsageError, match=r"Unknown engine 'nonsense'. Known engines: upm"):
        explain(predictions, POSE, dataset, engine="nonsense")
    with pytest.raises(InvalidData, match="image90004"):
        explain(without(predictions, [3]), ORIGINAL, dataset)


def test_missed_faces_are_infinite_in_every_own_reading_as_in_the_score(dataset, predictions):
    few = without(predictions, [3])
    for protocol in (ORIGINAL, POSE):
        found = explain(few, protocol, dataset, missing="fail")
        own = [one for one in found.readings if one.measure in ("NME", "MAE") and "engine" not in one.rule]
        assert {one.value for one in own if "aligned" not in one.rule} == {math.inf}
        result = facebench.score(few, protocol, dataset, missing="fail")
        assert found.n == result.n
    found = readings(explain(few, ORIGINAL, dataset, missing="fail"))
    result = facebench.score(few, ORIGINAL, dataset, missing="fail")
    t = get_protocol(ORIGINAL).normalisers["box-sqrt"][0]
    assert found[f"AUC@{t:g}", "exact"].value == pytest.approx(result.get(f"auc{t:g}/box-sqrt").value)
    assert found[f"FR@{t:g}", "exact"].value == pytest.approx(result.get(f"fr{t:g}/box-sqrt").value)
    # The code of upm skips a face without prediction.
    skipping = readings(explain(few, ORIGINAL, dataset, missing="exclude"))
    assert found["NME", "engine upm"].value == pytest.approx(skipping["NME", "engine upm"].value)


def test_excluded_faces_are_left_out(dataset, predictions):
    found = explain(without(predictions, [3]), ORIGINAL, dataset, missing="exclude")
    assert found.n == 35
    assert "missing:exclude-1" in found.signature
    assert all(math.isfinite(one.value) for one in found.readings)


@pytest.mark.parametrize("protocol", [ORIGINAL, POSE])
def test_json_reads_back(dataset, predictions, protocol):
    found = explain(predictions, protocol, dataset)
    assert Explanation.model_validate_json(found.model_dump_json()) == found


@pytest.fixture
def cofw(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (6, 29, 2))
    states = np.full((6, 29), VISIBILITY["visible"], np.uint8)
    states[:, ::3] = VISIBILITY["occluded"]
    labels = {"cofw29": AnnotationSet("cofw29", points, states)}
    ids = [f"face{number}" for number in range(6)]
    return write(tmp_path / "cofw.h5", "cofw", ids, annotations=labels, splits={"test": np.arange(6)})


def of_cofw(dataset):
    points = dataset.annotations["cofw29"].points
    return Predictions(
        dataset="cofw", method="m", ids=list(dataset.ids), landmarks=points + 1, scheme="cofw29",
        visibility=np.full((6, 29), 0.7),
    )  # fmt: skip


def test_visibility_is_refused(cofw):
    with pytest.raises(UsageError, match="cofw/visibility-cofw29: only landmarks and pose"):
        explain(of_cofw(cofw), "cofw/visibility-cofw29", cofw)


def test_without_poses_there_are_no_yaw_bins_and_only_normalisers_of_the_scheme(cofw):
    found = readings(explain(of_cofw(cofw), "cofw/landmarks-cofw29", cofw))
    assert not [rule for _, rule in found if "3ddfa" in rule]
    rules = {rule for measure, rule in found if measure == "NME"}
    assert {"pupils-contour", "pupils-annotated", "pupils-part", "corners", "box-sqrt"} <= rules
    assert "pupils6" not in rules

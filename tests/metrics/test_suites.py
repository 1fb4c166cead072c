from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sklearn import metrics as sklearn_metrics

from facebench.errors import InvalidData, UsageError
from facebench.geometry import VISIBILITY, euler_to_rotation, get_scheme, rotation_to_euler
from facebench.metrics import Columns, LandmarkSuite, PoseSuite, Statistic, VisibilitySuite, estimate

NAN, INF = np.nan, np.inf
UNKNOWN, VISIBLE, OCCLUDED, HIDDEN = (VISIBILITY[n] for n in ("unknown", "visible", "occluded", "hidden"))

COFW = get_scheme("cofw29")
COUNT, POINTS = 40, len(COFW)
EYES = [k for k, part in enumerate(COFW.parts) if part in ("left_eye", "right_eye")]

LANDMARKS = LandmarkSuite(
    scheme="cofw29",
    normalisers={
        "pupils-contour": (8, 10),
        "pupils-part": (),
        "pupils-annotated": (8,),
        "corners": (2.5,),
        "box-height@dataset": (4,),
        "box-sqrt@dataset": (),
        "box-sqrt": (7,),
        "box-height": (),
        "box-diagonal": (),
        "box-max": (),
    },
    apart=("visible", "occluded"),
)
POSE = PoseSuite(convention="raw-xyz", also=("mnn-yxz", "upm-xyz"), thresholds=(2.5, 5.0, 15.0))
HIDDEN_POINTS = VisibilitySuite(scheme="cofw29")
EVERY_SUITE = pytest.mark.parametrize(
    "suite", [LANDMARKS, POSE, HIDDEN_POINTS], ids=["landmarks", "pose", "visibility"]
)


def columns_of(suite: LandmarkSuite | PoseSuite | VisibilitySuite) -> Columns:
    """The columns of a dozen faces that give every number."""
    generator = np.random.default_rng(0)
    if isinstance(suite, LandmarkSuite):
        points = generator.normal(200, 60, (12, POINTS, 2))
        states = np.where(np.arange(POINTS) % 3, VISIBLE, OCCLUDED).astype(np.uint8)
        boxes = {name: np.tile([1.0, 2.0, 30.0, 40.0], (12, 1)) for name in suite.boxes}
        moved = points + generator.normal(0, 3, points.shape)
        return suite.columns(moved, points, visibility=np.tile(states, (12, 1)), boxes=boxes)
    if isinstance(suite, PoseSuite):
        rotations = Rotation.random(12, random_state=1).as_matrix()
        return suite.columns(rotations @ turn("x", 3), rotations)
    states = generator.choice([VISIBLE, OCCLUDED], (12, POINTS)).astype(np.uint8)
    return suite.columns(generator.random((12, POINTS)), states)


def value_of(suite, columns, key, group=None, counts=None):
    """Value of a metric over faces, as the estimates give it."""
    metric = {one.key: one for one in suite.metrics}[key]
    arrays = [values for values in columns.of.values() if isinstance(values, np.ndarray)]
    mask = np.ones(len(arrays[0]), bool) if group is None else group
    return estimate(columns.of, {"these": mask}, [metric.over_groups(("these",))], resamples=0)[0].value


# --- What a suite says of its metrics


@EVERY_SUITE
def test_metrics_have_their_own_keys_and_titles_and_what_they_summarise(suite):
    metrics, columns = suite.metrics, columns_of(suite)
    for names in ([one.key for one in metrics], [one.title for one in metrics]):
        assert len(set(names)) == len(names)
    for one in metrics:
        assert one.meaning
        assert one.column in columns.of
        assert one.over is None or one.over in columns.of
        assert one.quantile is None or 0 < one.quantile < 1
    used = {one.column for one in metrics} | {one.over for one in metrics if one.over}
    assert set(columns.of) == used
    for values in columns.of.values():
        assert not isinstance(values, np.ndarray) or (values.shape == (12,) and values.dtype == float)


@EVERY_SUITE
def test_every_metric_has_a_value_within_the_range_of_its_unit(suite):
    columns = columns_of(suite)
    for one in suite.metrics:
        value = value_of(suite, columns, one.key)
        assert value >= 0
        if one.unit == "°":
            assert one.better == "lower"
            assert value <= 180
        elif one.better == "higher" or one.key.startswith("fr"):
            assert value <= 100


@pytest.mark.parametrize(
    ("suite", "key", "better", "worst"),
    [
        (LANDMARKS, "nme/pupils-contour", "lower", INF),
        (LANDMARKS, "nme/pupils-contour/occluded", "lower", INF),
        (LANDMARKS, "p90/pupils-contour", "lower", INF),
        (LANDMARKS, "fr8/pupils-contour", "lower", 100.0),
        (LANDMARKS, "auc2.5/corners", "higher", 0.0),
        (POSE, "mae/raw-xyz", "lower", INF),
        (POSE, "geodesic/aligned-left", "lower", INF),
        (POSE, "success2.5", "higher", 0.0),
        (POSE, "yaw-class-adjacent", "higher", 0.0),
    ],
)
def test_direction_and_value_of_a_failure(suite, key, better, worst):
    one = {metric.key: metric for metric in suite.metrics}[key]
    assert (one.better, one.worst) == (better, worst)


@pytest.mark.parametrize(
    ("suite", "key", "title", "unit"),
    [
        (LANDMARKS, "auc8/pupils-contour", "AUC@8", "%"),
        (LANDMARKS, "auc8/pupils-annotated", "AUC@8 pupils-annotated", "%"),
        (LANDMARKS, "fr2.5/corners", "FR@2.5 corners", "%"),
        (LANDMARKS, "p50/pupils-contour", "50th percentile", "%"),
        (POSE, "mae/mnn-yxz", "MAE mnn-yxz", "°"),
        (POSE, "mae-roll/raw-xyz", "MAE roll", "°"),
        (POSE, "success2.5", "Geodesic ≤ 2.5°", "%"),
        (HIDDEN_POINTS, "recall80", "Recall@80P", "%"),
    ],
)
def test_titles(suite, key, title, unit):
    one = {metric.key: metric for metric in suite.metrics}[key]
    assert (one.title, one.unit) == (title, unit)


def test_boxes_are_those_that_normalisers_name():
    assert LANDMARKS.boxes == ("dataset",)
    assert LandmarkSuite(scheme="aflw21", normalisers={"box-sqrt": ()}).boxes == ()


def test_headline_is_under_the_first_normaliser():
    assert LANDMARKS.normaliser == "pupils-contour"
    assert LANDMARKS.metrics[0].key == "nme/pupils-contour"


# --- Landmarks: every column against one face after the other


class Faces:
    """Random faces whose points are in all states, some not annotated or not predicted."""

    def __init__(self, seed=0, count=COUNT):
        generator = np.random.default_rng(seed)
        self.true = generator.normal(200, 60, (count, POINTS, 2))
        self.predicted = self.true + generator.normal(0, 6, self.true.shape)
        states = [UNKNOWN, VISIBLE, OCCLUDED, HIDDEN]
        self.states = generator.choice(states, (count, POINTS), p=[0.05, 0.55, 0.3, 0.1]).astype(np.uint8)
        self.states[:, EYES] = generator.choice([VISIBLE, OCCLUDED], (count, len(EYES)))
        self.true[self.states == HIDDEN] = NAN
        self.predicted[generator.random((count, POINTS)) < 0.1] = NAN
        corner, size = generator.uniform(0, 100, (count, 2)), generator.uniform(80, 300, (count, 2))
        self.boxes = {"dataset": np.concatenate([corner, corner + size], axis=1)}
        self.states[0] = VISIBLE  # a face without an occluded point
        self.true[0] = generator.normal(200, 60, (POINTS, 2))

    def columns(self, suite=LANDMARKS, **changed):
        arguments = {"visibility": self.states, "boxes": self.boxes, **changed}
        predicted, true = arguments.pop("predicted", self.predicted), arguments.pop("true", self.true)
        return suite.columns(predicted, true, **arguments)

    def at(self, rows):
        part = Faces.__new__(Faces)
        part.true, part.predicted, part.states = self.true[rows], self.predicted[rows], self.states[rows]
        part.boxes = {"dataset": self.boxes["dataset"][rows]}
        return part


@pytest.fixture(scope="module")
def faces():
    return Faces()


def middle(face, names):
    chosen = [face[COFW.index(name)] for name in names]
    return [sum(point[axis] for point in chosen) / len(chosen) for axis in (0, 1)]


def slow_size(normaliser, face, box):
    """Normalising distance of one face, PROTOCOLS 3.2."""
    ends = {
        "corners": ["outer"],
        "pupils-contour": ["outer", "inner", "top", "bottom"],
        "pupils-part": ["outer", "inner", "top", "bottom", "pupil"],
    }
    if normaliser == "pupils-annotated":
        return math.dist(middle(face, ["left_pupil"]), middle(face, ["right_pupil"]))
    if normaliser in ends:
        left, right = (
            [f"{side}_pupil" if end == "pupil" else f"{side}_eye_{end}" for end in ends[normaliser]]
            for side in ("left", "right")
        )
        return math.dist(middle(face, left), middle(face, right))
    if normaliser.endswith("@dataset"):
        width, height = box[2] - box[0], box[3] - box[1]
    else:
        xs, ys = zip(*[point for point in face if not math.isnan(point[0])], strict=True)
        width, height = max(xs) - min(xs), max(ys) - min(ys)
    return {
        "box-height": height,
        "box-sqrt": math.sqrt(width * height),
        "box-diagonal": math.hypot(width, height),
        "box-max": max(width, height),
    }[normaliser.partition("@")[0]]


def slow_nme(faces, row, normaliser, counted="annotated"):
    """NME of one face in percent, NaN without a point that counts."""
    true, predicted = faces.true[row].tolist(), faces.predicted[row].tolist()
    errors = [
        math.dist(p, t)
        for p, t, state in zip(predicted, true, faces.states[row], strict=True)
        if not math.isnan(p[0] + t[0]) and (counted == "annotated" or state == VISIBILITY[counted])
    ]
    if not errors:
        return NAN
    size = slow_size(normaliser, true, faces.boxes["dataset"][row].tolist())
    return 100 * sum(errors) / len(errors) / size


@pytest.mark.parametrize("counted", ["annotated", "visible", "occluded"])
@pytest.mark.parametrize("normaliser", LANDMARKS.normalisers)
def test_nme_auc_and_fr_of_each_face(faces, normaliser, counted):
    suite = LandmarkSuite(scheme="cofw29", normalisers=LANDMARKS.normalisers, counted=counted)
    columns = faces.columns(suite).of
    slow = [slow_nme(faces, row, normaliser, counted) for row in range(COUNT)]
    assert sum(map(math.isnan, slow)) == (counted == "occluded")
    np.testing.assert_allclose(columns[f"nme/{normaliser}"], slow, rtol=1e-12)
    for t in LANDMARKS.normalisers[normaliser]:
        area = [NAN if math.isnan(e) else 100 * max(0.0, 1 - e / t) for e in slow]
        failed = [NAN if math.isnan(e) else 100.0 * (e > t) for e in slow]
        np.testing.assert_allclose(columns[f"auc{t:g}/{normaliser}"], area, rtol=1e-12, atol=1e-11)
        np.testing.assert_array_equal(columns[f"fr{t:g}/{normaliser}"], failed)


@pytest.mark.parametrize("which", ["visible", "occluded"])
def test_nme_of_the_points_apart(faces, which):
    slow = [slow_nme(faces, row, "pupils-contour", which) for row in range(COUNT)]
    np.testing.assert_allclose(faces.columns().of[f"nme/pupils-contour/{which}"], slow, rtol=1e-12)


def test_points_that_count_equal_the_same_points_apart(faces):
    for which in ("visible", "occluded"):
        only = LandmarkSuite(scheme="cofw29", normalisers={"pupils-contour": ()}, counted=which)
        np.testing.assert_array_equal(
            faces.columns(only).of["nme/pupils-contour"], faces.columns().of[f"nme/pupils-contour/{which}"]
        )


@pytest.mark.parametrize("counted", ["annotated", "visible", "occluded"])
def test_points_and_parts_have_the_mean_over_the_faces(faces, counted):
    columns = faces.columns(
        LandmarkSuite(scheme="cofw29", normalisers={"pupils-contour": ()}, counted=counted)
    )
    slow = {name: [] for name in COFW.points}
    for row in range(COUNT):
        size = slow_size("pupils-contour", faces.true[row].tolist(), None)
        for k, name in enumerate(COFW.points):
            error = math.dist(faces.predicted[row, k], faces.true[row, k])
            counts = counted == "annotated" or faces.states[row, k] == VISIBILITY[counted]
            if not math.isnan(error) and counts:
                slow[name].append(100 * error / size)
    means = {name: sum(errors) / len(errors) for name, errors in slow.items()}
    assert columns.point_nme == pytest.approx(means, rel=1e-12)
    parts = {}
    for name, part in zip(COFW.points, COFW.parts, strict=True):
        parts.setdefault(part, []).append(means[name])
    assert columns.part_nme == pytest.approx({p: sum(v) / len(v) for p, v in parts.items()}, rel=1e-12)


def test_points_that_are_never_scored_have_no_mean(faces):
    chin = [k for k, part in enumerate(COFW.parts) if part == COFW.parts[-1]]
    predicted = faces.predicted.copy()
    predicted[:, chin] = NAN
    columns = faces.columns(predicted=predicted)
    assert set(columns.point_nme) == {n for k, n in enumerate(COFW.points) if k not in chin}
    assert COFW.parts[-1] not in columns.part_nme


def test_mean_over_all_faces_recombines_from_a_partition(faces):
    columns = faces.columns()
    group = np.arange(COUNT) % 3
    for one in LANDMARKS.metrics:
        if one.quantile is not None:
            continue
        known = ~np.isnan(columns.of[one.column])
        parts = [
            (value_of(LANDMARKS, columns, one.key, group == g), known[group == g].sum()) for g in range(3)
        ]
        whole = sum(value * count for value, count in parts) / sum(count for _, count in parts)
        assert value_of(LANDMARKS, columns, one.key) == pytest.approx(whole, rel=1e-12)


def test_visible_and_occluded_errors_recombine_by_their_point_counts(faces):
    states = np.where(faces.states == UNKNOWN, VISIBLE, faces.states)
    columns = faces.columns(visibility=states).of
    scored = ~np.isnan(faces.predicted[..., 0] + faces.true[..., 0])
    parts = [
        (columns[f"nme/pupils-contour/{name}"], (scored & (states == VISIBILITY[name])).sum(axis=1))
        for name in ("visible", "occluded")
    ]
    sums = sum(np.where(count > 0, np.nan_to_num(error) * count, 0.0) for error, count in parts)
    np.testing.assert_allclose(columns["nme/pupils-contour"], sums / scored.sum(axis=1), rtol=1e-12)


def assert_same_columns(found, expected, rows=slice(None), **tolerance):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[rows], err_msg=name, **tolerance)


def test_faces_do_not_influence_one_another(faces):
    whole = faces.columns().of
    order = np.random.default_rng(1).permutation(COUNT)
    assert_same_columns(faces.at(order).columns().of, whole, order, rtol=0)
    for row in (0, 7):
        assert_same_columns(faces.at([row]).columns().of, whole, [row], rtol=0)


@pytest.mark.parametrize(("scale", "shift"), [(0.01, 0.0), (7.0, -300.0), (1.0, 1e4)])
def test_scale_and_shift_change_nothing(faces, scale, shift):
    moved = faces.at(np.arange(COUNT))
    moved.true, moved.predicted = scale * faces.true + shift, scale * faces.predicted + shift
    moved.boxes = {"dataset": scale * faces.boxes["dataset"] + shift}
    assert_same_columns(moved.columns().of, faces.columns().of, rtol=1e-8, atol=1e-8)


def test_turning_the_image_changes_nothing_under_eye_distances_and_given_boxes(faces):
    suite = LandmarkSuite(
        scheme="cofw29",
        normalisers=dict.fromkeys(("corners", "pupils-part", "box-height@dataset"), (8,)),
        apart=("visible",),
    )
    about = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = faces.at(np.arange(COUNT))
    turned.true, turned.predicted = faces.true @ about.T, faces.predicted @ about.T
    assert_same_columns(turned.columns(suite).of, faces.columns(suite).of, rtol=1e-9, atol=1e-9)


def test_errors_three_times_as_large_are_three_times_the_nme(faces):
    larger = faces.columns(predicted=faces.true + 3 * (faces.predicted - faces.true)).of
    for name, values in faces.columns().of.items():
        if name.startswith("nme/"):
            np.testing.assert_allclose(larger[name], 3 * values, rtol=1e-12)


def test_boxes_twice_as_high_halve_the_nme_under_their_height(faces):
    taller = faces.boxes["dataset"].copy()
    taller[:, 3] += taller[:, 3] - taller[:, 1]
    columns, plain = faces.columns(boxes={"dataset": taller}).of, faces.columns().of
    np.testing.assert_allclose(
        columns["nme/box-height@dataset"], plain["nme/box-height@dataset"] / 2, rtol=1e-12
    )
    np.testing.assert_array_equal(columns["nme/box-height"], plain["nme/box-height"])


def test_perfect_points_have_the_best_value_of_everything(faces):
    for name, values in faces.columns(predicted=faces.true).of.items():
        expected = np.where(np.isnan(values), NAN, 100.0 if name.startswith("auc") else 0.0)
        np.testing.assert_array_equal(values, expected)


def test_missed_face_takes_no_part_in_anything(faces):
    predicted = faces.predicted.copy()
    predicted[[3, 9]] = NAN
    columns = faces.columns(predicted=predicted)
    rest = np.setdiff1d(np.arange(COUNT), [3, 9])
    without = faces.at(rest).columns()
    for name, values in columns.of.items():
        assert np.isnan(values[[3, 9]]).all()
        np.testing.assert_array_equal(values[rest], without.of[name])
    assert columns.point_nme == pytest.approx(without.point_nme, rel=1e-12)
    for one in LANDMARKS.metrics:
        assert value_of(LANDMARKS, columns, one.key) == pytest.approx(value_of(LANDMARKS, without, one.key))


def test_infinitely_wrong_face_fails_everything(faces):
    predicted = faces.predicted.copy()
    predicted[3] = INF
    for name, values in faces.columns(predicted=predicted).of.items():
        assert values[3] == {"n": INF, "a": 0.0, "f": 100.0}[name[0]], name


def test_no_face_gives_empty_columns(faces):
    columns = faces.at([]).columns()
    assert set(columns.of) == set(faces.columns().of)
    assert {values.shape for values in columns.of.values()} == {(0,)}
    assert columns.point_nme == columns.part_nme == {}


def test_measuring_leaves_the_arrays_alone(faces):
    before = [faces.predicted.copy(), faces.true.copy(), faces.states.copy()]
    faces.columns()
    for array, same in zip((faces.predicted, faces.true, faces.states), before, strict=True):
        np.testing.assert_array_equal(array, same)


# --- Landmarks: what is refused


def test_face_without_size_is_refused_by_name(faces):
    true = faces.true.copy()
    true[4, COFW.index("left_eye_outer")] = true[4, COFW.index("right_eye_outer")]
    suite = LandmarkSuite(scheme="cofw29", normalisers={"box-sqrt": (), "corners": ()})
    names = [f"face-{row}" for row in range(COUNT)]
    with pytest.raises(InvalidData, match=r"'corners' is zero or undefined for face-4\."):
        faces.columns(suite, true=true, names=names)
    with pytest.raises(InvalidData, match=r"'corners' is zero or undefined for 4\."):
        faces.columns(suite, true=true)


def test_face_without_a_point_that_the_normaliser_needs_is_refused_by_name(faces):
    true = faces.true.copy()
    true[[2, 5], COFW.index("left_pupil")] = NAN
    suite = LandmarkSuite(scheme="cofw29", normalisers={"pupils-annotated": ()})
    with pytest.raises(InvalidData, match=r"'pupils-annotated' is zero or undefined for 2, 5\."):
        faces.columns(suite, true=true)


@pytest.mark.parametrize("box", [[NAN] * 4, [5.0, 5.0, 5.0, 5.0], [5.0, 9.0, 8.0, 5.0], [0.0, 0.0, 1.0, INF]])
def test_box_without_height_is_refused_by_name(faces, box):
    boxes = faces.boxes["dataset"].copy()
    boxes[6] = box
    with pytest.raises(InvalidData, match=r"'box-height@dataset' is zero or undefined for 6\."):
        faces.columns(
            LandmarkSuite(scheme="cofw29", normalisers={"box-height@dataset": ()}), boxes={"dataset": boxes}
        )


@pytest.mark.parametrize("size", ["box-height", "box-sqrt", "box-diagonal", "box-max"])
@pytest.mark.parametrize(
    "box", [[50.0, 60.0, 10.0, 20.0], [10.0, 60.0, 50.0, 20.0], [50.0, 20.0, 10.0, 60.0]]
)
def test_box_with_swapped_corners_is_refused_by_name(faces, size, box):
    boxes = faces.boxes["dataset"].copy()
    boxes[6] = box
    suite = LandmarkSuite(scheme="cofw29", normalisers={f"{size}@dataset": ()})
    with pytest.raises(InvalidData, match=rf"'{size}@dataset' is zero or undefined for 6\."):
        faces.columns(suite, boxes={"dataset": boxes})


def test_face_without_an_annotated_point_is_refused_by_name(faces):
    true = faces.true.copy()
    true[[1, 8]] = NAN
    suite = LandmarkSuite(scheme="cofw29", normalisers={"box-height@dataset": ()})
    with pytest.raises(InvalidData, match=r"no point is annotated of 1, 8\."):
        faces.columns(suite, true=true)


def test_face_without_one_of_all_points_is_refused_by_name(faces):
    true = np.where(np.isnan(faces.true), 50.0, faces.true)
    suites = [
        LandmarkSuite(scheme="cofw29", normalisers={"corners": (8,)}, counted=counted)
        for counted in ("all", "annotated")
    ]
    every, annotated = (faces.columns(suite, true=true) for suite in suites)
    assert_same_columns(every.of, annotated.of, rtol=0)
    assert every.point_nme == annotated.point_nme
    true[[4, 30], [0, POINTS - 1]] = NAN
    with pytest.raises(InvalidData, match=r"not all points are annotated of 4, 30\."):
        faces.columns(suites[0], true=true)
    faces.columns(suites[1], true=true)


def test_face_without_a_point_that_counts_takes_no_part(faces):
    suite = LandmarkSuite(scheme="cofw29", normalisers={"corners": (8,)}, counted="occluded")
    columns = faces.columns(suite).of
    assert [bool(np.isnan(values[0])) for values in columns.values()] == [True] * 3
    assert not np.isnan([values[1:] for values in columns.values()]).any()


@pytest.mark.parametrize("boxes", [None, {}, {"other": np.ones((COUNT, 4))}])
def test_normaliser_of_a_box_that_is_not_given_is_refused_by_name(faces, boxes):
    with pytest.raises(UsageError, match=r"'box-height@dataset' needs boxes named 'dataset'"):
        faces.columns(boxes=boxes)


def test_points_by_visibility_need_the_visibility(faces):
    with pytest.raises(UsageError, match="visible points need the visibility"):
        faces.columns(visibility=None)
    for which in ("visible", "occluded"):
        suite = LandmarkSuite(scheme="cofw29", normalisers={"corners": ()}, counted=which)
        with pytest.raises(UsageError, match=f"{which} points need the visibility"):
            faces.columns(suite, visibility=None)


def test_visibility_is_not_needed_where_all_annotated_points_count(faces):
    suite = LandmarkSuite(scheme="cofw29", normalisers={"corners": ()})
    assert_same_columns(faces.columns(suite, visibility=None).of, faces.columns(suite).of, rtol=0)


@pytest.mark.parametrize("field", ["counted", "apart"])
def test_unknown_choice_of_points_is_refused_with_the_known_ones(field):
    value = "hidden" if field == "counted" else ("hidden",)
    with pytest.raises(UsageError, match="'hidden'. Known: all, annotated, visible, occluded"):
        LandmarkSuite(scheme="cofw29", normalisers={"corners": ()}, **{field: value})


@pytest.mark.parametrize(
    ("normalisers", "message"),
    [
        (["pupils"], "Unknown normaliser 'pupils'"),
        ([], "expected normalisers, .* found none"),
        (["box-height@"], "expected normalisers, with a box after '@' for box- ones only, found box-height@"),
        (["corners@dataset"], "found corners@dataset"),
    ],
)
def test_normalisers_that_are_none_are_refused(normalisers, message):
    with pytest.raises(UsageError, match=message):
        LandmarkSuite(scheme="cofw29", normalisers=dict.fromkeys(normalisers, ()))


@pytest.mark.parametrize("state", ["visible", "unknown", "shut"])
def test_positive_class_of_what_is_not_hidden_is_refused(state):
    with pytest.raises(UsageError, match=f"Unknown positive state '{state}'. Known: occluded, hidden"):
        VisibilitySuite(scheme="cofw29", positive=(state,))


# --- Pose: every column against one face after the other


def turn(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


@pytest.fixture(scope="module")
def poses():
    """Predicted and true rotations: most of them near, some far apart."""
    generator = np.random.default_rng(2)
    angles = generator.uniform([-90, -40, -40], [90, 40, 40], (COUNT, 3))
    true = euler_to_rotation(angles, "raw-xyz")
    off = Rotation.from_rotvec(generator.normal(0, 0.08, (COUNT, 3))).as_matrix()
    predicted = off @ turn("y", 4) @ true
    predicted[5] = true[5] @ turn("z", 150)
    for row, degrees in ((6, 17), (7, 32), (8, -47)):  # one, two and three classes of yaw
        predicted[row] = euler_to_rotation([10 + degrees, 5, 5], "raw-xyz")
        true[row] = euler_to_rotation([10, 0, 0], "raw-xyz")
    return predicted, true


def slow_angle(a, b):
    """Angle of the rotation between two, from the trace."""
    trace = sum(a[i][j] * b[i][j] for i in range(3) for j in range(3))
    return math.degrees(math.acos(max(-1.0, min(1.0, (trace - 1) / 2))))


def slow_euler_error(p, t):
    return min(abs(p - t + 360 * k) for k in range(-4, 5))


def slow_class(yaw):
    while yaw >= 180:
        yaw -= 360
    while yaw < -180:
        yaw += 360
    return min(range(-6, 7), key=lambda k: (abs(yaw - 15 * k), -k))


def test_columns_of_each_pose(poses):
    predicted, true = poses
    columns = POSE.columns(predicted, true).of
    for name in ("raw-xyz", "mnn-yxz", "upm-xyz"):
        given, angles = (rotation_to_euler(one, name).tolist() for one in poses)
        errors = [
            [slow_euler_error(*pair) for pair in zip(p, t, strict=True)]
            for p, t in zip(given, angles, strict=True)
        ]
        np.testing.assert_allclose(columns[f"mae/{name}"], [sum(e) / 3 for e in errors], atol=1e-9)
        if name == "raw-xyz":
            for k, axis in enumerate(("yaw", "pitch", "roll")):
                np.testing.assert_allclose(columns[f"mae-{axis}/{name}"], [e[k] for e in errors], atol=1e-9)
            off = [abs(slow_class(p[0]) - slow_class(t[0])) for p, t in zip(given, angles, strict=True)]
            np.testing.assert_array_equal(columns["yaw-class"], [100.0 * (k == 0) for k in off])
            np.testing.assert_array_equal(columns["yaw-class-adjacent"], [100.0 * (k <= 1) for k in off])
    turns = [slow_angle(p, t) for p, t in zip(predicted.tolist(), true.tolist(), strict=True)]
    np.testing.assert_allclose(columns["geodesic"], turns, atol=1e-6)
    for t in POSE.thresholds:
        np.testing.assert_array_equal(columns[f"success{t:g}"], [100.0 * (angle <= t) for angle in turns])
    axes = [
        sum(math.degrees(math.acos(min(1.0, float(p[:, k] @ t[:, k])))) for k in range(3)) / 3
        for p, t in zip(predicted, true, strict=True)
    ]
    np.testing.assert_allclose(columns["maev"], axes, atol=1e-6)


def test_axes_average_to_the_mae(poses):
    columns = POSE.columns(*poses).of
    mean = np.mean([columns[f"mae-{axis}/raw-xyz"] for axis in ("yaw", "pitch", "roll")], axis=0)
    np.testing.assert_allclose(columns["mae/raw-xyz"], mean, rtol=1e-12)


def test_conventions_that_differ_in_signs_alone_have_the_same_mae(poses):
    columns = POSE.columns(*poses).of
    np.testing.assert_allclose(columns["mae/upm-xyz"], columns["mae/raw-xyz"], rtol=1e-9)
    assert np.abs(columns["mae/mnn-yxz"] - columns["mae/raw-xyz"]).max() > 0.01


@pytest.mark.parametrize("side", ["left", "right"])
def test_constant_turn_counts_before_its_removal_but_not_after(poses, side):
    _, true = poses
    by = turn("x", 5)
    columns = POSE.columns(by @ true if side == "left" else true @ by, true).of
    other = {"left": "right", "right": "left"}[side]
    np.testing.assert_allclose(columns["geodesic"], 5.0, rtol=1e-9)
    np.testing.assert_allclose(columns[f"geodesic/aligned-{side}"], 0.0, atol=1e-6)
    np.testing.assert_allclose(columns[f"mae/raw-xyz/aligned-{side}"], 0.0, atol=1e-6)
    assert columns[f"geodesic/aligned-{other}"].mean() > 1.0


def test_faces_that_belong_together_are_aligned_together(poses):
    _, true = poses
    sequence = np.arange(COUNT) % 4
    each = np.stack([turn("y", 5.0 * k) for k in range(4)])[sequence]
    columns = POSE.columns(each @ true, true, alike=sequence).of
    np.testing.assert_allclose(columns["geodesic/aligned-left"], 0.0, atol=1e-6)
    assert POSE.columns(each @ true, true).of["geodesic/aligned-left"].mean() > 3.0


def test_angles_that_are_given_are_taken_as_they_are(poses):
    predicted, true = poses
    own = {name: rotation_to_euler(predicted, name) for name in ("raw-xyz", "mnn-yxz", "upm-xyz")}
    plain = POSE.columns(predicted, true).of
    assert_same_columns(POSE.columns(predicted, true, eulers=own).of, plain, rtol=0)
    turns = {name: angles + np.array([720.0, -360.0, 360.0]) for name, angles in own.items()}
    assert_same_columns(POSE.columns(predicted, true, eulers=turns).of, plain, atol=1e-9)
    shifted = {"raw-xyz": own["raw-xyz"] + np.array([1.0, 0.0, 0.0])}
    found = POSE.columns(predicted, true, eulers=shifted).of
    assert np.abs(found["mae-yaw/raw-xyz"] - plain["mae-yaw/raw-xyz"]).max() == pytest.approx(1.0)
    np.testing.assert_array_equal(found["mae/mnn-yxz"], plain["mae/mnn-yxz"])
    np.testing.assert_array_equal(found["geodesic"], plain["geodesic"])


def test_same_rotation_read_the_other_way_counts_as_an_error_of_its_angles(poses):
    """Every rotation has two readings; whoever gives the other one is not forgiven (PROTOCOLS 5)."""
    _, true = poses
    angles = rotation_to_euler(true, "raw-xyz")
    twin = np.stack([180 - angles[:, 0], angles[:, 1] + 180, angles[:, 2] + 180], axis=1)
    np.testing.assert_allclose(euler_to_rotation(twin, "raw-xyz"), true, atol=1e-12)
    columns = POSE.columns(true, true, eulers={"raw-xyz": twin}).of
    np.testing.assert_allclose(columns["mae-pitch/raw-xyz"], 180.0)
    np.testing.assert_array_equal(columns["geodesic"], 0.0)


def test_missed_pose_takes_no_part_in_anything(poses):
    predicted, true = poses
    missed = predicted.copy()
    missed[[0, 11]] = NAN
    rest = np.setdiff1d(np.arange(COUNT), [0, 11])
    columns, without = POSE.columns(missed, true).of, POSE.columns(predicted[rest], true[rest]).of
    for name, values in columns.items():
        assert np.isnan(values[[0, 11]]).all(), name
        np.testing.assert_allclose(values[rest], without[name], rtol=1e-9, atol=1e-6)


def test_order_of_poses_does_not_matter(poses):
    order = np.random.default_rng(3).permutation(COUNT)
    sequence = np.arange(COUNT) % 3
    moved = POSE.columns(poses[0][order], poses[1][order], alike=sequence[order]).of
    assert_same_columns(moved, POSE.columns(*poses, alike=sequence).of, order, rtol=1e-8, atol=1e-8)


def test_error_and_prediction_of_each_class_of_yaw(poses):
    columns = POSE.columns(*poses)
    given, angles = (rotation_to_euler(one, "raw-xyz").tolist() for one in poses)
    errors, counts = {}, np.zeros((13, 13))
    for p, t, error in zip(given, angles, columns.of["mae/raw-xyz"].tolist(), strict=True):
        errors.setdefault(str(15 * slow_class(t[0])), []).append(error)
        counts[slow_class(t[0]) + 6, slow_class(p[0]) + 6] += 1
    assert len(errors) > 8
    assert columns.yaw_mae == pytest.approx({k: sum(v) / len(v) for k, v in errors.items()}, rel=1e-9)
    np.testing.assert_array_equal(columns.yaw_confusion, counts)
    assert 100 * np.trace(counts) / COUNT == pytest.approx(columns.of["yaw-class"].mean())


def test_no_pose_gives_empty_columns():
    columns = POSE.columns(np.empty((0, 3, 3)), np.empty((0, 3, 3))).of
    assert set(columns) == {one.column for one in POSE.metrics}
    assert {values.shape for values in columns.values()} == {(0,)}


def test_alignment_can_be_left_out(poses):
    suite = PoseSuite(convention="raw-xyz", aligned=False)
    assert not [name for name in suite.columns(*poses).of if "aligned" in name]
    assert not [one.key for one in suite.metrics if "aligned" in one.key]


# --- Visibility


class Guesses:
    """Predicted probabilities of being visible, with ties, and the true states."""

    def __init__(self, seed=0, count=30):
        generator = np.random.default_rng(seed)
        states = [UNKNOWN, VISIBLE, OCCLUDED, HIDDEN]
        self.states = generator.choice(states, (count, POINTS), p=[0.1, 0.55, 0.25, 0.1]).astype(np.uint8)
        hidden = np.isin(self.states, [OCCLUDED, HIDDEN])
        self.v = np.clip(np.where(hidden, 0.35, 0.75) + generator.normal(0, 0.22, self.states.shape), 0, 1)
        self.v = np.round(self.v, 2)  # ties, some at exactly 0.5

    def pooled(self, positive):
        """Scores and classes of the points that count, pooled in a plain loop."""
        chosen = [VISIBILITY[name] for name in positive]
        scores, classes = [], []
        for v, states in zip(self.v.tolist(), self.states.tolist(), strict=True):
            for one, state in zip(v, states, strict=True):
                if state in chosen or state == VISIBLE:
                    scores.append(-one)
                    classes.append(state in chosen)
        return np.array(scores), np.array(classes)


POSITIVES = pytest.mark.parametrize(
    "positive", [("occluded",), ("hidden",), ("occluded", "hidden")], ids="+".join
)


@POSITIVES
def test_operating_point_equals_scikit_learn(positive):
    guesses = Guesses()
    suite = VisibilitySuite(scheme="cofw29", positive=positive)
    columns = suite.columns(guesses.v, guesses.states)
    scores, classes = guesses.pooled(positive)
    assert (scores == -0.5).any()
    claimed = scores > -0.5
    for key in ("precision", "recall", "f1"):
        expected = getattr(sklearn_metrics, f"{key}_score")(classes, claimed)
        assert value_of(suite, columns, key) == pytest.approx(100 * expected, rel=1e-12)


@POSITIVES
@pytest.mark.parametrize("level", [50.0, 80.0, 92.5])
def test_sweep_equals_scikit_learn(positive, level):
    guesses = Guesses(seed=1)
    suite = VisibilitySuite(scheme="cofw29", positive=positive, level=level)
    columns = suite.columns(guesses.v, guesses.states)
    scores, classes = guesses.pooled(positive)
    assert value_of(suite, columns, "ap") == pytest.approx(
        100 * sklearn_metrics.average_precision_score(classes, scores), rel=1e-12
    )
    precision, recall, _ = sklearn_metrics.precision_recall_curve(classes, scores)
    reaching = precision[:-1] >= level / 100
    best = recall[:-1][reaching].max() if reaching.any() else 0.0
    assert value_of(suite, columns, f"recall{level:g}") == pytest.approx(100 * best, rel=1e-12)
    between = value_of(suite, columns, f"recall{level:g}-interpolated")
    assert between == pytest.approx(slow_interpolated(scores, classes, level), rel=1e-9)


def slow_interpolated(scores, classes, level):
    """Recall where the line from the last operating point of at least a precision meets that precision."""
    operating = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        claimed = scores >= threshold
        hits = (claimed & classes).sum()
        operating.append((100 * hits / claimed.sum(), 100 * hits / classes.sum()))
    last = max((k for k, (precision, _) in enumerate(operating) if precision >= level), default=None)
    if last is None:
        return 0.0
    if last + 1 == len(operating):
        return operating[last][1]
    (above, left), (below, right) = operating[last], operating[last + 1]
    return left + (right - left) * (above - level) / (above - below)


@POSITIVES
def test_numbers_of_each_face(positive):
    guesses = Guesses(seed=2)
    columns = VisibilitySuite(scheme="cofw29", positive=positive).columns(guesses.v, guesses.states).of
    chosen = [VISIBILITY[name] for name in positive]
    for row, (v, states) in enumerate(zip(guesses.v.tolist(), guesses.states.tolist(), strict=True)):
        counted = [(p, s in chosen) for p, s in zip(v, states, strict=True) if s in chosen or s == VISIBLE]
        hits = sum(p < 0.5 and true for p, true in counted)
        claimed, true = sum(p < 0.5 for p, _ in counted), sum(true for _, true in counted)
        found = [columns[name][row] for name in ("hits", "twice-hits", "claimed", "true", "claimed+true")]
        assert found == [100 * hits, 200 * hits, claimed, true, claimed + true]


def test_other_states_do_not_count():
    guesses = Guesses()
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    elsewhere = np.where(np.isin(guesses.states, [VISIBLE, OCCLUDED]), guesses.v, 0.123)
    for one in HIDDEN_POINTS.metrics:
        same = HIDDEN_POINTS.columns(elsewhere, guesses.states)
        assert value_of(HIDDEN_POINTS, same, one.key) == value_of(HIDDEN_POINTS, columns, one.key)


def test_order_of_faces_and_points_does_not_matter():
    guesses, generator = Guesses(), np.random.default_rng(4)
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    rows, points = generator.permutation(len(guesses.v)), generator.permutation(POINTS)
    moved = HIDDEN_POINTS.columns(guesses.v[rows][:, points], guesses.states[rows][:, points])
    for one in HIDDEN_POINTS.metrics:
        assert value_of(HIDDEN_POINTS, moved, one.key) == pytest.approx(
            value_of(HIDDEN_POINTS, columns, one.key), rel=1e-12
        )


def test_sweep_depends_on_the_order_of_the_probabilities_alone():
    guesses = Guesses()
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    bent = HIDDEN_POINTS.columns(guesses.v**3 / 7 + 0.1, guesses.states)
    for key in ("ap", "recall80", "recall80-interpolated"):
        assert value_of(HIDDEN_POINTS, bent, key) == value_of(HIDDEN_POINTS, columns, key)


def test_group_of_faces_has_the_numbers_of_these_faces_alone():
    guesses = Guesses()
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    group = np.arange(len(guesses.v)) % 3 == 0
    alone = HIDDEN_POINTS.columns(guesses.v[group], guesses.states[group])
    for one in HIDDEN_POINTS.metrics:
        assert value_of(HIDDEN_POINTS, columns, one.key, group) == pytest.approx(
            value_of(HIDDEN_POINTS, alone, one.key), rel=1e-12
        )


def test_two_sets_of_faces_beside_each_other_are_one_set():
    first, second = Guesses(seed=5), Guesses(seed=6, count=11)
    one, other = (HIDDEN_POINTS.columns(g.v, g.states).of for g in (first, second))
    both = HIDDEN_POINTS.columns(
        np.concatenate([first.v, second.v]), np.concatenate([first.states, second.states])
    ).of
    counts = np.random.default_rng(7).integers(0, 3, (20, 41)).astype(float)
    for name in ("ap", "recall80", "recall80-interpolated"):
        np.testing.assert_array_equal(one[name].beside(other[name]).of(counts), both[name].of(counts))


def test_labels_have_an_operating_point_but_no_sweep():
    guesses = Guesses()
    hard = (guesses.v >= 0.5).astype(float)
    columns, soft = (HIDDEN_POINTS.columns(v, guesses.states) for v in (hard, guesses.v))
    assert set(columns.of) == {"hits", "twice-hits", "claimed", "true", "claimed+true"}
    for key in ("precision", "recall", "f1"):
        assert value_of(HIDDEN_POINTS, columns, key) == value_of(HIDDEN_POINTS, soft, key)


def test_one_probability_that_counts_makes_a_sweep():
    guesses = Guesses()
    hard = (guesses.v >= 0.5).astype(float)
    for state, swept in ((UNKNOWN, False), (HIDDEN, False), (OCCLUDED, True), (VISIBLE, True)):
        v = hard.copy()
        v[tuple(np.argwhere(guesses.states == state)[0])] = 0.7
        assert ("ap" in HIDDEN_POINTS.columns(v, guesses.states).of) == swept


def test_unknown_probability_is_never_claimed_to_be_hidden():
    guesses = Guesses(seed=8)
    unknown = np.random.default_rng(9).random(guesses.v.shape) < 0.2
    columns = HIDDEN_POINTS.columns(np.where(unknown, NAN, guesses.v), guesses.states)
    most_visible = HIDDEN_POINTS.columns(np.where(unknown, 2.0, guesses.v), guesses.states)
    for one in HIDDEN_POINTS.metrics:
        expected = value_of(HIDDEN_POINTS, most_visible, one.key)
        assert value_of(HIDDEN_POINTS, columns, one.key) == pytest.approx(expected, rel=1e-12)


def test_unknown_probabilities_beside_labels_make_no_sweep():
    guesses = Guesses()
    hard = (guesses.v >= 0.5).astype(float)
    hard[3] = NAN
    columns = HIDDEN_POINTS.columns(hard, guesses.states)
    assert "ap" not in columns.of
    assert columns.of["claimed"][3] == columns.of["hits"][3] == 0
    assert columns.of["true"][3] > 0


def test_probabilities_too_small_for_one_minus_them_are_kept_apart():
    v = np.array([[1e-20, 1e-19, 1e-18, 0.9]])
    states = np.array([[OCCLUDED, VISIBLE, OCCLUDED, VISIBLE]], np.uint8)
    columns = HIDDEN_POINTS.columns(v, states)
    assert value_of(HIDDEN_POINTS, columns, "recall80") == 50.0
    assert value_of(HIDDEN_POINTS, columns, "ap") == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


def test_perfect_probabilities_have_100_percent_of_everything():
    guesses = Guesses()
    v = np.where(guesses.states == OCCLUDED, 0.2, 0.9)
    columns = HIDDEN_POINTS.columns(v, guesses.states)
    assert [value_of(HIDDEN_POINTS, columns, one.key) for one in HIDDEN_POINTS.metrics] == [100.0] * 6


def test_without_a_positive_point_nothing_but_a_precision_of_zero_is_defined():
    v, states = np.array([[0.2, 0.9], [0.3, 0.8]]), np.full((2, 2), VISIBLE, np.uint8)
    columns = HIDDEN_POINTS.columns(v, states)
    for key in ("ap", "recall80", "recall80-interpolated", "recall"):
        assert math.isnan(value_of(HIDDEN_POINTS, columns, key))
    assert value_of(HIDDEN_POINTS, columns, "precision") == 0.0
    assert value_of(HIDDEN_POINTS, columns, "f1") == 0.0


def test_without_a_claim_precision_is_not_defined():
    v, states = np.array([[0.6, 0.9]]), np.array([[OCCLUDED, VISIBLE]], np.uint8)
    columns = HIDDEN_POINTS.columns(v, states)
    assert math.isnan(value_of(HIDDEN_POINTS, columns, "precision"))
    assert value_of(HIDDEN_POINTS, columns, "recall") == value_of(HIDDEN_POINTS, columns, "f1") == 0.0
    assert value_of(HIDDEN_POINTS, columns, "ap") == 100.0


def test_intervals_of_pooled_numbers_equal_those_of_a_slow_loop():
    guesses = Guesses(seed=10, count=12)
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    statistics = [one.over_groups(("all",)) for one in HIDDEN_POINTS.metrics]
    found = estimate(columns.of, {"all": np.ones(12, bool)}, statistics, resamples=40, seed=11)
    draws = np.random.default_rng(11).integers(0, 12, (64, 12))[:40]
    for one, estimated in zip(HIDDEN_POINTS.metrics, found, strict=True):
        values = []
        for rows in draws:
            drawn = HIDDEN_POINTS.columns(guesses.v[rows], guesses.states[rows])
            values.append(value_of(HIDDEN_POINTS, drawn, one.key))
        np.testing.assert_allclose(
            [estimated.low, estimated.high], np.quantile(values, [0.025, 0.975]), rtol=1e-10, err_msg=one.key
        )


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_pooled_numbers_of_faces_drawn_in_clusters_equal_those_of_copies(interval):
    """Two faces of a cluster are as one face with the points of both."""
    guesses = Guesses(seed=12, count=20)
    statistics = [one.over_groups(("all",)) for one in HIDDEN_POINTS.metrics]
    apart, joined = (
        estimate(
            HIDDEN_POINTS.columns(guesses.v.reshape(count, -1), guesses.states.reshape(count, -1)).of,
            {"all": np.ones(count, bool)},
            statistics,
            resamples=60,
            clusters=np.arange(count) * 10 // count,
            interval=interval,
        )
        for count in (20, 10)
    )
    for one, other in zip(apart, joined, strict=True):
        np.testing.assert_allclose(
            [one.value, one.low, one.high], [other.value, other.low, other.high], rtol=1e-10
        )


def test_resamples_without_a_positive_point_are_left_out():
    v = np.array([[0.3, 0.6], [0.2, 0.7], [0.4, 0.9]])
    states = np.array([[OCCLUDED, VISIBLE], [VISIBLE, VISIBLE], [VISIBLE, VISIBLE]], np.uint8)
    columns = HIDDEN_POINTS.columns(v, states)
    for interval in ("percentile", "bca"):
        found = estimate(
            columns.of,
            {"all": np.ones(3, bool)},
            [one.over_groups(("all",)) for one in HIDDEN_POINTS.metrics],
            resamples=100,
            interval=interval,
        )
        by_key = dict(zip([one.key for one in HIDDEN_POINTS.metrics], found, strict=True))
        assert (by_key["recall"].low, by_key["recall"].high) == (100.0, 100.0)
        assert by_key["ap"].value == 50.0
        assert 0 < by_key["ap"].low <= 50.0 <= by_key["ap"].high <= 100.0


def test_no_face_has_no_number_of_any_kind():
    columns = HIDDEN_POINTS.columns(np.empty((0, POINTS)), np.empty((0, POINTS), np.uint8)).of
    assert {values.shape for values in columns.values()} == {(0,)}


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    guesses = Guesses()
    columns = HIDDEN_POINTS.columns(guesses.v, guesses.states)
    p, r, f1 = (value_of(HIDDEN_POINTS, columns, key) for key in ("precision", "recall", "f1"))
    assert f1 == pytest.approx(2 * p * r / (p + r), rel=1e-12)


def test_statistic_of_a_metric_names_what_it_is_over():
    metrics = {one.key: one for one in (*LANDMARKS.metrics, *HIDDEN_POINTS.metrics)}
    groups = ("near", "far")
    assert metrics["nme/corners"].over_groups(groups) == Statistic("nme/corners", groups)
    assert metrics["f1"].over_groups(groups) == Statistic("twice-hits", groups, over="claimed+true")
    assert metrics["p95/pupils-contour"].over_groups(("all",)) == Statistic(
        "nme/pupils-contour", ("all",), quantile=0.95
    )

"""What cannot be scored is refused by every protocol, with the face, the file or the remedy named."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import facebench
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import VISIBILITY, AnnotationSet
from facebench.geometry import euler_to_rotation, get_scheme
from facebench.protocols import answered_protocols, get_protocol, protocols_of
from tests.protocols.hand_made import write

IDS = [f"face{number}" for number in range(5)]
EVERY = np.arange(len(IDS))
SPLITS = {
    "300w": ("full", "common", "challenging", "helen", "lfpw", "private", "indoor", "outdoor"),
    "cofw": ("test", "cofw68"),
    "aflw": ("all", "aflw19-test", "aflw19-frontal", "merlrav-test"),
    "biwi": ("all", "mtcnn-13219", "test-subjects"),
}
SCHEMES = {
    "300w": {"ibug68": "ibug68"},
    "cofw": {"cofw29": "cofw29", "cofw68": "ibug68"},
    "aflw": {"aflw21": "aflw21", "aflw19": "aflw19", "merlrav68": "ibug68"},
    "biwi": {},
}
POSES = {"300w": ("mnn", "spiga"), "cofw": ("mnn",), "aflw": ("aflw",), "biwi": ("depth", "rgb")}
PROTOCOLS = sorted(protocol.name for dataset in SPLITS for protocol in protocols_of(dataset))


def labels(scheme: str, seed: int = 0) -> AnnotationSet:
    """Draw points, every third of them occluded."""
    points = np.random.default_rng(seed).uniform(0, 100, (len(IDS), len(get_scheme(scheme)), 2))
    states = np.full(points.shape[:2], VISIBILITY["visible"], np.uint8)
    states[:, ::3] = VISIBILITY["occluded"]
    return AnnotationSet(scheme, points, states)


def fields(dataset: str) -> dict[str, Any]:
    """Return what a dataset needs to be scored by all of its protocols."""
    angles = np.random.default_rng(1).uniform(-70, 70, (len(IDS), 3))
    return {
        "annotations": {name: labels(scheme) for name, scheme in SCHEMES[dataset].items()},
        "splits": dict.fromkeys(SPLITS[dataset], EVERY),
        "boxes": {"dataset": np.tile([0.0, 0.0, 100.0, 80.0], (len(IDS), 1))},
        "poses": dict.fromkeys(POSES[dataset], euler_to_rotation(angles, "mnn-yxz")),
        "groups": {
            "sequence": ["01", "01", "02", "02", "03"],
            "subject": ["F01", "F01", "M02", "M02", "M03"],
        },
    }


@pytest.fixture
def make(tmp_path):
    """Write a dataset, with some of its fields replaced."""

    def call(dataset: str, **changes: Any) -> facebench.PreparedDataset:
        return write(tmp_path / f"{dataset}.h5", dataset, IDS, **{**fields(dataset), **changes})

    return call


def predictions(protocol: str) -> facebench.Predictions:
    """Return what answers a protocol."""
    chosen = get_protocol(protocol)
    scheme = getattr(chosen, "scheme", "ibug68")
    rng = np.random.default_rng(2)
    points = len(get_scheme(scheme))
    return facebench.Predictions(
        dataset=chosen.dataset,
        method="drawn",
        ids=IDS,
        scheme=scheme,
        landmarks=rng.uniform(0, 100, (len(IDS), points, 2)),
        visibility=rng.random((len(IDS), points)),
        euler=rng.uniform(-60, 60, (len(IDS), 3)),
        euler_convention="mnn-yxz",
    )


def refusal(kind: type[Exception], protocol: str, dataset: facebench.PreparedDataset) -> str:
    with pytest.raises(kind) as caught:
        facebench.score(predictions(protocol), protocol, dataset)
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_whole_is_scored(make, protocol):
    """Or the refusals below might have another reason."""
    dataset = make(get_protocol(protocol).dataset)
    result = facebench.score(predictions(protocol), protocol, dataset, resamples=20)
    assert result.n == len(IDS)
    assert result.headline.metric == get_protocol(protocol).headline[0]
    assert all(math.isfinite(one.value) for one in result.scores)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_empty_split(make, protocol):
    chosen = get_protocol(protocol)
    dataset = make(chosen.dataset, splits={chosen.faces: np.array([], np.int64)})
    message = refusal(InvalidData, protocol, dataset)
    assert message == f"{protocol}: the split '{chosen.faces}' of {dataset.path} has no faces."


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_split_that_is_not_there(make, protocol):
    chosen = get_protocol(protocol)
    dataset = make(chosen.dataset, splits={"train": EVERY})
    message = refusal(DataMissing, protocol, dataset)
    assert f"{dataset.path} has no split '{chosen.faces}'. Prepare it again" in message
    assert f"'facebench info {chosen.dataset}' lists the sources" in message


@pytest.mark.parametrize("protocol", [one for one in PROTOCOLS if hasattr(get_protocol(one), "annotation")])
def test_labels_that_are_not_there(make, protocol):
    chosen = get_protocol(protocol)
    kept = fields(chosen.dataset)["annotations"]
    del kept[chosen.annotation]
    dataset = make(chosen.dataset, annotations=kept)
    message = refusal(DataMissing, protocol, dataset)
    assert f"has no '{chosen.annotation}' labels. Prepare it again with the source that brings it" in message
    able, notes = answered_protocols(predictions(protocol), dataset)
    assert protocol not in able
    assert any(note.startswith(f"{protocol}: not scored, {dataset.path} has no") for note in notes)


@pytest.mark.parametrize("protocol", [one for one in PROTOCOLS if getattr(get_protocol(one), "pose", None)])
def test_a_pose_that_is_not_there(make, protocol):
    chosen = get_protocol(protocol)
    others = {"another": np.broadcast_to(np.eye(3), (len(IDS), 3, 3))}
    message = refusal(DataMissing, protocol, make(chosen.dataset, poses=others))
    assert f"has no pose '{chosen.pose}'. Prepare it again with the source that brings it" in message


@pytest.mark.parametrize("protocol", [one for one in PROTOCOLS if getattr(get_protocol(one), "boxes", ())])
def test_a_box_that_is_not_there(make, protocol):
    message = refusal(DataMissing, protocol, make("aflw", boxes={}))
    assert "has no box 'dataset'. Prepare it again with the source that brings it" in message


def with_points(scheme: str, row: int, which: Any, value: Any) -> AnnotationSet:
    """Return drawn labels with some points of a face replaced."""
    drawn = labels(scheme)
    points = drawn.points.copy()
    points[row, which] = value
    return dataclasses.replace(drawn, points=points)


def test_eye_corners_that_coincide(make):
    dataset = make("300w", annotations={"ibug68": with_points("ibug68", 3, [36, 45], [40.0, 50.0])})
    message = refusal(InvalidData, "300w/landmarks", dataset)
    assert message == f"normaliser 'corners' is zero or undefined for face3 ({dataset.path})."


def test_an_eye_corner_that_is_not_annotated(make):
    dataset = make("300w", annotations={"ibug68": with_points("ibug68", 2, [36], np.nan)})
    assert "'corners' is zero or undefined for face2 (" in refusal(InvalidData, "300w/landmarks", dataset)


def test_pupils_that_coincide(make):
    moved = with_points("cofw29", 1, [16, 17], [40.0, 50.0])
    dataset = make("cofw", annotations={"cofw29": moved})
    message = refusal(InvalidData, "cofw/landmarks-cofw29", dataset)
    assert "normaliser 'pupils-annotated' is zero or undefined for face1 (" in message


def test_a_box_without_height(make):
    boxes = fields("aflw")["boxes"]["dataset"]
    boxes[4, 3] = 0.0
    message = refusal(InvalidData, "aflw/landmarks-aflw19", make("aflw", boxes={"dataset": boxes}))
    assert "normaliser 'box-sqrt@dataset' is zero or undefined for face4 (" in message


@pytest.mark.parametrize(
    ("protocol", "annotation", "scheme", "reason"),
    [
        ("300w/landmarks", "ibug68", "ibug68", "no point is annotated of"),
        ("cofw/landmarks-cofw68", "cofw68", "ibug68", "no point is annotated of"),
        ("aflw/landmarks-aflw19", "aflw19", "aflw19", "no point is annotated of"),
        ("aflw/landmarks-merlrav68", "merlrav68", "ibug68", "no point is annotated of"),
    ],
)
def test_a_face_without_any_point(make, protocol, annotation, scheme, reason):
    dataset = make(
        get_protocol(protocol).dataset, annotations={annotation: with_points(scheme, 2, slice(None), np.nan)}
    )
    assert refusal(InvalidData, protocol, dataset) == f"{reason} face2 ({dataset.path})."


@pytest.mark.parametrize(
    "protocol", ["300w/pose-mnn", "cofw/pose-mnn", "aflw/pose", "biwi/pose", "biwi/pose-rgb"]
)
def test_a_pose_that_is_not_known(make, protocol):
    chosen = get_protocol(protocol)
    poses = {name: one.copy() for name, one in fields(chosen.dataset)["poses"].items()}
    for rotation in poses.values():
        rotation[[1, 3]] = np.nan
    dataset = make(chosen.dataset, poses=poses)
    message = refusal(InvalidData, protocol, dataset)
    assert message == f"{dataset.path}: no pose is known for face1, face3, which '{protocol}' scores."


def test_unknown_poses_outside_the_split_do_not_matter(make):
    poses = {"depth": fields("biwi")["poses"]["depth"].copy()}
    poses["depth"][4] = np.nan
    dataset = make("biwi", poses=poses, splits={"mtcnn-13219": EVERY[:4]})
    assert facebench.score(predictions("biwi/pose"), "biwi/pose", dataset, resamples=0).n == 4


@pytest.mark.parametrize("name", ["300w/pose", "300W/landmarks", "biwi", "", "cofw/landmarks"])
def test_an_unknown_protocol(make, name):
    with pytest.raises(UsageError, match=rf"Unknown protocol '{name}'\. Known protocols: .*biwi/pose, "):
        facebench.score(predictions("300w/landmarks"), name, make("300w"))


def test_a_dataset_that_was_not_prepared():
    with pytest.raises(DataMissing, match=r"no such prepared dataset.*facebench prepare biwi"):
        facebench.score(predictions("biwi/pose"), "biwi/pose")


def test_a_prepared_file_of_another_dataset(make):
    message = refusal(InvalidData, "biwi/pose", make("aflw"))
    assert message == "biwi/pose: the prepared file is for dataset 'aflw', expected 'biwi'."


def test_predictions_without_what_is_scored(make):
    nothing = dataclasses.replace(predictions("cofw/visibility-cofw68"), visibility=None)
    with pytest.raises(InvalidData, match=r"expected visibility \(of the points of ibug68, .*'drawn'"):
        facebench.score(nothing, "cofw/visibility-cofw68", make("cofw"))
    nothing = dataclasses.replace(predictions("biwi/pose"), euler=None, euler_convention=None)
    with pytest.raises(InvalidData, match=r"expected rotation, or euler with its convention.*'drawn'"):
        facebench.score(nothing, "biwi/pose", make("biwi"))


@pytest.mark.parametrize("protocol", ["300w/landmarks", "cofw/visibility-cofw29", "biwi/pose"])
def test_a_single_number_that_is_none_is_a_face_without_prediction(make, protocol):
    given = predictions(protocol)
    for array in (given.landmarks, given.visibility, given.euler):
        array[2].flat[-1] = np.nan
    with pytest.raises(InvalidData, match=r"1 of 5 faces have no prediction .*face2\. Score with '--missing"):
        facebench.score(given, protocol, make(get_protocol(protocol).dataset))


def test_a_bin_of_yaw_without_faces_leaves_no_balanced_mean(make):
    poses = {"depth": euler_to_rotation(np.array([[5.0 * row, 0, 0] for row in range(5)]), "raw-xyz")}
    result = facebench.score(predictions("biwi/pose"), "biwi/pose", make("biwi", poses=poses), resamples=0)
    groups = {one.group for one in result.scores}
    assert groups == {"all", "yaw-0-30"}


def test_a_subset_that_was_not_prepared_is_left_out(make):
    dataset = make("300w", splits={"full": EVERY, "common": EVERY[:3]})
    result = facebench.score(predictions("300w/landmarks"), "300w/landmarks", dataset, resamples=0)
    assert {one.group for one in result.scores} == {"all", "common"}


@pytest.mark.parametrize("kind", ["sequence", "subject"])
def test_groups_that_are_not_there(make, kind):
    groups = {name: one for name, one in fields("biwi")["groups"].items() if name != kind}
    assert kind in refusal(DataMissing, "biwi/pose", make("biwi", groups=groups))


def test_a_dataset_without_any_pose(make):
    assert "has no pose" in refusal(DataMissing, "aflw/pose", make("aflw", poses={}))


def test_landmarks_without_any_pose_have_no_bins_of_yaw(make):
    result = facebench.score(
        predictions("aflw/landmarks-aflw21"), "aflw/landmarks-aflw21", make("aflw", poses={}), resamples=0
    )
    assert {one.group for one in result.scores} == {"all"}


def test_visibility_without_any_occluded_point(make):
    drawn = labels("cofw29")
    seen = dataclasses.replace(drawn, visibility=np.full_like(drawn.visibility, VISIBILITY["visible"]))
    result = facebench.score(
        predictions("cofw/visibility-cofw29"),
        "cofw/visibility-cofw29",
        make("cofw", annotations={"cofw29": seen}),
    )
    assert result.get("precision").value == 0
    assert np.isnan(result.get("recall").value)


def test_a_split_with_another_hash(make):
    dataset = make("biwi")
    dataset.provenance["options"]["partial"] = False  # as if somebody had edited a complete file
    message = refusal(InvalidData, "biwi/pose", dataset)
    assert "the ids of split 'mtcnn-13219'" in message
    assert "the published ones to 4b44a0b49a835a81" in message
    assert "Prepare the dataset again" in message

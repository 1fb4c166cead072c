"""What must come back when a rendered face is written as a release and prepared again, for each dataset.

The comparisons take the truth from the rendered faces, and use neither the loaders nor, where a convention
is at stake, the writers.  Each of them raises AssertionError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facebench.datasets import Manifest, load_manifest, prepare, registry
from facebench.datasets.biwi import read_depth
from facebench.formats import open_dataset
from facebench.formats.reader import PreparedDataset
from facebench.geometry import VISIBILITY, geodesic_distance, get_scheme
from facebench.synthetic import mean_head, trees
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.trees.biwi import DEPTH_CAMERA, RGB_FROM_DEPTH

UNKNOWN, VISIBLE, OCCLUDED, HIDDEN = (
    VISIBILITY[name] for name in ("unknown", "visible", "occluded", "hidden")
)
# So many faces are to train in what we make of CCL's list.
CCL_TRAIN = 3
# Half of the last of six digits behind the point, and a little for adding and taking 1.
SIX_DIGITS = 6e-7
# Degrees that a rotation may be off when its nine numbers have six digits, twice over for a product.
SIX_DIGITS_TURN = 3e-4
# Degrees that POSIT may be off from the truth, and from another algorithm with the same camera.
CAMERA_MEDIAN, CAMERA_MOST = 6.0, 10.0
OTHER_MEDIAN, OTHER_MOST = 3.0, 8.0


@dataclass(frozen=True)
class Trip:
    """How a release is written, and how what comes back is compared with what was rendered."""

    dataset: str
    write: Callable[[Path, Sequence[RenderedFace]], list[str]]
    compare: Callable[[PreparedDataset, Written], None]
    mean_face: str = ""


@dataclass(frozen=True)
class Written:
    """A release on disk: the ids of its faces as the writer names them, and the faces, in one order."""

    trip: Trip
    sources: list[Path]
    ids: list[str]
    faces: Sequence[RenderedFace]

    def check(self, target: Path) -> None:
        """Prepare the release, and compare what comes back."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "load_manifest", _with_few_to_train)
            done = prepare(self.trip.dataset, self.sources, target, partial=True)
        self.trip.compare(open_dataset(done.path), self)


def _with_few_to_train(path: Path) -> Manifest:
    """Load a manifest, in which CCL's list for training is so short that some of our faces are beyond it."""
    manifest = load_manifest(path)
    if manifest.name != "aflw":
        return manifest
    few = manifest.splits["aflw19-train"].model_copy(update={"count": CCL_TRAIN})
    return manifest.model_copy(update={"splits": {**manifest.splits, "aflw19-train": few}})


def write(name: str, folder: Path, faces: Sequence[RenderedFace]) -> Written:
    """Write faces as a release; one more of AFLW has so few points that only its box tells which it is."""
    trip = TRIPS[name]
    if name == "aflw":
        faces = [*faces, barely_seen(faces[1])]
    ids = trip.write(folder / "release", iter(faces))
    sources = [folder / "release"]
    if trip.mean_face:
        sources.append(trees.write_mean_face(folder / "mean", trip.mean_face))
    return Written(trip, sources, ids, faces)


def barely_seen(face: RenderedFace) -> RenderedFace:
    """The face behind something that leaves two points free."""
    states = np.full_like(face.visibility, OCCLUDED)
    states[[8, 30]] = VISIBLE
    return replace(
        face, visibility=states, feature_visibility=dict.fromkeys(face.feature_visibility, OCCLUDED)
    )


def truth(faces: Sequence[RenderedFace], scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """The (N, K, 2) pixels and (N, K) states of a scheme, by the names of its points."""
    of68 = {name: row for row, name in enumerate(get_scheme("ibug68").points)}
    points, states = [], []
    for face in faces:
        for name in get_scheme(scheme).points:
            if name in of68:
                points.append(face.points[of68[name]])
                states.append(face.visibility[of68[name]])
            else:
                x, y, z = face.features[name]
                k = face.camera
                points.append([k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]])
                states.append(face.feature_visibility[name])
    shape = (len(faces), len(get_scheme(scheme)))
    return np.reshape(points, (*shape, 2)), np.reshape(states, shape)


def tight(points: np.ndarray) -> np.ndarray:
    """The (N, 4) boxes of (N, K, 2) points, NaN left out."""
    return np.concatenate([np.nanmin(points, axis=1), np.nanmax(points, axis=1)], axis=1)


def same(found: np.ndarray, expected: np.ndarray, within: float, what: str) -> None:
    """Compare numbers; NaN only where NaN is expected."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=within, err_msg=what)


def same_states(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    np.testing.assert_array_equal(found, expected, err_msg=what)


def same_turn(found: np.ndarray, expected: np.ndarray, within: float, what: str) -> None:
    """Compare rotations by the angle between them, in degrees."""
    apart = geodesic_distance(found, expected)
    assert (apart <= within).all(), f"{what}: up to {apart.max()} degrees off"


def rows_of(dataset: PreparedDataset, ids: list[str]) -> np.ndarray:
    assert sorted(ids) == dataset.ids
    return np.array([dataset.ids.index(one) for one in ids])


def same_images(dataset: PreparedDataset, rows: np.ndarray, faces: Sequence[RenderedFace]) -> None:
    for row, face in zip(rows, faces, strict=True):
        np.testing.assert_array_equal(dataset.decode_image(dataset.image_of[row]), face.image)


def near_pose(found: np.ndarray, boxes: np.ndarray, faces: Sequence[RenderedFace], what: str) -> None:
    """Compare the poses that POSIT found with those of the faces, and with another algorithm's.

    The recipes take the camera from the box of the face (PROTOCOLS 2.4), as if every face were photographed
    from a third of a metre.  So the other algorithm gets this camera as well, and only by as much as head and
    expression differ from the mean may the two disagree.
    """
    true = geodesic_distance(found, np.array([face.rotation for face in faces]))
    assert np.median(true) < CAMERA_MEDIAN, f"{what}: median {np.median(true)} degrees off"
    assert true.max() < CAMERA_MOST, f"{what}: up to {true.max()} degrees off"
    shared = [row for row, label in enumerate(get_scheme("ibug68").upm_labels) if label <= 24]
    other = []
    for face, (x_min, y_min, x_max, y_max) in zip(faces, boxes, strict=True):
        focal = 1.5 * 1.6 * (y_max - y_min)
        camera = np.array([[focal, 0, (x_min + x_max) / 2], [0, focal, (y_min + y_max) / 2], [0, 0, 1]])
        flags = cv2.SOLVEPNP_SQPNP
        done, turn, _ = cv2.solvePnP(mean_head()[shared], face.points[shared], camera, None, flags=flags)
        assert done
        other.append(cv2.Rodrigues(turn)[0])
    apart = geodesic_distance(found, np.array(other))
    assert np.median(apart) < OTHER_MEDIAN, (
        f"{what}: median {np.median(apart)} degrees from another algorithm"
    )
    assert apart.max() < OTHER_MOST, f"{what}: up to {apart.max()} degrees from another algorithm"


def of_split(dataset: PreparedDataset, name: str) -> set[str]:
    return {dataset.ids[row] for row in dataset.splits.get(name, ())}


def compare_300w(dataset: PreparedDataset, written: Written) -> None:
    ids, faces = written.ids, written.faces
    rows = rows_of(dataset, ids)
    same_images(dataset, rows, faces)
    points, _ = truth(faces, "ibug68")
    found = dataset.annotations["ibug68"]
    same(found.points[rows], points, SIX_DIGITS, "points")
    same_states(found.visibility[rows], np.full(points.shape[:2], UNKNOWN), "visibility")
    boxes = tight(points)
    same(dataset.boxes["landmarks"][rows], boxes, SIX_DIGITS, "box of the landmarks")
    private = np.array([one.startswith("300W/") for one in ids])
    boxes[private] = np.nan
    same(dataset.boxes["dataset"][rows], boxes, SIX_DIGITS, "official box")
    size = boxes[:, 2:] - boxes[:, :2]
    smaller = boxes + np.hstack([size * [0.07, 0.02], size * [-0.03, -0.08]])
    same(dataset.boxes["detector"][rows], smaller, 2 * SIX_DIGITS, "box of the detector")
    assert of_split(dataset, "challenging") == {one for one in ids if one.startswith("ibug/")}
    assert of_split(dataset, "private") == {one for one in ids if one.startswith("300W/")}
    for recipe in ("mnn", "spiga"):
        near_pose(dataset.poses[recipe][rows], tight(points), faces, f"pose {recipe}")


def compare_aflw(dataset: PreparedDataset, written: Written) -> None:
    ids, faces = written.ids, written.faces
    rows = rows_of(dataset, ids)
    same_images(dataset, rows, faces)
    points, states = truth(faces, "aflw21")
    seen = states == VISIBLE
    found = dataset.annotations["aflw21"]
    same(found.points[rows], np.where(seen[..., None], points, np.nan), 1e-9, "21 points")
    same_states(found.visibility[rows], np.where(seen, VISIBLE, HIDDEN), "21 points, visibility")
    same(dataset.boxes["landmarks"][rows], tight(found.points[rows]), 1e-9, "box of the landmarks")
    seen_turn = np.array([face.rotation for face in faces])
    same_turn(dataset.poses["release"][rows], seen_turn, 1e-6, "pose of the release")
    # Ry(yaw) Rx(-pitch) Rz(-roll), by another library (PROTOCOLS 2.1).
    angles = dataset.pose_source[rows] * [1, -1, -1]
    same_turn(Rotation.from_euler("YXZ", angles).as_matrix(), seen_turn, 1e-6, "numbers of the release")
    _compare_rectangles(dataset.boxes["dataset"][rows], tight(points))
    meta = dataset.source["meta"][rows]
    same_states(meta[:, 1], (states == OCCLUDED).any(axis=1), "FaceMetaData, occluded")

    points, states = truth(faces, "aflw19")
    found = dataset.annotations["aflw19"]
    same(found.points[rows], points, 1e-9, "19 points")
    same_states(
        found.visibility[rows], np.where(states == VISIBLE, VISIBLE, OCCLUDED), "19 points, visibility"
    )
    # The permutation is the reverse order, and begins with the faces to train.
    assert of_split(dataset, "aflw19-train") == set(ids[-CCL_TRAIN:])
    assert of_split(dataset, "aflw19-test") == set(ids[:-CCL_TRAIN])
    squares = dataset.boxes["dataset"][rows][:, None]
    inside = ((points >= squares[..., :2]) & (points <= squares[..., 2:])).all(axis=(1, 2))
    frontal = np.flatnonzero(inside & (states == VISIBLE).all(axis=1))
    assert of_split(dataset, "aflw19-frontal") == {ids[k] for k in frontal if k < len(ids) - CCL_TRAIN}

    points, states = truth(faces, "ibug68")
    found = dataset.annotations["merlrav68"]
    placed = (states != HIDDEN)[..., None]
    same(found.points[rows], np.where(placed, points, np.nan), SIX_DIGITS, "MERL-RAV")
    same_states(found.visibility[rows], states, "MERL-RAV, visibility")
    assert of_split(dataset, "merlrav-test") == set(ids[4::5])
    assert of_split(dataset, "merlrav-train") == set(ids) - set(ids[4::5])


def _compare_rectangles(found: np.ndarray, around: np.ndarray) -> None:
    """Compare AFLW's squares, 1.2 times as large as the points and hardly shifted, to whole pixels."""
    size = found[:, 2:] - found[:, :2]
    extent = (around[:, 2:] - around[:, :2]).max(axis=1, keepdims=True)
    same(size, np.repeat(1.2 * extent, 2, axis=1), 0.5, "size of the rectangle")
    middle, wanted = (found[:, :2] + found[:, 2:]) / 2, (around[:, :2] + around[:, 2:]) / 2
    same(middle, wanted + [0, 0.01] * (1.2 * extent), 0.8, "middle of the rectangle")


def compare_aflw2000(dataset: PreparedDataset, written: Written) -> None:
    ids, faces = written.ids, written.faces
    rows = rows_of(dataset, ids)
    same_images(dataset, rows, faces)
    points, _ = truth(faces, "ibug68")
    found = dataset.annotations["original"]
    same(found.points[rows], points, 2e-5, "points in single precision")
    expected = np.full(points.shape[:2], UNKNOWN)
    shared = [
        get_scheme("ibug68").index(p) for p in get_scheme("aflw21").points if p in get_scheme("ibug68").points
    ]
    assert len(shared) == 16
    seen = np.array([face.visibility == VISIBLE for face in faces])[:, shared]
    expected[:, shared] = np.where(seen, VISIBLE, OCCLUDED)
    same_states(found.visibility[rows], expected, "visibility")
    same(dataset.annotations["reannotated"].points[rows], points, 0.5 + 1e-9, "reannotated, whole pixels")
    same_states(dataset.annotations["reannotated"].visibility[rows], UNKNOWN, "reannotated, visibility")
    same(dataset.boxes["landmarks"][rows], tight(points), 2e-5, "box of the landmarks")
    seen_turn = np.array([face.rotation for face in faces])
    same_turn(dataset.poses["release"][rows], seen_turn, 1e-4, "pose of the release")
    # Rx(-pitch) Ry(yaw) Rz(roll), by another library (PROTOCOLS 2.1); pitch comes first.
    angles = dataset.pose_source[rows, :3] * [-1, 1, 1]
    same_turn(Rotation.from_euler("XYZ", angles).as_matrix(), seen_turn, 1e-4, "numbers of the release")
    assert set(dataset.source["roi"].ravel().tolist()) == {1, 450}


def compare_cofw(dataset: PreparedDataset, written: Written) -> None:
    ids, faces = written.ids, written.faces
    rows = rows_of(dataset, ids)
    same_images(dataset, rows, faces)
    points, states = truth(faces, "cofw29")
    found = dataset.annotations["cofw29"]
    same(found.points[rows], points, 1e-9, "29 points")
    same_states(
        found.visibility[rows], np.where(states == VISIBLE, VISIBLE, OCCLUDED), "29 points, visibility"
    )
    same(dataset.boxes["landmarks"][rows], tight(points), 1e-9, "box of the landmarks")
    _compare_boxes_around(dataset.boxes["dataset"][rows], tight(points), 0.1, "box of the release")
    near_pose(dataset.poses["mnn"][rows], dataset.boxes["dataset"][rows], faces, "pose mnn")

    tested = np.array([one.startswith("test/") for one in ids])
    assert tested.any()
    assert not tested.all()
    points, states = truth(faces, "ibug68")
    found = dataset.annotations["cofw68"]
    points[~tested] = np.nan
    same(found.points[rows], points, 1e-9, "68 points")
    expected = np.where(states == VISIBLE, VISIBLE, OCCLUDED)
    expected[~tested] = UNKNOWN
    same_states(found.visibility[rows], expected, "68 points, visibility")
    _compare_boxes_around(
        dataset.boxes["cofw68"][rows][tested], tight(points[tested]), 0.02, "box of COFW-68"
    )
    assert of_split(dataset, "cofw68") == of_split(dataset, "test") == set(np.array(ids)[tested])


def _compare_boxes_around(found: np.ndarray, around: np.ndarray, margin: float, what: str) -> None:
    """Compare boxes, larger than the points by a margin on each side, to whole pixels."""
    extent = around[:, 2:] - around[:, :2]
    same(found[:, 2:] - found[:, :2], extent * (1 + 2 * margin), 0.5, f"{what}: size")
    lower = [0, 0.1 * margin] * extent * (1 + 2 * margin)
    same(found[:, :2], around[:, :2] - margin * extent + lower, 0.5, f"{what}: corner")


def compare_biwi(dataset: PreparedDataset, written: Written) -> None:
    ids, faces = written.ids, written.faces
    rows = rows_of(dataset, ids)
    same_images(dataset, rows, faces)
    seen = np.array([face.rotation for face in faces])
    same_turn(dataset.poses["rgb"][rows], seen, SIX_DIGITS_TURN, "pose in the RGB camera's frame")
    # X_rgb = R X_depth + t, so R_rgb = R R_depth.
    turn, shift = RGB_FROM_DEPTH.rotation, RGB_FROM_DEPTH.translation
    same_turn(np.einsum("ij,njk->nik", turn, dataset.poses["depth"][rows]), seen, SIX_DIGITS_TURN, "pose")
    apart = geodesic_distance(dataset.poses["depth"][rows], seen)
    same(apart, geodesic_distance(turn, np.eye(3)), SIX_DIGITS_TURN, "angle between the two cameras")
    centres = np.array([face.centre for face in faces])
    middles = dataset.source["centre_mm"][rows]
    # Six digits: half a tenth of a millimetre of a metre and more.
    same(middles @ turn.T + shift, centres, 0.006, "head centre in mm")
    pixels = np.array([(face.camera @ face.centre)[:2] / face.centre[2] for face in faces])
    same(dataset.source["centre_px"][rows], pixels, 0.02, "head centre in pixels")
    focal = np.array([face.camera[[0, 1], [0, 1]] for face in faces])
    half = focal * [100, 120] / centres[:, 2:]
    same(dataset.boxes["head"][rows], np.hstack([pixels - half, pixels + half]), 0.03, "box of the head")
    assert dataset.annotations == {}
    for row, face in zip(rows, faces, strict=True):
        data = (written.sources[0] / "hpdb" / dataset.paths["depth"][row]).read_bytes()
        _compare_depth(read_depth(data), face)


def _compare_depth(found: np.ndarray, face: RenderedFace) -> None:
    """Carry what the depth camera measured over to the RGB camera, and compare it with the rendered depth."""
    y, x = np.nonzero(found)
    z = found[y, x].astype(float)
    rays = np.stack([x - DEPTH_CAMERA[0, 2], y - DEPTH_CAMERA[1, 2], np.full(x.shape, DEPTH_CAMERA[0, 0])], 1)
    measured = rays * (z / DEPTH_CAMERA[0, 0])[:, None]
    carried = measured @ RGB_FROM_DEPTH.rotation.T + RGB_FROM_DEPTH.translation
    column, row, _ = np.round(carried @ face.camera.T / carried[:, 2:]).astype(int).T
    height, width = face.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    assert inside.mean() > 0.99
    column, row, distance = column[inside], row[inside], carried[inside, 2]
    apart = np.abs(face.depth[row, column] - distance)
    # Edges are a pixel wide, and steep skin is some millimetres to the pixel.
    assert np.median(apart) < 1.0, f"depth: median {np.median(apart)} mm off"
    assert (apart < 6.0).mean() > 0.97, f"depth: {(apart < 6.0).mean():.1%} within 6 mm"
    surface = face.depth > 0
    met = np.zeros(surface.shape, bool)
    met[np.clip(row[:, None] + [-1, 0, 1], 0, height - 1), column[:, None]] = True
    met[:, 1:] |= met[:, :-1]
    met[:, :-1] |= met[:, 1:]
    assert met[surface].mean() > 0.8, f"depth: {met[surface].mean():.1%} of the surface was measured"


TRIPS = {
    trip.dataset: trip
    for trip in (
        Trip("300w", trees.write_300w_tree, compare_300w, "ibug68"),
        Trip("aflw", trees.write_aflw_tree, compare_aflw),
        Trip("aflw2000", trees.write_aflw2000_tree, compare_aflw2000),
        Trip("cofw", trees.write_cofw_tree, compare_cofw, "cofw29"),
        Trip("biwi", trees.write_biwi_tree, compare_biwi),
    )
}

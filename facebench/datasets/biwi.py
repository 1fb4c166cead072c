"""BIWI Kinect Head Pose: 15,678 frames of 20 people who turn their head in front of a Kinect.

The facts (layout, people, lists of frames, faults) are in ``manifests/biwi.toml`` and the tables beside it;
PROTOCOLS 1.7, 2.3.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.datasets.manifest import Manifest
from facebench.datasets.refusals import no_release
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.datasets.splits import split_rows
from facebench.errors import DataMissing, Faults, InvalidData, name_some
from facebench.formats import Content, Progress, ids_sha256
from facebench.geometry import not_rotations

__all__ = ["DATASET", "HEAD_MM", "Camera", "head_boxes", "read", "read_camera", "read_depth", "read_pose"]

Floats = NDArray[np.float64]
T = TypeVar("T")
Files = list[tuple[str, re.Match[str]]]

MEMBER = re.compile(
    r"(?P<folder>(?:.*/)?)(?P<sequence>\d\d)/"
    r"(?:(?P<frame>frame_\d{5})_(?P<kind>rgb\.png|pose\.txt|depth\.bin)|(?P<camera>rgb|depth)\.cal)"
)

#: Width and height in mm of the upright box ``head`` at the distance of the head centre: our own choice.
HEAD_MM = (200.0, 240.0)

# Of a Kinect of the first generation; any other size in a file's head is damage.
DEPTH_WIDTH, DEPTH_HEIGHT = 640, 480

POSE_COLUMNS = (
    "the matrix of _pose.txt row by row: 00, 01, 02, 10, 11, 12, 20, 21, 22 (R_cam of the depth camera), "
    "then the head centre x, y, z in mm in the depth camera's frame"
)


@dataclass(frozen=True)
class Camera:
    """A calibrated camera of the Kinect, from a ``.cal`` file.

    Attributes
    ----------
    matrix : (3, 3) focal lengths and principal point in pixels.
    rotation, translation : (3, 3) and (3,) mm, ``X_camera = rotation @ X_depth + translation``.
    size : width, height in pixels.
    """

    matrix: Floats
    rotation: Floats
    translation: Floats
    size: tuple[int, int]

    def see(self, points: ArrayLike) -> Floats:
        """Move (N, 3) points in mm from the frame of the depth camera into that of this one."""
        return np.asarray(points, float) @ self.rotation.T + self.translation

    def project(self, points: ArrayLike) -> Floats:
        """Project (N, 3) points in mm, in the frame of the depth camera, to (N, 2) pixels of this one."""
        seen = self.see(points) @ self.matrix.T
        return seen[:, :2] / seen[:, 2:]


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the release.

    Parameters
    ----------
    sources : the first one that has folders ``NN`` of a sequence each, anywhere inside one folder.
    partial : accept fewer frames than the release has; splits that are not complete are left out.
    """
    source, folder, names = _find(sources, manifest)
    people = {row["sequence"]: row for row in manifest.table("sequences")}
    frames = _complete_frames(source, names, people)
    ids = sorted(frames)
    if not partial and len(ids) != manifest.faces:
        raise _wrong_count(source, ids, people, manifest)
    sequences = [one[:2] for one in ids]
    cameras, calibrations = _read_cameras(source, names, sorted(set(sequences)))
    rotations, centres = _read_poses(source, [frames[one]["pose.txt"] for one in ids], progress)
    in_rgb = np.empty_like(rotations)
    pixels, heads = np.empty((len(ids), 2)), np.empty((len(ids), 4))
    faults = Faults(str(source.path))
    for sequence, camera in cameras.items():
        rows = np.flatnonzero(np.array(sequences) == sequence)
        in_rgb[rows] = camera.rotation @ rotations[rows]
        behind = rows[camera.see(centres[rows])[:, 2] <= 0]
        for row in behind:
            faults.add(frames[ids[row]]["pose.txt"], f"head centre {centres[row]} mm: behind the RGB camera")
        if not len(behind):
            pixels[rows], heads[rows] = camera.project(centres[rows]), head_boxes(camera, centres[rows])
    faults.raise_if_any("Obtain these files again, or the rgb.cal of their sequence.")
    detected = _detected_boxes(ids, manifest)
    subjects = [people[sequence]["subject"] for sequence in sequences]
    parts = np.array([people[sequence]["part"] for sequence in sequences])
    computed = {
        "mtcnn-13219": np.flatnonzero(~np.isnan(detected[:, 0])),
        "train-subjects": np.flatnonzero(parts == "train"),
        "test-subjects": np.flatnonzero(parts == "test"),
    }
    splits = split_rows(ids, manifest, computed, partial=partial)
    notes = []
    if partial:
        splits, cut = _whole_splits(ids, splits, manifest)
        if len(ids) < manifest.faces:
            notes.append(f"a part of the release: {len(ids)} of {manifest.faces} faces")
        if cut:
            notes.append(f"splits left out because frames of theirs are absent: {', '.join(cut)}")
    depths = [_inside(frames[one].get("depth.bin", ""), folder) for one in ids]
    if without := [one for one, path in zip(ids, depths, strict=True) if not path]:
        notes.append(f"no depth image of {len(without)} of {len(ids)} frames: {name_some(without)}")
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[
            source.image(name, _inside(name, folder)) for name in (frames[one]["rgb.png"] for one in ids)
        ],
        image_of=np.arange(len(ids)),
        annotations={},
        splits=splits,
        boxes={"mtcnn": detected, "head": heads},
        poses={"depth": rotations, "rgb": in_rgb},
        pose_source=np.concatenate([rotations.reshape(-1, 9), centres], axis=1),
        pose_columns=POSE_COLUMNS,
        source={"centre_px": pixels, "centre_mm": centres},
        groups={"sequence": sequences, "subject": subjects},
        paths={"depth": depths},
    )
    used = [frames[one][kind] for one in ids for kind in ("rgb.png", "pose.txt")]
    root = source.path / folder if source.path.is_dir() else None
    return Release(content, {"release": (source, sorted([*used, *calibrations]))}, notes, root)


def _find(sources: Sequence[Source], manifest: Manifest) -> tuple[Source, str, Files]:
    """Find the one folder with sequences: its source, its path with ``/`` at the end, its files."""
    found: dict[tuple[int, str], Files] = {}
    for number, source in enumerate(sources):
        for name in source:
            if match := MEMBER.fullmatch(name):
                found.setdefault((number, match["folder"]), []).append((name, match))
    # The .cal files alone are no sequence.
    found = {place: files for place, files in found.items() if any(match["frame"] for _, match in files)}
    if not found:
        raise no_release(
            sources, manifest, "folders 01 to 24 of frame_NNNNN_rgb.png and frame_NNNNN_pose.txt"
        )
    if len(found) > 1:
        places = name_some(sources[number].where(folder) for number, folder in found)
        msg = f"found sequences in {len(found)} folders ({places}); give the one to use as --source."
        raise InvalidData(msg)
    (((number, folder), files),) = found.items()
    if idle := [one for row, one in enumerate(sources) if row != number]:
        msg = f"{idle[0].path}: nothing of {manifest.title} that the other source has not given already."
        raise DataMissing(msg)
    return sources[number], folder, files


def _inside(name: str, folder: str) -> str:
    return name.removeprefix(folder)


def _complete_frames(source: Source, names: Files, people: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return the files of every frame by face id and kind, and refuse when one is missing."""
    frames: dict[str, dict[str, str]] = {}
    for name, match in names:
        if match["frame"]:
            frames.setdefault(f"{match['sequence']}/{match['frame']}", {})[match["kind"]] = name
    faults = Faults(str(source.path))
    for one, files in sorted(frames.items()):
        any_name = next(iter(files.values()))
        if one[:2] not in people:
            faults.add(any_name, f"the release has no sequence {one[:2]}, only 01 to {max(people)}")
        for kind in ("rgb.png", "pose.txt"):
            if kind not in files:
                faults.add(any_name, f"has no {one[3:]}_{kind} beside it")
    faults.raise_if_any("Every frame needs its image and its pose: unpack the release again.")
    return frames


def _wrong_count(
    source: Source, ids: Sequence[str], people: Mapping[str, Mapping[str, str]], manifest: Manifest
) -> InvalidData:
    have = Counter(one[:2] for one in ids)
    other = [
        f"{sequence} has {have[sequence]} of {row['frames']}"
        for sequence, row in people.items()
        if have[sequence] != int(row["frames"])
    ]
    return InvalidData(
        f"{source.path}: expected {manifest.faces} faces, found {len(ids)}; sequence {name_some(other)}. "
        f"Unpack the release again, or prepare the part that is there with '--partial'."
    )


def _whole_splits(
    ids: Sequence[str], splits: Mapping[str, NDArray[np.int64]], manifest: Manifest
) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Keep ``all`` and the splits none of whose frames is absent; also name the others."""
    kept = {
        name: rows
        for name, rows in splits.items()
        if name == "all" or ids_sha256(ids[row] for row in rows) == manifest.splits[name].sha256
    }
    return kept, [name for name in splits if name not in kept]


def _detected_boxes(ids: Sequence[str], manifest: Manifest) -> Floats:
    """Return the (N, 4) published boxes of the detector, NaN for a frame without."""
    edges = ("x_min", "y_min", "x_max", "y_max")
    table = {
        f"{row['sequence']}/frame_{row['frame']:>05}": [float(row[edge]) for edge in edges]
        for row in manifest.table("mtcnn")
    }
    return np.array([table.get(one, [np.nan] * 4) for one in ids], float).reshape(-1, 4)


def head_boxes(camera: Camera, centres: ArrayLike) -> Floats:
    """Return (N, 4) boxes of ``HEAD_MM`` in the image of a camera around (N, 3) head centres in mm.

    An upright rectangle that faces the camera at the depth of the centre, whatever the pose of the head.
    """
    points = np.asarray(centres, float)
    focal = camera.matrix[[0, 1], [0, 1]]
    half = 0.5 * np.array(HEAD_MM) * focal / camera.see(points)[:, 2:]
    middle = camera.project(points)
    return np.concatenate([middle - half, middle + half], axis=1)


def _read_cameras(
    source: Source, names: Files, sequences: Sequence[str]
) -> tuple[dict[str, Camera], list[str]]:
    """Read the RGB camera of each sequence; also return the names of the files read.

    Where there is a ``depth.cal`` too, it must say that the depth camera is the frame of reference.
    """
    files = {(match["sequence"], match["camera"]): name for name, match in names if match["camera"]}
    folder = {match["sequence"]: name.rpartition("/")[0] for name, match in names}
    faults = Faults(str(source.path))
    cameras, used = {}, []
    for sequence in sequences:
        for kind in ("rgb", "depth"):
            name = files.get((sequence, kind))
            if name is None:
                if kind == "rgb":
                    faults.add(f"{folder[sequence]}/rgb.cal", "missing; the pose and boxes need it")
                continue
            used.append(name)
            camera = _collect(read_camera, source.read(name), name, faults)
            if camera is None:
                continue
            if kind == "rgb":
                cameras[sequence] = camera
            elif not (np.allclose(camera.rotation, np.eye(3)) and np.allclose(camera.translation, 0)):
                faults.add(name, "expected rotation 1 and translation 0: poses are in the depth frame")
    faults.raise_if_any("Obtain these files again: every sequence has a calibration of its own.")
    return cameras, used


def _read_poses(source: Source, names: Sequence[str], progress: Progress) -> tuple[Floats, Floats]:
    """Read (N, 3, 3) rotations and (N, 3) head centres in mm."""
    faults = Faults(str(source.path))
    poses = [
        _collect(read_pose, source.read(name), name, faults) for name in progress(names, len(names), "poses")
    ]
    faults.raise_if_any("Unpack the release again, or obtain these files again.")
    found = [pose for pose in poses if pose is not None]
    return np.array([one[0] for one in found]), np.array([one[1] for one in found])


def _collect(reader: Callable[[bytes], T], data: bytes, name: str, faults: Faults) -> T | None:
    try:
        return reader(data)
    except InvalidData as error:
        faults.add(name, str(error))
        return None


def read_pose(data: bytes) -> tuple[Floats, Floats]:
    """Decode a ``_pose.txt``: the (3, 3) rotation and the (3,) head centre in mm, in the depth frame.

    Raises
    ------
    InvalidData : says what was expected and found; the caller knows the file.
    """
    rows = _numbers(data)
    if [len(row) for row in rows] != [3, 3, 3, 3]:
        msg = f"expected 4 rows of 3 numbers (rotation, head centre), found rows of {_lengths(rows)}"
        raise InvalidData(msg)
    values = np.array(rows)
    if not np.isfinite(values).all():
        msg = "expected finite numbers, found NaN or infinity"
        raise InvalidData(msg)
    if not_rotations(values[None, :3])[0]:
        msg = f"expected a rotation matrix in rows 1 to 3, found {values[:3].tolist()}"
        raise InvalidData(msg)
    return values[:3], values[3]


def read_camera(data: bytes) -> Camera:
    """Decode a ``.cal`` file: the first three rows, and the last five; what is between them is not used.

    Raises
    ------
    InvalidData : says what was expected and found; the caller knows the file.
    """
    rows = _numbers(data)
    shape = [len(row) for row in (*rows[:3], *rows[-5:])]
    if len(rows) < 8 or shape != [3, 3, 3, 3, 3, 3, 3, 2]:
        msg = (
            "expected rows of 3 (camera matrix), 3, 3, those of the distortion, 3 (rotation), 3, 3, "
            f"3 (translation) and 2 numbers (size), found rows of {_lengths(rows)}"
        )
        raise InvalidData(msg)
    matrix, rotation = np.array(rows[:3]), np.array(rows[-5:-2])
    translation, size = np.array(rows[-2]), np.array(rows[-1])
    if not all(np.isfinite(values).all() for values in (matrix, rotation, translation, size)):
        msg = "expected finite numbers, found NaN or infinity"
        raise InvalidData(msg)
    if (matrix[[0, 1], [0, 1]] <= 0).any() or matrix[2].tolist() != [0.0, 0.0, 1.0]:
        msg = f"expected a camera matrix in rows 1 to 3, found {matrix.tolist()}"
        raise InvalidData(msg)
    if not_rotations(rotation[None])[0]:
        msg = f"expected a rotation matrix, found {rotation.tolist()}"
        raise InvalidData(msg)
    return Camera(matrix, rotation, translation, (int(size[0]), int(size[1])))


def _numbers(data: bytes) -> list[list[float]]:
    """Return the numbers of each line that has any."""
    try:
        return [
            [float(word) for word in line.split()]
            for line in data.decode("ascii").splitlines()
            if line.strip()
        ]
    except ValueError as error:
        msg = f"expected rows of numbers, found other text ({error})"
        raise InvalidData(msg) from error


def _lengths(rows: Sequence[Sequence[float]]) -> str:
    return name_some((len(row) for row in rows), shown=12) or "nothing"


def read_depth(data: bytes) -> NDArray[np.uint16]:
    """Decode a ``_depth.bin``: (480, 640) millimetres, 0 where the sensor saw nothing.

    The file has the width and the height, then runs until every pixel has its value: how many are empty, how
    many are not, and the values of those.

    Raises
    ------
    InvalidData : the file was cut short or is no depth image; the caller knows the file.
    """
    expected = DEPTH_WIDTH * DEPTH_HEIGHT
    size = struct.unpack_from("<2i", data) if len(data) >= 8 else None
    if size != (DEPTH_WIDTH, DEPTH_HEIGHT):
        found = "{} x {}".format(*size) if size else f"{len(data)} bytes"
        msg = f"expected a depth image of {DEPTH_WIDTH} x {DEPTH_HEIGHT} pixels, found {found}"
        raise InvalidData(msg)
    depth = np.zeros(expected, np.uint16)
    at, pixel = 8, 0
    while pixel < expected:
        if at + 8 > len(data):
            msg = f"the depth image was cut short: {pixel} of {expected} pixels in {len(data)} bytes"
            raise InvalidData(msg)
        empty, full = struct.unpack_from("<2i", data, at)
        at += 8
        if empty < 0 or full < 0 or empty + full == 0 or pixel + empty + full > expected:
            msg = (
                f"expected a run within {expected} pixels, found {empty} empty and {full} full after {pixel}"
            )
            raise InvalidData(msg)
        if at + 2 * full > len(data):
            msg = f"the depth image was cut short: {pixel} of {expected} pixels in {len(data)} bytes"
            raise InvalidData(msg)
        pixel += empty + full
        depth[pixel - full : pixel] = np.frombuffer(data, "<u2", full, at)
        at += 2 * full
    if at != len(data):
        msg = f"expected {at} bytes for {expected} pixels of depth, found {len(data)}"
        raise InvalidData(msg)
    return depth.reshape(DEPTH_HEIGHT, DEPTH_WIDTH)


DATASET = Dataset("biwi", read)

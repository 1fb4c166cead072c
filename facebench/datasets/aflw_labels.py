"""Further labels of AFLW's faces: the 19 points of CCL, and the 68 points of MERL-RAV.

Neither names the faces by AFLW's ids, only by image.  So each label is given to the face of its image that it
fits: by AFLW's own points where both have them, else by the rectangle.  PROTOCOLS 1.2 and 1.9.
"""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest
from facebench.datasets.pts import read_pts
from facebench.datasets.sources import Source
from facebench.errors import Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Progress
from facebench.geometry import correspondences, get_scheme, tight_box

__all__ = ["Labels", "Targets", "match", "read_ccl", "read_merlrav"]

Floats = NDArray[np.float64]
States = NDArray[np.uint8]
Rows = NDArray[np.int64]

CCL_FILE = re.compile(r"(?i)(?:.*/)?aflwinfo[^/]*\.mat")
MERLRAV_FILE = re.compile(
    r"(?:.*/)?(?P<view>frontal|left|lefthalf|right|righthalf)/(?P<part>train|test)set/(?:labels/)?"
    r"(?P<name>(?P<stem>image\d+)(?:_\d+)?)\.pts"
)

#: What is read from the .mat of CCL: the key, and how many columns it has.
CCL_KEYS = {"bbox": 4, "data": 38, "mask_new": 19}

# A label belongs to a face when its points are on average this close to AFLW's own, in units of the
# rectangle.  Genuine pairs have 0.03 and rarely more than 0.05; the next face is further than 0.9.
NEAR_POINTS = 0.15
COMMON_POINTS = 3

# Without points in common: the distance of the centres in units of the rectangle, plus half the logarithm of
# the ratio of the sizes.  Genuine pairs have 0.2 to 0.4.
NEAR_BOX = 0.6


@dataclass(frozen=True)
class Targets:
    """The N faces that labels are given to: ids, stem of the image, x, y, w, h, and AFLW's 21 points."""

    ids: Sequence[str]
    stems: Sequence[str]
    rectangles: Floats
    points: Floats


@dataclass(frozen=True)
class Labels:
    """One labelling brought to the rows of the faces.

    Attributes
    ----------
    annotation : NaN and unknown for a face without a label.
    splits : rows by name of the split.
    listed : how many labels the release lists for each of these splits, with a face or without.
    """

    source: Source
    names: list[str]
    annotation: AnnotationSet
    splits: dict[str, Rows]
    listed: dict[str, int]
    notes: list[str]


def read_ccl(sources: Sequence[Source], targets: Targets, manifest: Manifest) -> Labels | None:
    """Read the 19 points of CCL, where a source holds ``AFLWinfo_release.mat``."""
    found = [(source, name) for source in sources for name in source if CCL_FILE.fullmatch(name)]
    if not found:
        return None
    if len(found) > 1:
        places = name_some(source.where(name) for source, name in found)
        msg = f"found {len(found)} files of 19-point labels ({places}); give the one to use as --source."
        raise InvalidData(msg)
    source, name = found[0]
    values, images = _read_ccl_mat(source, name)
    points = np.stack([values["data"][:, :19], values["data"][:, 19:]], axis=2)
    seen: NDArray[np.bool_] = np.greater(values["mask_new"], 0)
    # A point without a position is stored as (0, 0) or as no number at all.
    placed = np.isfinite(points).all(axis=2) & (seen | (points != 0).any(axis=2))
    points[~placed] = np.nan
    states = np.select(
        [~placed, seen], [VISIBILITY["hidden"], VISIBILITY["visible"]], VISIBILITY["occluded"]
    ).astype(np.uint8)
    boxes = values["bbox"][:, [0, 2, 1, 3]]
    stems = [re.split(r"[/\\]", image)[-1].rpartition(".")[0] for image in images]
    rows = match(stems, points, "aflw19", targets, boxes)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    frontal = np.all(seen, axis=1) & np.all((points >= low) & (points <= high), axis=(1, 2))
    train = manifest.splits["aflw19-train"].count
    members = {
        "aflw19-train": values["ra"][:train],
        "aflw19-test": values["ra"][train:],
        "aflw19-frontal": values["ra"][train:][frontal[values["ra"][train:]]],
    }
    splits = {split: _given(rows, ones) for split, ones in members.items()}
    listed = {split: len(ones) for split, ones in members.items()}
    names = [f"{image} (row {row})" for row, image in enumerate(images)]
    return Labels(
        source,
        [name],
        _spread(rows, points, states, "aflw19", len(targets.ids)),
        splits,
        listed,
        _unmatched(rows, names, "19-point labels of CCL"),
    )


def _read_ccl_mat(source: Source, name: str) -> tuple[dict[str, NDArray], list[str]]:
    from scipy.io import loadmat

    data = source.read(name)
    try:
        found: dict[str, Any] = loadmat(io.BytesIO(data), variable_names=[*CCL_KEYS, "nameList", "ra"])
    except Exception as error:  # a damaged file makes loadmat raise almost anything
        msg = f"{source.where(name)}: not a readable MATLAB file ({type(error).__name__}: {error})."
        raise InvalidData(msg) from error
    faults = Faults(source.where(name))
    for key in (*CCL_KEYS, "nameList", "ra"):
        if key not in found or not isinstance(found[key], np.ndarray):
            faults.add(f"key '{key}'", "expected an array, found none")
    faults.raise_if_any("Obtain AFLWinfo_release.mat again.")
    count = found["nameList"].size
    for key, columns in CCL_KEYS.items():
        if found[key].shape != (count, columns) or found[key].dtype.kind not in "biuf":
            where = f"{found[key].shape} of {found[key].dtype}"
            faults.add(f"key '{key}'", f"expected shape ({count}, {columns}) of numbers, found {where}")
    if found["ra"].dtype.kind not in "iuf" or sorted(found["ra"].ravel()) != list(range(1, count + 1)):
        faults.add("key 'ra'", f"expected each of the numbers 1 to {count} once")
    images = [str(np.ravel(one)[0]) if np.size(one) else "" for one in found["nameList"].ravel()]
    faults.raise_if_any("Obtain AFLWinfo_release.mat again.")
    values = {key: found[key].astype(np.float64) for key in CCL_KEYS}
    for row in np.flatnonzero(~np.isfinite(values["bbox"]).all(axis=1)).tolist():
        faults.add(f"key 'bbox', {images[row]}", "expected finite numbers, found NaN or infinity")
    seen = np.repeat(values["mask_new"][:, None] > 0, 2, axis=1).reshape(count, 38)
    for row in np.flatnonzero((seen & ~np.isfinite(values["data"])).any(axis=1)).tolist():
        faults.add(f"key 'data', {images[row]}", "a visible point is NaN or infinite")
    faults.raise_if_any("Obtain AFLWinfo_release.mat again.")
    return {**values, "ra": found["ra"].ravel().astype(np.int64) - 1}, images


def read_merlrav(sources: Sequence[Source], targets: Targets, progress: Progress) -> Labels | None:
    """Read the 68 points of MERL-RAV, where a source holds them."""
    found = [(source, MERLRAV_FILE.fullmatch(name)) for source in sources for name in source]
    matched = [(source, one) for source, one in found if one]
    if not matched:
        return None
    places = {id(source): source for source, _ in matched}
    if len(places) > 1:
        where = name_some(source.path for source in places.values())
        msg = f"found labels of MERL-RAV in {len(places)} sources ({where}); give the one to use as --source."
        raise InvalidData(msg)
    source = matched[0][0]
    faults = Faults(str(source.path))
    files = [one for _, one in matched]
    for label, count in Counter(one["name"] for one in files).items():
        if count > 1:
            where = name_some(one[0] for one in files if one["name"] == label)
            faults.add(f"{label}.pts", f"expected one file for each label, found {count}: {where}")
    faults.raise_if_any("Unpack the labels again, into an empty folder.")
    points = np.empty((len(files), 68, 2))
    for row, one in enumerate(progress(files, len(files), "MERL-RAV")):
        try:
            points[row] = read_pts(source.read(one[0]))
        except ValueError as error:
            faults.add(one[0], str(error))
    faults.raise_if_any("Obtain these files again.")
    points, states = decode_signs(points, [one[0] for one in files], faults)
    rows = match([one["stem"] for one in files], points, "ibug68", targets)
    members: dict[str, list[int]] = defaultdict(list)
    for label, one in enumerate(files):
        members[f"merlrav-{one['part']}"].append(label)
        members[f"merlrav-{one['part']}-{one['view']}"].append(label)
    return Labels(
        source,
        [one[0] for one in files],
        _spread(rows, points, states, "ibug68", len(targets.ids)),
        {split: _given(rows, np.array(labels, np.int64)) for split, labels in members.items()},
        {split: len(labels) for split, labels in members.items()},
        _unmatched(rows, [one["name"] for one in files], "labels of MERL-RAV"),
    )


def decode_signs(stored: Floats, names: Sequence[str], faults: Faults) -> tuple[Floats, States]:
    """Return points and visibility of (N, 68, 2) numbers as MERL-RAV stores them.

    ``(x, y)`` is visible, ``(-x, -y)`` occluded at (x, y), ``(-1, -1)`` hidden by the face itself.
    """
    negative = stored < 0
    for row in np.flatnonzero((negative[..., 0] != negative[..., 1]).any(axis=1)).tolist():
        faults.add(names[row], "expected x and y of one sign, found a point with two")
    faults.raise_if_any("Obtain these files again.")
    hidden, occluded = (stored == -1).all(axis=2), negative[..., 0]
    points = np.where(hidden[..., None], np.nan, np.abs(stored))
    choices = [VISIBILITY["hidden"], VISIBILITY["occluded"]]
    return points, np.select([hidden, occluded], choices, VISIBILITY["visible"]).astype(np.uint8)


def match(
    stems: Sequence[str], points: Floats, scheme: str, targets: Targets, boxes: Floats | None = None
) -> Rows:
    """Return the row of the face that each label fits, -1 where none does.

    A face gets one label at most, and the sum of the distances in an image is the smallest possible.

    Parameters
    ----------
    stems : of each label's image, ``image00002``.
    points : (n, K, 2) points of ``scheme``; NaN where one has no position.
    boxes : (n, 4) of the labels; the tight boxes of the points where they are not given.
    """
    from scipy.optimize import linear_sum_assignment

    in_image: dict[str, list[int]] = defaultdict(list)
    for row, stem in enumerate(targets.stems):
        in_image[stem].append(row)
    pairs = np.array([(i, j) for i, stem in enumerate(stems) for j in in_image.get(stem, [])], np.int64)
    rows = np.full(len(stems), -1, np.int64)
    if not len(pairs):
        return rows
    boxes = tight_box(points) if boxes is None else boxes
    distances = _distances(pairs, points, scheme, boxes, targets)
    begin = 0
    of_image = np.unique([stems[i] for i in pairs[:, 0]], return_inverse=True)[1]
    order = np.argsort(of_image, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(of_image[order])) + 1, len(order))
    for end in ends:
        some, begin = order[begin:end], end
        if len(some) == 1:
            chosen = some
        else:
            labels, at = np.unique(pairs[some, 0], return_inverse=True)
            faces, to = np.unique(pairs[some, 1], return_inverse=True)
            table = np.ones((len(labels), len(faces)))
            table[at, to] = np.minimum(distances[some], 1)
            which = np.full(table.shape, -1)
            which[at, to] = some
            chosen = which[linear_sum_assignment(table)]
        near = chosen[distances[chosen] < 1]
        rows[pairs[near, 0]] = pairs[near, 1]
    return rows


def _distances(pairs: Rows, points: Floats, scheme: str, boxes: Floats, targets: Targets) -> Floats:
    """Return how far each label is from each face; below 1 they may be the same."""
    label, face = pairs.T
    theirs, ours = np.array(correspondences(scheme, "aflw21")).T
    apart = np.linalg.norm(points[label][:, theirs] - targets.points[face][:, ours], axis=2)
    common = np.isfinite(apart)
    count = common.sum(axis=1)
    size = np.maximum(targets.rectangles[face, 2:].max(axis=1), 1e-9)
    by_points = np.where(common, apart, 0).sum(axis=1) / np.maximum(count, 1) / size / NEAR_POINTS
    corner, extent = targets.rectangles[face, :2], targets.rectangles[face, 2:]
    centre = (boxes[label, :2] + boxes[label, 2:]) / 2
    reach = np.maximum((boxes[label, 2:] - boxes[label, :2]).max(axis=1), 1e-9)
    shift = np.linalg.norm(centre - corner - extent / 2, axis=1) / size
    by_box = (shift + np.abs(np.log(reach / size)) / 2) / NEAR_BOX
    chosen = np.where(count >= COMMON_POINTS, by_points, by_box)
    return np.where(np.isfinite(chosen), chosen, np.inf)


def _given(rows: Rows, labels: Rows) -> Rows:
    """Return the rows of the faces that these labels were given to."""
    found = rows[labels]
    return np.unique(found[found >= 0])


def _spread(rows: Rows, points: Floats, states: States, scheme: str, faces: int) -> AnnotationSet:
    size = len(get_scheme(scheme))
    spread = AnnotationSet(scheme, np.full((faces, size, 2), np.nan), np.zeros((faces, size), np.uint8))
    given = rows >= 0
    spread.points[rows[given]], spread.visibility[rows[given]] = points[given], states[given]
    return spread


def _unmatched(rows: Rows, names: Sequence[str], what: str) -> list[str]:
    lost = [name for name, row in zip(names, rows, strict=True) if row < 0]
    if not lost:
        return []
    return [f"{len(lost)} of {len(names)} {what} fit no face and are left out: {name_some(sorted(lost))}"]

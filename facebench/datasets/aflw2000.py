"""AFLW2000-3D: 2000 faces with fitted 68 points and pose, and the LS3D-W reannotation of their points.

The facts (layout, counts, exclusions, faults) are in ``manifests/aflw2000.toml``; PROTOCOLS 1.3, 1.4, 2.2.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest
from facebench.datasets.refusals import no_release, not_used
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.datasets.splits import split_rows
from facebench.datasets.torch7 import read_tensor
from facebench.errors import Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Content, Progress, read_npy
from facebench.geometry import canonical_euler, carry, euler_to_rotation, tight_box

__all__ = ["DATASET", "read"]

FACE_FILE = re.compile(r"(?P<id>image\d{5})\.(?P<kind>jpg|mat|t7|npy)")
STACK = re.compile(r"(?i).*reannotated.*\.npy")

#: What is read from a face's .mat: the key, and the shape it must have (None: any).
KEYS: dict[str, tuple[int | None, ...]] = {
    "Pose_Para": (1, 7),
    "pt3d_68": (3, 68),
    "pt2d": (2, None),
    "roi": (1, 4),
}
POSE_COLUMNS = "pitch, yaw, roll in radians (raw-xyz), tx, ty, tz, scale"

# Three files carry extra columns behind the 21 points of AFLW.
AFLW_POINTS = 21

# Faces with a larger angle are left out of the published pose evaluations.
MAX_ANGLE = 99.0

#: The published yaw bins, closed above: [0, 30], (30, 60], (60, 90].
YAW_BINS = {"0-30": (-1.0, 30.0), "30-60": (30.0, 60.0), "60-90": (60.0, np.inf)}


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the release, and the reannotation where a source holds it.

    Parameters
    ----------
    sources : each holds the release (``imageNNNNN.jpg`` and ``.mat`` in one folder anywhere inside), the
        reannotation (one ``.npy`` stack, or a folder of ``imageNNNNN.t7`` or ``.npy``), or both.
    partial : accept fewer faces than the release has.
    """
    release = _find(sources, {"jpg", "mat"}, "mat")
    if release is None:
        raise no_release(sources, manifest, "a folder of imageNNNNN.jpg and imageNNNNN.mat")
    source, files = release
    ids = _paired_ids(source, files, manifest, partial)
    found = _read_mats(source, [files[one]["mat"] for one in ids], progress)
    annotations = {"original": _original(found)}
    names = [name for one in ids for name in files[one].values()]
    roles = {"release": (source, names)}
    notes = []
    if labels := _read_reannotation(sources, ids):
        points, roles["reannotated"] = labels
        unknown = np.full(points.shape[:2], VISIBILITY["unknown"], np.uint8)
        annotations["reannotated"] = AnnotationSet("ibug68", points, unknown)
    else:
        notes.append(
            f"no reannotated points (give a second --source: {manifest.sources['reannotated']}); "
            "the protocol aflw2000/landmarks-reannotated needs them"
        )
    used = {id(one) for one, _ in roles.values()}
    if idle := [one for one in sources if id(one) not in used]:
        raise not_used(idle[0], manifest)
    if partial and len(ids) < manifest.faces:
        notes.append(f"a part of the release: {len(ids)} of {manifest.faces} faces")
    pitch_yaw_roll = np.degrees(found["Pose_Para"][:, :3])
    euler = pitch_yaw_roll[:, [1, 0, 2]]
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[source.image(files[one]["jpg"], f"{one}.jpg") for one in ids],
        image_of=np.arange(len(ids)),
        annotations=annotations,
        splits=split_rows(ids, manifest, _computed_splits(euler), partial=partial),
        boxes={"landmarks": tight_box(annotations["original"].points)},
        poses={"release": euler_to_rotation(euler, "raw-xyz")},
        pose_source=found["Pose_Para"],
        pose_columns=POSE_COLUMNS,
        source={"roi": found["roi"].astype(np.int32)},
    )
    folder = source.path / files[ids[0]]["jpg"].rpartition("/")[0]
    return Release(content, roles, notes, image_root=folder if source.path.is_dir() else None)


def _find(
    sources: Sequence[Source], kinds: set[str], needed: str
) -> tuple[Source, dict[str, dict[str, str]]] | None:
    """Find the one folder with ``needed`` files: its files of the given kinds by face id and kind."""
    found: list[tuple[Source, str]] = []
    for source in sources:
        folders = {folder for name in source for folder, _, kind in [_parts(name)] if kind == needed}
        found += [(source, folder) for folder in sorted(folders)]
    if not found:
        return None
    if len(found) > 1:
        places = name_some(source.where(folder) for source, folder in found)
        msg = (
            f"found imageNNNNN.{needed} in {len(found)} folders ({places}); give the one to use as --source."
        )
        raise InvalidData(msg)
    source, folder = found[0]
    files: dict[str, dict[str, str]] = {}
    for name in source:
        inside, one, kind = _parts(name)
        if kind in kinds and inside == folder:
            files.setdefault(one, {})[kind] = name
    return source, files


def _parts(name: str) -> tuple[str, str, str]:
    """Split the path of a face's file into folder, face id and kind; the last two empty for others."""
    folder, _, file = name.rpartition("/")
    match = FACE_FILE.fullmatch(file)
    return (folder, match["id"], match["kind"]) if match else (folder, "", "")


def _paired_ids(
    source: Source, files: dict[str, dict[str, str]], manifest: Manifest, partial: bool
) -> list[str]:
    """Return the sorted ids of the faces that have both files, and refuse when a file is missing."""
    faults = Faults(str(source.path))
    for one in sorted(files):
        for kind in ("jpg", "mat"):
            if kind not in files[one]:
                faults.add(next(iter(files[one].values())), f"has no {one}.{kind} beside it")
    faults.raise_if_any("Every face needs both files: unpack the release again.")
    if len(files) != manifest.faces and not partial:
        absent = name_some(sorted(manifest.published_ids - set(files))) or "none of the published ones"
        msg = (
            f"{source.path}: expected {manifest.faces} faces, found {len(files)}; absent: {absent}. "
            f"Unpack the release again, or prepare the part that is there with '--partial'."
        )
        raise InvalidData(msg)
    return sorted(files)


def _read_mats(source: Source, names: Sequence[str], progress: Progress) -> dict[str, NDArray[np.float64]]:
    """Read the keys of every .mat into one array per key, faces first."""
    faults = Faults(str(source.path))
    columns: dict[str, list[NDArray]] = {key: [] for key in KEYS}
    for name in progress(names, len(names), "annotations"):
        for key, value in _read_mat(source.read(name), name, faults):
            columns[key].append(value)
    faults.raise_if_any("Unpack the release again, or obtain these files again.")
    stacked = {key: np.stack(values).astype(np.float64) for key, values in columns.items()}
    return {**stacked, "Pose_Para": stacked["Pose_Para"][:, 0], "roi": stacked["roi"][:, 0]}


def _read_mat(data: bytes, name: str, faults: Faults) -> Iterator[tuple[str, NDArray]]:
    from scipy.io import loadmat

    try:
        values = loadmat(io.BytesIO(data), variable_names=list(KEYS))
    except Exception as error:  # a damaged file makes loadmat raise almost anything
        faults.add(name, f"not a readable MATLAB file ({type(error).__name__}: {error})")
        return
    for key, shape in KEYS.items():
        if key not in values:
            faults.add(name, f"key '{key}': expected shape {_shape_text(shape)}, found no such key")
            continue
        value = values[key]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
            found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            faults.add(name, f"key '{key}': expected an array of numbers, found {found}")
            continue
        fits = value.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, value.shape, strict=True)
        )
        if not fits or (key == "pt2d" and value.shape[1] < AFLW_POINTS):
            faults.add(name, f"key '{key}': expected shape {_shape_text(shape)}, found {value.shape}")
        elif not np.isfinite(value).all():
            faults.add(name, f"key '{key}': expected finite numbers, found NaN or infinity")
        else:
            yield key, value[:, :AFLW_POINTS] if key == "pt2d" else value


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return str(tuple(AFLW_POINTS if size is None else size for size in shape))


def _original(found: dict[str, NDArray[np.float64]]) -> AnnotationSet:
    """Return the points of the fitted model, with the visibility of AFLW's 21 points carried over.

    AFLW annotates a point only where it is visible; the release stores the others with x = -1.  Their
    position is still known from the fit, hence *occluded* rather than *hidden*.
    """
    seen = found["pt2d"][:, 0] >= 0
    states = np.where(seen, VISIBILITY["visible"], VISIBILITY["occluded"]).astype(np.uint8)
    points = np.ascontiguousarray(found["pt3d_68"][:, :2].transpose(0, 2, 1))
    return AnnotationSet("ibug68", points, carry(states, "aflw21", "ibug68", VISIBILITY["unknown"]))


def _computed_splits(euler: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """Return the splits that follow from (N, 3) yaw, pitch, roll of ``Pose_Para`` in degrees.

    The faces with moderate angles, and the yaw bins of the angles as stored and of the canonical ones.
    """
    valid = np.flatnonzero((np.abs(euler) <= MAX_ANGLE).all(axis=1))
    readings = {"raw": euler[:, 0], "canonical": canonical_euler(euler, "raw-xyz")[:, 0]}
    bins = {
        f"yaw-{reading}-{name}": np.flatnonzero((np.abs(yaw) > above) & (np.abs(yaw) <= up_to))
        for reading, yaw in readings.items()
        for name, (above, up_to) in YAW_BINS.items()
    }
    return {"valid": valid, **bins}


def _read_reannotation(
    sources: Sequence[Source], ids: Sequence[str]
) -> tuple[NDArray[np.float64], tuple[Source, list[str]]] | None:
    """Read the (N, 68, 2) reannotated points, from a stack or from one file per face."""
    stacks = [
        (source, name)
        for source in sources
        for name in source
        if not _parts(name)[2] and (STACK.match(name) or (len(source.sizes) == 1 and name.endswith(".npy")))
    ]
    if len(stacks) > 1:
        places = name_some(source.where(name) for source, name in stacks)
        msg = f"found {len(stacks)} stacks of reannotated points ({places}); give the one to use as --source."
        raise InvalidData(msg)
    if stacks:
        source, name = stacks[0]
        points = _as_points(_load_npy(source, name), source.where(name), len(ids))
        return points, (source, [name])
    for kind in ("t7", "npy"):
        if found := _find(sources, {kind}, kind):
            source, files = found
            return _read_labels(source, files, kind, ids)
    return None


def _read_labels(
    source: Source, files: dict[str, dict[str, str]], kind: str, ids: Sequence[str]
) -> tuple[NDArray[np.float64], tuple[Source, list[str]]]:
    faults = Faults(str(source.path))
    for one in sorted(set(ids) - set(files)):
        faults.add(f"{one}.{kind}", "missing; the release has this face")
    for one in sorted(set(files) - set(ids)):
        faults.add(files[one][kind], "the release has no such face")
    faults.raise_if_any("The reannotation must have one file for each face of the release.")
    names = [files[one][kind] for one in ids]
    points = []
    for name in names:
        try:
            values = read_tensor(source.read(name)) if kind == "t7" else _load_npy(source, name)
            points.append(_as_points(values[None], name, 1)[0])
        except (ValueError, InvalidData) as error:
            faults.add(name, str(error))
    faults.raise_if_any("Obtain these files again.")
    return np.stack(points), (source, names)


def _load_npy(source: Source, name: str) -> NDArray:
    data = source.read(name)
    try:
        return read_npy(io.BytesIO(data), len(data))
    except Exception as error:  # a damaged head makes numpy raise almost anything
        msg = f"{source.where(name)}: not a readable .npy file ({error}). Obtain it again."
        raise InvalidData(msg) from error


def _as_points(values: NDArray, where: str, count: int) -> NDArray[np.float64]:
    """Check a stack of 68 points and bring it to (count, 68, 2)."""
    if values.shape == (count, 2, 68):
        values = values.transpose(0, 2, 1)
    if values.shape != (count, 68, 2) or values.dtype.kind not in "iuf":
        msg = (
            f"{where}: expected shape ({count}, 2, 68), one row for each face, of numbers, found "
            f"{values.shape} of {values.dtype}."
        )
        raise InvalidData(msg)
    points = np.ascontiguousarray(values, dtype=np.float64)
    if not np.isfinite(points).all():
        rows = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
        msg = f"{where}: expected finite coordinates, found NaN or infinity in row {name_some(rows)}."
        raise InvalidData(msg)
    return points


DATASET = Dataset("aflw2000", read)

"""The predictions file: what a method says about the faces of a dataset, matched by face id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import DataMissing, Faults, UsageError, name_some
from facebench.formats.atomic import atomic_path
from facebench.geometry import (
    CONVENTIONS,
    SCHEMES,
    euler_to_rotation,
    get_scheme,
    not_rotations,
    rotation_to_euler,
)

__all__ = [
    "ARRAYS",
    "ATTRIBUTES",
    "FORMAT",
    "VERSION",
    "Predictions",
    "read_predictions",
    "write_predictions",
]

FORMAT = "facebench-predictions"
VERSION = 1
ATTRIBUTES = ("dataset", "method", "scheme", "euler_convention", "box", "training_data")
ARRAYS = ("landmarks", "visibility", "rotation", "euler")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What one method predicts for n faces of a dataset.

    Attributes
    ----------
    ids : n face ids, in any order.
    landmarks : (n, K, 2) pixels of the original image, 0-based, in the order of ``scheme``.
    visibility : (n, K) probability that the point is visible.
    rotation : (n, 3, 3) ``R_cam``; or instead
    euler : (n, 3) yaw, pitch, roll in degrees, in ``euler_convention``.
    box : name of the box that the method was given to find the face.
    training_data : what the method was trained on.

    A row with a NaN is a face that the method did not find; how such rows count is decided when they are
    scored.
    """

    dataset: str
    method: str
    ids: Sequence[str]
    landmarks: Floats | None = None
    visibility: Floats | None = None
    rotation: Floats | None = None
    euler: Floats | None = None
    scheme: str | None = None
    euler_convention: str | None = None
    box: str | None = None
    training_data: str | None = None
    sha256: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_pose(self) -> bool:
        return self.rotation is not None or self.euler is not None

    def rotations(self) -> Floats:
        """Return the (n, 3, 3) predicted ``R_cam``, whichever way they were given."""
        if self.rotation is not None:
            return self.rotation
        assert self.euler is not None
        assert self.euler_convention is not None
        return euler_to_rotation(self.euler, self.euler_convention)

    def eulers(self, convention: str) -> Floats:
        """Return the (n, 3) predicted yaw, pitch, roll in a convention, in degrees.

        Angles given in that very convention are returned as they are, however many turns they make.
        """
        if self.euler is not None and self.euler_convention == convention:
            return self.euler
        return rotation_to_euler(self.rotations(), convention)


def make_predictions(where: str, values: dict[str, Any]) -> Predictions:
    """Build predictions from named values, or raise :class:`InvalidData` naming everything wrong.

    Parameters
    ----------
    where : what to call the values in messages, normally the path of their file.
    values : the attributes and arrays of a predictions file by name; ``id`` holds the face ids.
    """
    faults = Faults(where)
    unknown = set(values) - {"id", "sha256", *ATTRIBUTES, *ARRAYS}
    for name in sorted(unknown):
        faults.add(name, f"unknown; known are id, {', '.join((*ATTRIBUTES, *ARRAYS))}")
    texts = {name: _text(name, values.get(name), faults) for name in ATTRIBUTES}
    for name in ("dataset", "method"):
        if not texts[name]:
            faults.add(f"attribute '{name}'", "missing")
    ids = [str(one) for one in np.asarray(values.get("id", [])).ravel().tolist()]
    if not ids:
        faults.add("id", "missing or empty; expected one face id per row")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = [one for one in ids if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
        faults.add("id", f"duplicated: {name_some(dict.fromkeys(twice))}")
    arrays = {name: _floats(name, values.get(name), faults) for name in ARRAYS}
    if all(array is None for array in arrays.values()):
        faults.add("arrays", f"expected at least one of {', '.join(ARRAYS)}, found none")
    points = _points_of(texts["scheme"], arrays, faults)
    shapes = {"landmarks": (points, 2), "visibility": (points,), "rotation": (3, 3), "euler": (3,)}
    for name, array in arrays.items():
        if array is not None and array.shape != (len(ids), *shapes[name]):
            want = ", ".join(str(size) for size in (len(ids), *shapes[name]))
            faults.add(name, f"expected shape ({want}), found {array.shape}")
    if arrays["landmarks"] is not None or arrays["visibility"] is not None:
        texts["scheme"] = texts["scheme"] or "ibug68"
    _check_pose(arrays, texts["euler_convention"], ids, faults)
    _check_visibility(arrays["visibility"], ids, faults)
    if texts["box"] and not re.fullmatch(r"[\w.+-]+", texts["box"]):
        faults.add("attribute 'box'", "expected a short name such as 'landmarks' or 'mtcnn'")
    faults.raise_if_any("The format is described in the documentation under 'Predictions file'.")
    return Predictions(ids=ids, sha256=values.get("sha256"), **texts, **arrays)  # type: ignore[arg-type]


def _text(name: str, value: Any, faults: Faults) -> str | None:
    if value is None:
        return None
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if value.size == 1 else value
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        faults.add(f"attribute '{name}'", f"expected text, found {type(value).__name__}")
        return None
    return value.strip() or None


def _floats(name: str, value: Any, faults: Faults) -> Floats | None:
    if value is None:
        return None
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        faults.add(name, "expected an array of numbers with equally long rows")
        return None


def _points_of(scheme: str | None, arrays: dict[str, Floats | None], faults: Faults) -> int:
    """Return how many points per face the scheme promises."""
    if scheme is not None and scheme not in SCHEMES:
        faults.add("attribute 'scheme'", f"unknown '{scheme}'; known schemes: {', '.join(SCHEMES)}")
        landmarks = arrays["landmarks"]
        return landmarks.shape[1] if landmarks is not None and landmarks.ndim == 3 else 68
    return len(get_scheme(scheme or "ibug68"))


def _check_pose(
    arrays: dict[str, Floats | None], convention: str | None, ids: Sequence[str], faults: Faults
) -> None:
    if arrays["euler"] is not None:
        known = ", ".join(CONVENTIONS)
        if arrays["rotation"] is not None:
            faults.add("rotation", "given together with euler; keep one of them")
        if convention is None:
            faults.add("attribute 'euler_convention'", f"missing; euler needs one of {known}")
    if convention is not None and convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        faults.add("attribute 'euler_convention'", f"unknown '{convention}'; known are {known}")
    rotation = arrays["rotation"]
    if rotation is not None and rotation.shape[1:] == (3, 3):
        found = np.asarray(np.isfinite(rotation).all(axis=(1, 2)))
        wrong = found & not_rotations(np.where(found[:, None, None], rotation, 0.0))
        if wrong.any():
            names = name_some(one for one, bad in zip(ids, wrong, strict=False) if bad)
            faults.add("rotation", f"not a rotation matrix (orthonormal, determinant +1): {names}")


def _check_visibility(visibility: Floats | None, ids: Sequence[str], faults: Faults) -> None:
    if visibility is None or visibility.ndim != 2:
        return
    wrong = np.asarray(((visibility < 0) | (visibility > 1)).any(axis=1))
    if wrong.any():
        names = name_some(one for one, bad in zip(ids, wrong, strict=False) if bad)
        faults.add("visibility", f"expected probabilities of visible within [0, 1]: {names}")


def write_predictions(
    path: str | Path,
    *,
    dataset: str,
    method: str,
    ids: Sequence[str],
    landmarks: ArrayLike | None = None,
    visibility: ArrayLike | None = None,
    rotation: ArrayLike | None = None,
    euler: ArrayLike | None = None,
    scheme: str | None = None,
    euler_convention: str | None = None,
    box: str | None = None,
    training_data: str | None = None,
) -> None:
    """Write a predictions file (HDF5, format ``facebench-predictions``).

    Parameters
    ----------
    path : the file to write; replaced only when complete.
    ids : n face ids of the dataset.
    landmarks : (n, K, 2) pixels of the original image, 0-based.
    visibility : (n, K) probability of visible.
    rotation : (n, 3, 3) ``R_cam``, head to OpenCV camera axes; or instead
    euler : (n, 3) yaw, pitch, roll in degrees, with ``euler_convention``.
    scheme : scheme of the points, ``ibug68`` when not given.
    box : name of the box the method was given.
    training_data : what the method was trained on.

    Raises
    ------
    InvalidData : the values contradict each other; names everything wrong, and nothing is written.
    """
    given = dict(locals())
    given["id"] = list(given.pop("ids"))
    target = Path(given.pop("path"))
    checked = make_predictions(str(target), given)
    with atomic_path(target) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        for name in ATTRIBUTES:
            if getattr(checked, name) is not None:
                file.attrs[name] = getattr(checked, name)
        file["/id"] = list(checked.ids)
        for name in ARRAYS:
            if getattr(checked, name) is not None:
                file[f"/{name}"] = getattr(checked, name)
        if checked.euler is not None:
            file["/euler"].attrs["columns"] = "yaw,pitch,roll"


def read_predictions(path: str | Path) -> Predictions:
    """Read a predictions file: ``.h5`` (or ``.hdf5``), ``.npz``, ``.csv`` or ``.json``.

    Nothing in the file is executed and no size it claims is believed before it has been compared with
    the size of the file.

    Raises
    ------
    DataMissing : there is no such file.
    InvalidData : its content is wrong; names everything found.
    UsageError : its ending is none of these.
    """
    from facebench.formats.importers import READERS

    file = Path(path)
    if file.suffix not in READERS:
        msg = f"{file}: expected a predictions file ending in {', '.join(READERS)}."
        raise UsageError(msg)
    if not file.is_file():
        msg = f"{file}: no such predictions file."
        raise DataMissing(msg)
    values = READERS[file.suffix](file)
    values["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return make_predictions(str(file), values)

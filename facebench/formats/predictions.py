"""The predictions file: what a method says about the faces of a dataset, matched by face id."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import DataMissing, Faults, UsageError, name_some
from facebench.formats.atomic import atomic_path, hdf5_file
from facebench.formats.numpy_file import LazyArray
from facebench.geometry import (
    CONVENTIONS,
    euler_to_rotation,
    get_scheme,
    not_rotations,
    rotation_to_euler,
    scheme_names,
)

__all__ = [
    "ARRAYS",
    "ATTRIBUTES",
    "FORMAT",
    "VERSION",
    "Predictions",
    "as_predictions",
    "read_predictions",
    "write_predictions",
]

FORMAT = "facebench-predictions"
VERSION = 1

# No benchmark of the field comes near; a file that claims more is damaged or hostile.
MAX_FACES = 10_000_000
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
    ids = _ids(values.get("id"), faults)
    points = _points_of(texts["scheme"], values.get("landmarks"), faults)
    shapes = {"landmarks": (points, 2), "visibility": (points,), "rotation": (3, 3), "euler": (3,)}
    given = [name for name in ARRAYS if values.get(name) is not None]
    if not given:
        faults.add("arrays", f"expected at least one of {', '.join(ARRAYS)}, found none")
    arrays: dict[str, Floats | None] = dict.fromkeys(ARRAYS)
    for name in given:
        arrays[name] = _floats(name, values[name], (len(ids), *shapes[name]), faults)
    if "landmarks" in given or "visibility" in given:
        texts["scheme"] = texts["scheme"] or "ibug68"
    _check_pose(given, arrays["rotation"], texts["euler_convention"], ids, faults)
    _check_visibility(arrays["visibility"], ids, faults)
    if texts["box"] and not re.fullmatch(r"[\w.+-]+", texts["box"]):
        faults.add("attribute 'box'", "expected a short name such as 'landmarks' or 'mtcnn'")
    faults.raise_if_any("The format is described in the documentation under 'Predictions file'.")
    return Predictions(ids=ids, sha256=values.get("sha256"), **texts, **arrays)  # type: ignore[arg-type]


def _text(name: str, value: Any, faults: Faults) -> str | None:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            faults.add(f"attribute '{name}'", "expected text in UTF-8, found other bytes")
            return None
    if value is None:
        return None
    if not isinstance(value, str):
        kind = "list" if isinstance(value, np.ndarray) else type(value).__name__
        faults.add(f"attribute '{name}'", f"expected text, found {kind}")
        return None
    if not _is_plain(value):
        faults.add(f"attribute '{name}'", f"expected text in UTF-8 without NUL, found {value!r}")
        return None
    return str(value).strip() or None


def _ids(value: Any, faults: Faults) -> list[str]:
    """Return the face ids, or an empty list when they are not such a list."""
    if isinstance(value, LazyArray):
        if len(value.shape) != 1 or value.shape[0] > MAX_FACES:
            faults.add("id", f"expected one face id per row, found shape {value.shape}")
            return []
        value = value.read()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or not value:
        faults.add("id", "missing or empty; expected one face id per row")
        return []
    ids = [_id(one) for one in value]
    if None in ids:
        faults.add("id", f"expected texts in UTF-8, found {value[ids.index(None)]!r}")
        return []
    found = [one for one in ids if one is not None]
    if len(set(found)) < len(found):
        twice = [one for one, count in Counter(found).items() if count > 1]
        faults.add("id", f"duplicated: {name_some(twice)}")
    return found


def _id(value: Any) -> str | None:
    """Return a face id as text, or None when it is none: the ids of some datasets are numbers."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = str(int(value))
    return str(value) if isinstance(value, str) and value and _is_plain(value) else None


def _is_plain(text: str) -> bool:
    """Tell whether a text can be stored in every format: no NUL, and characters that UTF-8 has."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _floats(name: str, value: Any, shape: tuple[int, ...], faults: Faults) -> Floats | None:
    """Return an array of numbers, which is read only when its shape is the expected one."""
    try:
        array = value if isinstance(value, LazyArray) else np.asarray(value)
    except (TypeError, ValueError):
        faults.add(name, "expected an array of numbers with equally long rows")
        return None
    # JSON's null makes an array of objects: a number that the method does not give.
    with_null = isinstance(array, np.ndarray) and all(
        one is None or isinstance(one, int | float) for one in array.flat
    )
    if array.dtype.kind not in "biuf" and not (array.dtype.kind == "O" and with_null):
        faults.add(name, f"expected an array of numbers, found {array.dtype}")
        return None
    if array.shape != shape:
        want = ", ".join(str(size) for size in shape)
        faults.add(name, f"expected shape ({want}), found {array.shape}")
        return None
    try:
        read = array.read() if isinstance(array, LazyArray) else array
        return np.asarray(read, np.float64)
    except (TypeError, ValueError, OverflowError):
        faults.add(name, "expected an array of numbers, found something else in it")
        return None


def _points_of(scheme: str | None, landmarks: Any, faults: Faults) -> int:
    """Return how many points per face the scheme promises."""
    if scheme is None or scheme in scheme_names():
        return len(get_scheme(scheme or "ibug68"))
    faults.add("attribute 'scheme'", f"unknown '{scheme}'; known schemes: {', '.join(scheme_names())}")
    # One fault is enough: any number of points will do for a scheme that nobody knows.
    shape = getattr(landmarks, "shape", ())
    return int(tuple(shape)[1]) if len(shape) == 3 else len(get_scheme("ibug68"))


def _check_pose(
    given: Sequence[str],
    rotation: Floats | None,
    convention: str | None,
    ids: Sequence[str],
    faults: Faults,
) -> None:
    known = ", ".join(CONVENTIONS)
    if "euler" in given:
        if "rotation" in given:
            faults.add("rotation", "given together with euler; keep one of them")
        if convention is None:
            faults.add("attribute 'euler_convention'", f"missing; euler needs one of {known}")
    if convention is not None and convention not in CONVENTIONS:
        faults.add("attribute 'euler_convention'", f"unknown '{convention}'; known are {known}")
    if rotation is not None:
        found = np.asarray(np.isfinite(rotation).all(axis=(1, 2)))
        wrong = found & not_rotations(np.where(found[:, None, None], rotation, 0.0))
        if wrong.any():
            names = name_some(one for one, bad in zip(ids, wrong, strict=True) if bad)
            faults.add("rotation", f"not a rotation matrix (orthonormal, determinant +1): {names}")


def _check_visibility(visibility: Floats | None, ids: Sequence[str], faults: Faults) -> None:
    if visibility is None:
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
    if target.suffix not in (".h5", ".hdf5"):
        msg = f"{target}: predictions are written as HDF5; choose a name ending in .h5."
        raise UsageError(msg)
    checked = make_predictions(str(target), given)
    with atomic_path(target) as temporary, hdf5_file(temporary) as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        for name in ATTRIBUTES:
            if getattr(checked, name) is not None:
                file.attrs[name] = getattr(checked, name)
        file["/id"] = list(checked.ids)
        for name in ARRAYS:
            if getattr(checked, name) is not None:
                file.create_dataset(f"/{name}", data=getattr(checked, name), compression="gzip", shuffle=True)
        if checked.euler is not None:
            file["/euler"].attrs["columns"] = "yaw,pitch,roll"


def as_predictions(given: Any) -> Predictions:
    """Return checked predictions from whatever holds them.

    Parameters
    ----------
    given : predictions; the path of a file; a mapping of the names in a predictions file to values
        (``dataset``, ``method``, ``id``, ``landmarks`` ...); a pandas data frame with the columns of a CSV
        file and the attributes in its ``attrs``; or an iterable of mappings, batch after batch.

    Raises
    ------
    InvalidData : something in them is wrong; names everything found.
    UsageError : it is nothing of the kind.

    Examples
    --------
    >>> import facebench
    >>> angles = {"euler": [[10.0, 0.0, 0.0]], "euler_convention": "raw-xyz"}
    >>> given = {"dataset": "aflw2000", "method": "mine", "id": ["image00002"], **angles}
    >>> len(facebench.as_predictions(given))
    1
    """
    from facebench.formats.importers import values_of

    if isinstance(given, Predictions):
        return given
    if isinstance(given, (str, Path)):
        return read_predictions(given)
    return make_predictions("predictions", values_of(given))


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
    with READERS[file.suffix](file) as values:
        return make_predictions(
            str(file), {**values, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        )

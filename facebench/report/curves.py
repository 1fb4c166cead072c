"""Cumulative error curves that others measured, to be drawn behind one's own.

They come from the errors beside a leaderboard's entries, or as text: two columns, error and share of faces,
as papers publish them where the errors themselves are not to be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.errors import DataMissing, InvalidData

__all__ = ["Curve", "curve_of_errors", "read_curves"]

Floats = NDArray[np.float64]

# A curve has thousands of points at most; 16 MB of text are no curve.
MOST_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Curve:
    """A cumulative error curve that is read, not computed.

    Attributes
    ----------
    name : of the method.
    errors : (n,) in the unit of the error, never falling.
    shares : (n,) of the faces with at most this error, in percent, never falling.
    source : name of the file or folder that it was read from.
    protocol, error : what it belongs to; the error as ``score --per-face`` calls it, such as
        ``nme/pupils-corners``.
    signature : of the result, where it is known.
    """

    name: str
    errors: Floats
    shares: Floats
    source: str
    protocol: str
    error: str
    signature: str | None = None


def curve_of_errors(errors: NDArray) -> tuple[Floats, Floats]:
    """Return errors and shares of the steps of (n,) errors; NaN is left out, infinity never reached."""
    known = np.sort(np.asarray(errors, float)[~np.isnan(errors)])
    reached = known[np.isfinite(known)]
    shares = 100.0 * np.arange(len(reached) + 1) / max(1, len(known))
    return np.concatenate([[0.0], np.repeat(reached, 2), [np.inf]]), np.repeat(shares, 2)


def read_curves(path: str | Path, protocol: str, error: str) -> list[Curve]:
    """Read the curve of a text file, or those of all ``.txt`` files of a folder, named after their files.

    Each line has an error in the unit of the protocol, and the share of faces with at most this error, from
    0 to 1 or from 0 to 100; blank lines and those that begin with ``#`` are skipped.  A curve may be cut off
    anywhere: nothing is drawn beyond its ends.

    Raises
    ------
    DataMissing : there is no such file, or none in the folder.
    InvalidData : a file holds no such curve; the message names the line.
    """
    place = Path(path)
    files = sorted(place.glob("*.txt")) if place.is_dir() else [place]
    if not files:
        msg = f"{place}: holds no .txt file; expected curves of two columns, error and share of faces."
        raise DataMissing(msg)
    return [Curve(one.stem, *_read(one), place.name or str(place), protocol, error) for one in files]


def _read(path: Path) -> tuple[Floats, Floats]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as reason:
        msg = f"{path}: cannot be read ({reason.strerror}). Name a curve as text, or a folder of them."
        raise DataMissing(msg) from reason
    if len(data) > MOST_BYTES or b"\0" in data:
        msg = f"{path}: no text of two columns, error and share of faces. Unpack an archive first."
        raise InvalidData(msg)
    rows = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.replace(",", " ").split()
        if words and not words[0].startswith("#"):
            rows.append(_numbers(path, number, words))
    errors, shares = np.array(rows).reshape(-1, 2).T
    fault = _fault(errors, shares)
    if fault:
        msg = f"{path}: {fault}."
        raise InvalidData(msg)
    return errors, shares * (1.0 if shares[-1] > 1.0 else 100.0)


def _numbers(path: Path, number: int, words: list[str]) -> tuple[float, float]:
    try:
        error, share = (float(word) for word in words)
    except ValueError:
        found = " ".join(words)[:40]
        msg = f"{path}: line {number}: expected two numbers, error and share of faces, found '{found}'."
        raise InvalidData(msg) from None
    return error, share


def _fault(errors: Floats, shares: Floats) -> str:
    """Say why numbers are no curve, or nothing."""
    if len(errors) < 2:
        return f"expected at least two lines of error and share of faces, found {len(errors)}"
    if not (np.isfinite(errors).all() and np.isfinite(shares).all()):
        return "a number is not finite"
    if errors[0] < 0 or (np.diff(errors) < 0).any():
        return "the errors of the first column must not be negative and must never fall"
    if shares[0] < 0 or shares[-1] > 100 or (np.diff(shares) < 0).any():
        return "the shares of the second column must never fall, and go from 0 to 1 or from 0 to 100"
    if errors[-1] < 1:
        return f"its errors end at {errors[-1]:g}; expected percent or degrees, not shares or radians"
    return ""

"""Named arrays in a safetensors file: a header of texts in front, and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facebench import __version__
from facebench.errors import DataMissing, InvalidData
from facebench.formats.atomic import atomic_path

__all__ = ["check_shapes", "read_arrays", "write_arrays"]

VERSION = "1"


def write_arrays(path: Path, kind: str, arrays: Mapping[str, NDArray], header: Mapping[str, str]) -> None:
    """Write arrays as a file of the format ``facebench-KIND``, completely or not at all."""
    whole = {"format": f"facebench-{kind}", "version": VERSION, "facebench": __version__, **header}
    state = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state, metadata=whole))


def read_arrays(path: Path, kind: str) -> tuple[dict[str, str], dict[str, NDArray]]:
    """Return the header and the arrays of a file.

    Raises
    ------
    DataMissing : no such file.
    InvalidData : not a whole safetensors file, or of another format or version.
    """
    if not path.is_file():
        msg = f"{path}: no such {kind} file."
        raise DataMissing(msg)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != f"facebench-{kind}" or header.get("version") != VERSION:
                found = header.get("format")
                msg = f"{path}: not a {kind} file of facebench, version {VERSION} (format {found!r})."
                raise InvalidData(msg)
            return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, TypeError) as error:
        msg = f"{path}: not a whole safetensors file ({error}). Fetch or copy it again."
        raise InvalidData(msg) from error


def check_shapes(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Refuse arrays whose names, or shapes and types, are not those that their own header asks for."""
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if wrong:
        msg = f"{path}: does not fit its own header: {', '.join(wrong[:5])}."
        raise InvalidData(msg)

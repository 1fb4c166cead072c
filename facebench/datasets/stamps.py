"""Remembering what was verified, so that the same files are not read again.

A stamp says which files were found to be right and what the system says of them: size and time of change.
Only good outcomes are remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from facebench import __version__
from facebench.datasets.sources import open_source
from facebench.errors import FacebenchError
from facebench.formats import write_text

__all__ = ["Stamp", "look_at", "read_stamp", "stamp_path", "write_stamp"]

FORMAT = "facebench-verified"

#: No stamp is longer; what is, is none.
LONGEST = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """A good outcome of the past: the day, and what was said about it."""

    date: str
    detail: str


def stamp_path(folder: Path, paths: Sequence[Path]) -> Path:
    """Return where the stamp of these paths lies: named by the SHA-1 of the absolute path, one a line."""
    names = b"\n".join(os.fsencode(path.absolute()) for path in paths)
    return folder / f"{hashlib.sha1(names, usedforsecurity=False).hexdigest()}.json"


def look_at(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Say what can be known of files and folders without reading them.

    A file has its size and time of change; a folder the sum of the sizes, the latest time, and the SHA-256
    of path, size and time of every file below, in order of path.

    Raises
    ------
    OSError : something is not there.
    """
    return [_look_at_one(path.absolute()) for path in paths]


def _look_at_one(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        state = path.stat()
        return {"path": str(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns}
    states = {name: (path / name).stat() for name in open_source(path)}
    lines = (f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n" for name, state in sorted(states.items()))
    return {
        "path": str(path),
        "size": sum(state.st_size for state in states.values()),
        "mtime_ns": max((state.st_mtime_ns for state in states.values()), default=0),
        "files": len(states),
        "tree": hashlib.sha256(os.fsencode("".join(lines))).hexdigest(),
    }


def read_stamp(folder: Path, paths: Sequence[Path], against: str) -> Stamp | None:
    """Return the stamp of these paths, or None where there is none, or anything has changed since.

    Parameters
    ----------
    against : what the files were compared with; another value makes the stamp void, as does another version
        of facebench.
    """
    try:
        path = stamp_path(folder, paths)
        if path.stat().st_size > LONGEST:
            return None
        value = json.loads(path.read_text(encoding="utf-8"))
        said = (value["format"], value["outcome"], value["against"], value["facebench"])
        files = [Path(one["path"]) for one in value["files"]]
        same = said == (FORMAT, "ok", against, __version__)
        if not same or files[: len(paths)] != [one.absolute() for one in paths]:
            return None
        if look_at(files) != value["files"]:
            return None
        return Stamp(str(value["date"])[:10], str(value["detail"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, FacebenchError):
        return None


def write_stamp(
    folder: Path, paths: Sequence[Path], seen: list[dict[str, Any]], against: str, detail: str
) -> None:
    """Remember that files are right, unless they have changed since :func:`look_at` has ``seen`` them.

    What was seen begins with ``paths``; more may follow that they depend on.  A stamp only saves time, so
    where it cannot be written there is none.
    """
    with suppress(OSError, FacebenchError, UnicodeEncodeError):
        if look_at([Path(one["path"]) for one in seen]) != seen:
            return
        value = {
            "format": FORMAT,
            "outcome": "ok",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "facebench": __version__,
            "against": against,
            "detail": detail,
            "files": seen,
        }
        write_text(stamp_path(folder, paths), json.dumps(value, indent=1) + "\n")

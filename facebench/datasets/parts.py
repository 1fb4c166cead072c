"""Archives that their owners cut into numbered files: ``name.zip.001``, ``name.zip.002`` and so on."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from facebench.datasets.sources import Source, is_litter
from facebench.errors import InvalidData

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["join_parts"]

PART = re.compile(r"(?i)(?P<archive>.*\.zip)\.(?P<number>\d{3})")


def join_parts(sources: Sequence[Source]) -> list[Source]:
    """Put archives that were cut into parts together again, without copying them.

    The parts may be sources themselves or lie in a folder that is one.  The archive takes their place among
    the sources; a folder with other files in it is kept beside it.

    Raises
    ------
    InvalidData : a part is missing or given twice, or the parts together are no complete archive.
    """
    parts: dict[str, dict[int, Path]] = {}
    rest = []
    for source in sources:
        found = {name: PART.fullmatch(name) for name in source} if source.archive is None else {}
        for name, match in found.items():
            if match is not None:
                path = (source.path / name if source.path.is_dir() else source.path).absolute()
                parts.setdefault(str(path.with_suffix("")), {})[int(match["number"])] = path
        if not found or not all(found.values()):
            rest.append(source)
    return [*rest, *(_open_parts(Path(name), numbered) for name, numbered in sorted(parts.items()))]


def _open_parts(path: Path, parts: Mapping[int, Path]) -> Source:
    absent = [f"{path.name}.{number:03}" for number in range(1, max(parts) + 1) if number not in parts]
    if absent:
        msg = (
            f"{path}: the archive is in parts and not all are there: missing {', '.join(absent)}. "
            f"Give every part as --source, or the folder they lie in."
        )
        raise InvalidData(msg)
    try:
        joined = _Concatenated([parts[number] for number in sorted(parts)])
        archive = zipfile.ZipFile(io.BufferedReader(joined))
    except (OSError, zipfile.BadZipFile) as error:
        msg = (
            f"{path}: its parts 001 to {max(parts):03} are not a complete zip archive ({error}). A part is "
            f"missing or was cut short: obtain it again."
        )
        raise InvalidData(msg) from error
    sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
    return Source(path, {name: sizes[name] for name in sorted(sizes) if not is_litter(name)}, archive)


class _Concatenated(io.RawIOBase):
    """Files behind each other, read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [path.open("rb") for path in paths]
        self.ends = list(accumulate(path.stat().st_size for path in paths))
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.ends[-1]}[whence]
        if start + offset < 0:
            msg = f"cannot seek to {start + offset}"
            raise OSError(msg)
        self.position = start + offset
        return self.position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        for file, begin, end in zip(self.files, [0, *self.ends], self.ends, strict=False):
            if begin <= self.position < end:
                file.seek(self.position - begin)
                data = file.read(min(len(view), end - self.position))
                view[: len(data)] = data
                self.position += len(data)
                return len(data)
        return 0

    def close(self) -> None:
        for file in getattr(self, "files", []):
            file.close()
        super().close()

"""Where a release lies on disk: a folder, a zip or tar archive, or a single file, all read the same way."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from facebench.datasets.tars import TAR, Tar
from facebench.errors import DataMissing, InvalidData
from facebench.formats import ImageFile, Progress, no_progress

__all__ = ["Source", "open_source", "relative_names", "tree_sha256"]

T = TypeVar("T")

# Left behind by file managers and archivers; never part of a release.
LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass
class Source:
    """A tree of files that remembers the SHA-256 of each one it has read.

    Attributes
    ----------
    path : the folder, archive or file that the user named.
    sizes : size in bytes of every file, by its path inside, ``/`` between folders, sorted.
    archive : the opened zip or tar, where it is one.
    digests : SHA-256 of the files read so far.
    """

    path: Path
    sizes: dict[str, int]
    archive: zipfile.ZipFile | Tar | None = field(default=None, repr=False)
    digests: dict[str, str] = field(default_factory=dict, repr=False)

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    def __iter__(self) -> Iterator[str]:
        return iter(self.sizes)

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder, as it was when somebody first asked."""
        return self.path.is_dir()

    def where(self, name: str) -> str:
        """Return how to name a file of this source in a message."""
        if self.is_folder:
            return str(self.path / name)
        return str(self.path) if self.path.name == name else f"{self.path}: {name}"

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        InvalidData : it cannot be read; an archive whose checksum fails is named here.
        """
        try:
            if self.archive is not None:
                data = self.archive.read(name)
            else:
                data = (self.path / name if self.is_folder else self.path).read_bytes()
        except (OSError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError) as error:
            msg = f"{self.where(name)}: cannot be read ({error}). Obtain the file again."
            raise InvalidData(msg) from error
        self.digests[name] = hashlib.sha256(data).hexdigest()
        return data

    def image(self, name: str, path: str) -> ImageFile:
        """Return an image of this source, to be stored under ``path`` as it is."""
        return ImageFile(
            path,
            self.sizes[name],
            partial(self.read, name),
            self.where(name),
            partial(self.digests.__getitem__, name),
        )


def open_source(path: str | Path, progress: Progress = no_progress) -> Source:
    """Open a folder, a ``.zip`` archive, a tar, or a single file.

    Parameters
    ----------
    progress : shows the unpacking of a compressed tar, which is done once, into a file without a name.

    Raises
    ------
    DataMissing : nothing is there.
    InvalidData : an archive that was cut short or is damaged.
    FacebenchError : there is no room to unpack a tar.
    """
    root = Path(path).expanduser()
    archive: zipfile.ZipFile | Tar | None = None
    if root.is_dir():
        sizes = {file.relative_to(root).as_posix(): file.stat().st_size for file in _files_below(root)}
    elif root.is_file() and root.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(root)
        except zipfile.BadZipFile as error:
            msg = f"{root}: not a complete zip archive ({error}). It was cut short: obtain it again."
            raise InvalidData(msg) from error
        sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
    elif root.is_file() and root.name.lower().endswith(TAR):
        archive = Tar(root, progress)
        sizes = archive.sizes
    elif root.is_file():
        sizes = {root.name: root.stat().st_size}
    else:
        msg = f"{root}: no such file or folder, given as --source."
        raise DataMissing(msg)
    kept = {name: size for name, size in sorted(sizes.items()) if not is_litter(name)}
    return Source(root, kept, archive)


def _files_below(root: Path) -> Iterator[Path]:
    """Yield all files of a folder, behind links too, each folder once."""
    seen: set[Path] = set()
    for folder, inside, files in os.walk(root, followlinks=True):
        inside.sort()
        real = Path(folder).resolve()
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        yield from (Path(folder, file) for file in files if Path(folder, file).is_file())


def is_litter(name: str) -> bool:
    parts = name.split("/")
    return not LITTER.isdisjoint(parts) or parts[-1].startswith("._")


def tree_sha256(digests: dict[str, str]) -> str:
    """Hash a set of files by their names and contents, however they are packed.

    The SHA-256 of the lines ``<sha256 of the file>  <path>`` in order of path, which is the output of
    ``sha256sum`` on the sorted paths.
    """
    lines = (f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def relative_names(values: Mapping[str, T]) -> dict[str, T]:
    """Name files from their common folder on, so that it does not matter where that folder lies."""
    first, last = min(values, default=""), max(values, default="")
    # What the first and the last name in order begin with, all names do.
    same = list(takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    begin = first[: len(same)].rfind("/") + 1
    return {name[begin:]: value for name, value in values.items()}

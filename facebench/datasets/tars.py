"""Tar archives of any size, read here and there like a zip; nothing in them ever gets a name on disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import IO, Any

from facebench.errors import FacebenchError, InvalidData
from facebench.formats import Progress

__all__ = ["TAR", "Tar"]

#: How the name of a tar may end.
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

# What a compressed file begins with, and what reads it; told by content, for endings are wrong at times.
COMPRESSED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}

BLOCK_BYTES = 1 << 20


class Tar:
    """The regular files of a tar archive; links, devices and folders are no files of a release.

    A compressed tar can only be read from its beginning on.  So it is decompressed once, into a nameless
    temporary file beside it, which is gone when this object or the process ends, however that comes.

    Attributes
    ----------
    sizes : size in bytes of every file, by its path inside.

    Raises
    ------
    InvalidData : it was cut short or is damaged, or a name would lead out of it.
    FacebenchError : there is no room to decompress it.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self.lock = Lock()  # one file that is read at many places by several threads
        self.file: IO[bytes] | None = None
        try:
            self.file = _open_plain(path, progress)
            self.tar = tarfile.open(fileobj=self.file, mode="r:")  # noqa: SIM115 (closed with this object)
            self.members = {_safe_name(path, one.name): one for one in self.tar if one.isreg()}
        except (OSError, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
            msg = f"{path}: not a complete tar archive ({error}). It was cut short: obtain it again."
            raise InvalidData(msg) from error
        self.sizes = {name: one.size for name, one in self.members.items()}

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with self.lock, self.open(name) as file:
            return file.read()

    def open(self, name: str) -> IO[bytes]:
        """Open a file for one thread to read, while nobody reads another one."""
        file = self.tar.extractfile(self.members[name])
        assert file is not None  # it is a regular file
        return file


def _open_plain(path: Path, progress: Progress) -> IO[bytes]:
    """Open a tar that is not compressed, or the temporary file that a compressed one is written to."""
    packed = path.open("rb")
    head = packed.read(6)
    packed.seek(0)
    unpacker = next((one for magic, one in COMPRESSED.items() if head.startswith(magic)), None)
    if unpacker is None:
        return packed
    with packed:
        spool = _spool_beside(path)
        try:
            with unpacker(packed) as stream:
                _unpack(packed, stream, spool, path, progress)
        except BaseException:
            spool.close()
            raise
    return spool


def _spool_beside(path: Path) -> IO[bytes]:
    """Open a nameless file where the archive lies, for there is a disk; elsewhere where that is refused."""
    try:
        return tempfile.TemporaryFile(dir=path.parent)
    except OSError:
        return tempfile.TemporaryFile()


def _unpack(packed: IO[bytes], stream: IO[bytes], spool: IO[bytes], path: Path, progress: Progress) -> None:
    """Decompress a stream block by block; how far it is, is how much of the packed file was read."""
    steps = -(-path.stat().st_size // BLOCK_BYTES)
    shown = iter(progress(range(steps), steps, f"unpacking {path.name}"))
    at = 0
    while block := stream.read(BLOCK_BYTES):
        try:
            spool.write(block)
        except OSError as error:
            raise _no_room(path, error) from error
        while at < packed.tell() // BLOCK_BYTES:
            next(shown, None)
            at += 1
    for _ in shown:
        pass
    try:
        spool.seek(0)  # which also writes what is left
    except OSError as error:
        raise _no_room(path, error) from error


def _no_room(path: Path, error: OSError) -> FacebenchError:
    free = shutil.disk_usage(path.parent).free / 1e6
    return FacebenchError(
        f"{path}: could not be decompressed ({error.strerror or error}; {free:.0f} MB are free there). "
        f"Free space, or unpack it on another disk and give the folder as --source."
    )


def _safe_name(path: Path, stored: str) -> str:
    name = stored.removeprefix("./")
    if name.startswith("/") or ".." in name.split("/"):
        msg = f"{path}: {stored}: the name leads out of the archive. Obtain it again."
        raise InvalidData(msg)
    return name

"""Writing files so that they are either complete or not there at all."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.errors import FacebenchError, UsageError

if TYPE_CHECKING:
    import h5py

__all__ = ["hdf5_file", "atomic_path", "write_text"]


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it into place when the block succeeds.

    On any error, a full disk and an interrupt among them, the temporary file is removed and the old
    ``target``, if there was one, is untouched.  A killed process cannot remove its file: the next write
    of the same target does.

    Raises
    ------
    FacebenchError : the operating system refuses (no space, no permission); says which file.
    """
    temporary = _temporary_beside(target)
    try:
        _sweep(target)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path, marker: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; rename it into place when the block succeeds.

    As :func:`atomic_path`, but what somebody made is never replaced: ``target`` must be absent, an empty
    folder, or one that holds the file ``marker``, by which the writer knows its own.

    Raises
    ------
    UsageError : there is something else already, or it is the folder that the process is in.
    FacebenchError : the operating system refuses; says which folder.
    """
    target = target.absolute()
    if target.resolve() in (Path.cwd(), *Path.cwd().parents):
        msg = f"{target}: you are in this folder, so it cannot be replaced. Name one inside it."
        raise UsageError(msg)
    own = marker is not None and (target / marker).is_file()
    if target.exists() and not own and (not target.is_dir() or any(target.iterdir())):
        msg = f"{target}: is there already and not an empty folder. Remove it, or choose another place."
        raise UsageError(msg)
    temporary = _temporary_beside(target)
    try:
        _sweep(target)
        temporary.mkdir()
        yield temporary
        if own:
            gone = temporary.with_name(f".{target.name}.{_host()}-old-{os.getpid()}.part")
            target.replace(gone)
            temporary.replace(target)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            if target.exists():
                target.rmdir()
            temporary.replace(target)
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{_host()}-{os.getpid()}.part")


def _host() -> str:
    return re.sub(r"\W", "", socket.gethostname())


def _sweep(target: Path) -> None:
    """Make the folder of ``target``, and remove what killed processes of this computer left of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{escape(target.name)}.{_host()}-*.part"):
        pid = stale.stem.rpartition("-")[2]
        if pid.isdigit() and not _is_running(int(pid)):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink(missing_ok=True)


def _not_written(target: Path, error: OSError) -> FacebenchError:
    return FacebenchError(
        f"{target}: could not be written ({error.strerror or error}). "
        f"Nothing was changed; free space or choose another place, then run the command again."
    )


@contextmanager
def hdf5_file(path: Path, **options: Any) -> Iterator[h5py.File]:
    """Create an HDF5 file; where the disk is full or fails, that is an OSError.

    The library itself crashes the process when it cannot write what it holds back until the end.  It is
    therefore given a file that never fails, and what went wrong is raised when the block is left.
    """
    import h5py

    with path.open("w+b", buffering=0) as file:
        disk = _PatientFile(file)
        try:
            with h5py.File(disk, "w", **options) as hdf5:
                yield hdf5
        except RuntimeError:
            if disk.error is None:
                raise
        if disk.error is not None:
            raise disk.error


class _PatientFile(io.RawIOBase):
    """A file that takes every write, and remembers the first one that failed."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        have = self.file.readinto(view) or 0
        view[have:] = bytes(len(view) - have)
        return len(view)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self.error is None and written < len(view):
                written += self.file.write(view[written:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self.file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file with Unix line ends, completely or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

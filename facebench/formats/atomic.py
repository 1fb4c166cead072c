"""Writing files so that they are either complete or not there at all."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facebench.errors import FacebenchError

__all__ = ["atomic_path", "write_text"]


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
    host = re.sub(r"\W", "", socket.gethostname())
    temporary = target.with_name(f".{target.name}.{host}-{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{target.name}.{host}-*.part"):
            if not _is_running(int(stale.stem.rpartition("-")[2])):
                stale.unlink(missing_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        msg = (
            f"{target}: could not be written ({error.strerror or error}). "
            f"Nothing was changed; free space or choose another place, then run the command again."
        )
        raise FacebenchError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)


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

"""Fetching the files of a release from their owners, where the licence allows it.

A file is written as ``NAME.part`` and hashed on its way; what is there already is never asked for twice.  Its
name comes from the manifest, and it takes that name only when its size and its hash are right.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from facebench import __version__
from facebench.datasets.manifest import Archive, Manifest
from facebench.errors import DataMissing, FacebenchError, InvalidData, UsageError

if TYPE_CHECKING:
    import requests

__all__ = ["ByteProgress", "download", "download_release", "part_path"]

#: Wraps blocks of bytes to show how far they are: called with the blocks, the number of bytes that were there
#: before, the number in all (None where nobody knows), and a title.
ByteProgress = Callable[[Iterable[bytes], int, "int | None", str], Iterable[bytes]]

#: Small enough that an interrupt on a slow line loses little.
BLOCK = 1 << 16

CONTENT_RANGE = re.compile(r"bytes (?:(?P<begin>\d+)-\d+|\*)/(?P<total>\d+|\*)")

#: Answers that may be another one in a moment.
PASSING = {408, 425, 429, 500, 502, 503, 504}

LONGEST_WAIT = 60.0

#: A connection that brought this much further counts as a first try again.
GAIN = 1 << 20


class _Failed(Exception):
    """An address does not give the file; another one may."""

    def __init__(self, reason: str, *, wrong: bool = False) -> None:
        super().__init__(reason)
        self.wrong = wrong


class _Dropped(Exception):
    """An attempt failed; the same address may give the rest in a moment."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def show_nothing(blocks: Iterable[bytes], done: int, total: int | None, title: str) -> Iterable[bytes]:
    """Show nothing."""
    return blocks


def say_nothing(text: str) -> None:
    """Say nothing."""


def part_path(archive: Archive, folder: Path) -> Path:
    """Return where the bytes of an archive lie until it is complete."""
    return folder / f"{archive.file}.part"


def download_release(
    manifest: Manifest,
    folder: Path,
    progress: ByteProgress = show_nothing,
    tell: Callable[[str], None] = say_nothing,
) -> list[Path]:
    """Fetch every archive of a dataset that may be fetched directly.

    Raises
    ------
    DataMissing : its owners give it out in another way; says which.
    """
    direct = [archive for archive in manifest.archives if archive.direct]
    if not direct:
        files = [
            f"  {one.file}{f' ({one.url})' if one.url else ''}\n    {one.obtain}" for one in manifest.archives
        ]
        sources = " ".join(f"--source {role.upper()}" for role in manifest.sources)
        msg = "\n".join(
            [
                f"{manifest.name}: not for direct download; its owners ask you to obtain it yourself.",
                manifest.licence.summary,
                *files,
                f"Then run: facebench prepare {manifest.name} {sources}",
            ]
        )
        raise DataMissing(msg)
    return [download(archive, folder, progress, tell) for archive in direct]


def download(
    archive: Archive,
    folder: Path,
    progress: ByteProgress = show_nothing,
    tell: Callable[[str], None] = say_nothing,
) -> Path:
    """Fetch an archive into a folder, or the rest of it where a part lies there, and return its path.

    Parameters
    ----------
    progress : shows the bytes.
    tell : is told what went wrong on the way, and what is tried next.

    Raises
    ------
    InvalidData : other bytes came than those that the owners published; they are removed.
    DataMissing : no address gave the file; says what each answered.  What came is kept for the next run.
    FacebenchError : the disk is full, or another process fetches the same file.
    """
    target = folder / archive.file
    if target.is_file():
        _check_present(archive, target, progress)
        return target
    urls = [url for url in (archive.url, *archive.mirrors) if url]
    failures: list[tuple[str, _Failed]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Part.opened(archive, part_path(archive, folder), progress) as part, _session() as session:
            for url in urls:
                try:
                    _fetch(session, url, part, progress, tell)
                    break
                except _Failed as failure:
                    failures.append((url, failure))
                    tell(f"{archive.file}: {url}: {failure}")
                    if archive_hash(archive) is None:  # nothing says that a mirror has the same bytes
                        part.restart()
            else:
                raise _no_file(archive, target, failures)
        part.path.replace(target)
    except OSError as error:
        msg = (
            f"{error.filename or target}: could not be written ({error.strerror or error}). What came is "
            f"kept; free space or choose another folder with --raw, then run the command again."
        )
        raise FacebenchError(msg) from error
    return target


def archive_hash(archive: Archive) -> tuple[str, str] | None:
    """Return the kind and the digits of the hash that an archive must have, where one is known."""
    if archive.sha256:
        return "sha256", archive.sha256.lower()
    return ("md5", archive.md5.lower()) if archive.md5 else None


def _no_file(archive: Archive, target: Path, failures: list[tuple[str, _Failed]]) -> FacebenchError:
    lines = [f"  {url}: {failure}" for url, failure in failures]
    wrong = any(failure.wrong for _, failure in failures)
    if wrong:
        advice = (
            "The bytes were removed. Run the command again; if they come again, the owners have changed the "
            "file, or something on the way has: obtain it in another way and give it as --source. "
            f"{archive.obtain}"
        )
    else:
        advice = (
            f"Run the command again later, or obtain it yourself and give it as --source: {archive.obtain}"
        )
        if part_path(archive, target.parent).is_file():
            advice = f"What came is kept, and the next run asks only for the rest. {advice}"
    heading = f"{target}: could not be fetched." if not wrong else f"{target}: not the published file."
    return (InvalidData if wrong else DataMissing)("\n".join([heading, *lines, advice]))


def _check_present(archive: Archive, target: Path, progress: ByteProgress) -> None:
    """Raise where a file that lies there already is another one; it may be the user's own, so it stays."""
    size = target.stat().st_size
    found = f"{size} bytes"
    expected = f"{archive.bytes} bytes"
    right = archive.bytes in (None, size)
    known = archive_hash(archive)
    if right and known:
        kind, digits = known
        hasher = _hasher(archive)
        with target.open("rb") as file:
            for block in progress(_blocks(file), 0, size, f"checking {archive.file}"):
                hasher.update(block)
        found, expected = f"{kind} {hasher.hexdigest()}", f"{kind} {digits}"
        right = hasher.hexdigest() == digits
    if not right:
        msg = (
            f"{target}: not the file that its owners published at {archive.url}: expected {expected}, "
            f"found {found}. If it is a re-packed copy, give it as --source without --download; otherwise "
            f"remove it and run the command again."
        )
        raise InvalidData(msg)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


@dataclass
class _Part:
    """The beginning of a file, and the hash of it."""

    archive: Archive
    path: Path
    file: IO[bytes]
    hasher: Any
    size: int = 0
    furthest: int = 0

    @classmethod
    @contextmanager
    def opened(cls, archive: Archive, path: Path, progress: ByteProgress) -> Iterator[_Part]:
        """Open what is there, or begin; no other process may do so meanwhile."""
        with path.open("a+b", buffering=0) as file:
            _lock(file, path)
            part = cls(archive, path, file, _hasher(archive))
            there = path.stat().st_size
            if there > (archive.bytes or there):
                part.restart()
            elif there:
                file.seek(0)
                for block in progress(_blocks(file), 0, there, f"resuming {archive.file}"):
                    part.hasher.update(block)
                part.size = part.furthest = there
            try:
                yield part
            finally:
                if not part.size:
                    with suppress(OSError):
                        path.unlink()

    def restart(self) -> None:
        """Begin again with nothing."""
        self.hasher = _hasher(self.archive)
        self.size = 0
        self.file.truncate(0)

    def append(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            written = self.file.write(view)
            self.hasher.update(view[:written])
            self.size += written
            view = view[written:]

    def check(self) -> None:
        """Raise :class:`_Failed`, and begin again, where the complete file is not the published one."""
        known = archive_hash(self.archive)
        found = self.hasher.hexdigest()
        reason = ""
        if self.archive.bytes not in (None, self.size):
            reason = f"expected {self.archive.bytes} bytes, found {self.size}"
        elif known and found != known[1]:
            reason = f"expected {known[0]} {known[1]}, found {found}"
        if reason:
            self.restart()
            raise _Failed(reason, wrong=True)


def _hasher(archive: Archive) -> Any:
    kind, _ = archive_hash(archive) or ("sha256", "")
    return hashlib.new(kind, usedforsecurity=False)


def _lock(file: IO[bytes], path: Path) -> None:
    """Refuse to write into what another process fetches; where the system has no such lock, do without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{path}: another process is fetching it. Wait until that is done, then run the command again."
        raise FacebenchError(msg) from error
    except OSError:  # some network drives know no locks
        return


@contextmanager
def _session() -> Iterator[requests.Session]:
    import requests

    with requests.Session() as session:
        session.max_redirects = 10
        # Compressed on the way, a part could not be resumed and would have another hash.
        session.headers.update({"User-Agent": f"facebench/{__version__}", "Accept-Encoding": "identity"})
        yield session


def _fetch(
    session: requests.Session, url: str, part: _Part, progress: ByteProgress, tell: Callable[[str], None]
) -> None:
    """Bring the part to its end from one address, however often the connection breaks on the way."""
    tries = int(_setting("FACEBENCH_DL_TRIES", 5))
    timeout = _setting("FACEBENCH_DL_TIMEOUT", 30)
    tried = 0
    while part.archive.bytes is None or part.size < part.archive.bytes:
        before = part.furthest
        try:
            _attempt(session, url, timeout, part, progress)
            break
        except _Dropped as drop:
            tried = 1 if part.furthest - before >= GAIN else tried + 1
            if tried >= tries:
                msg = f"{drop}; given up after {tries} tries"
                raise _Failed(msg) from drop
            wait = min(max(2.0 ** (tried - 1), drop.wait), LONGEST_WAIT)
            tell(f"{part.archive.file}: {drop}; trying again in {wait:.0f} s (try {tried + 1} of {tries})")
            time.sleep(wait)
    part.check()


def _setting(name: str, default: int) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86400:
        msg = f"{name}={text}: expected a number from 1 on."
        raise UsageError(msg)
    return value


def _attempt(
    session: requests.Session, url: str, timeout: float, part: _Part, progress: ByteProgress
) -> None:
    """Ask once for what is not there yet, and append it.

    Raises
    ------
    _Dropped : not all of it came.
    _Failed : the address does not give the file.
    """
    import requests
    from urllib3.exceptions import HTTPError

    asked = {"Range": f"bytes={part.size}-"} if part.size else {}
    try:
        with session.get(url, headers=asked, stream=True, timeout=timeout) as answer:
            length = _expect(answer, part)
            if length == 0:
                return
            total = part.size + length if length is not None else part.archive.bytes
            _check_space(part, total)
            came = answer.raw.stream(BLOCK, decode_content=False)
            for block in progress(came, part.size, total, part.archive.file):
                part.append(block)
                part.furthest = max(part.furthest, part.size)
                if total is not None and part.size > total:
                    part.restart()
                    msg = f"more came than the {total} bytes that were announced"
                    raise _Failed(msg, wrong=True)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Dropped(_reason(error)) from error
    except HTTPError as error:
        raise _Dropped(_reason(error)) from error
    except requests.RequestException as error:  # too many redirects, or one to something that is not http
        msg = f"not followed ({error})"
        raise _Failed(msg) from error
    if total is not None and part.size < total:
        msg = f"the connection ended after {part.size} of {total} bytes"
        raise _Dropped(msg)


def _reason(error: Exception) -> str:
    text = str(error)
    if "timed out" in text:
        return "the server did not answer in time"
    if "IncompleteRead" in text or "Connection aborted" in text or "Connection broken" in text:
        return "the connection broke"
    cause = getattr(error.args[0], "reason", error) if error.args else error
    return f"no connection ({str(cause).rpartition(': ')[2]})"


def _expect(answer: requests.Response, part: _Part) -> int | None:
    """Return how many bytes an answer will append (None: it does not say); begin again where it must be."""
    status = answer.status_code
    content_range = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    total = content_range["total"] if content_range else "*"
    if status in PASSING:
        wait = answer.headers.get("Retry-After", "")
        msg = f"the server answered {status} {answer.reason}"
        raise _Dropped(msg, float(wait) if re.fullmatch(r"\d{1,6}", wait) else 0.0)
    if status == 416 and part.size:
        if total == str(part.size):
            return 0
        part.restart()
        msg = "the part that was there is not one of this file"
        raise _Dropped(msg)
    if status == 206:
        if not part.size or content_range is None or content_range["begin"] != str(part.size):
            part.restart()
            msg = "the server gave another range than the one asked for"
            raise _Dropped(msg)
        length = int(total) - part.size if total != "*" else _content_length(answer)
    elif status == 200:
        if part.size:
            part.restart()
        length = _content_length(answer)
    else:
        msg = f"the server answered {status} {answer.reason}"
        raise _Failed(msg)
    announced = None if length is None else part.size + length
    if part.archive.bytes is not None and announced not in (None, part.archive.bytes):
        part.restart()
        msg = f"expected {part.archive.bytes} bytes, the server has {announced}"
        raise _Failed(msg, wrong=True)
    return length


def _content_length(answer: requests.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _check_space(part: _Part, total: int | None) -> None:
    needed = (total or 0) - part.size
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        msg = (
            f"{part.path.parent}: {part.archive.file} needs {needed / 1e6:.1f} MB more, {free / 1e6:.1f} MB "
            f"are free. Free space or choose another folder with --raw, then run the command again."
        )
        raise FacebenchError(msg)

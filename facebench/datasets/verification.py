"""Checking a prepared file or a release: whether every byte is what it should be, and where not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facebench.datasets.registry import get_dataset
from facebench.datasets.sources import Source, open_source, relative_names
from facebench.datasets.stamps import Stamp, look_at, read_stamp, write_stamp
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import Progress, no_progress, open_dataset

__all__ = ["Check", "verify_prepared", "verify_release"]

# What a prepared file is compared with: the hashes that it holds itself.
PREPARED = "facebench-dataset"


@dataclass(frozen=True)
class Check:
    """The state of one checked thing; ``since`` is the day it was read, where that was not now."""

    name: str
    state: Literal["ok", "missing", "invalid"]
    detail: str = ""
    since: str = ""


def verify_prepared(
    path: Path, progress: Progress = no_progress, *, stamps: Path | None = None, full: bool = False
) -> list[Check]:
    """Check every byte of a prepared file; where one has changed, name what it belongs to.

    Parameters
    ----------
    stamps : the folder that remembers good outcomes; None: nothing is remembered.
    full : read everything, whatever is remembered.
    """
    if not path.is_file():
        return [Check(str(path), "missing", "not prepared")]
    if stamp := _remembered(stamps, [path], PREPARED, full):
        return [Check(str(path), "ok", stamp.detail, stamp.date)]
    try:
        seen = look_at([path])
        dataset = open_dataset(path)
        # Where the images are not in the file, they must be unchanged too.
        roots = [Path(root) for root in [dataset.provenance.get("image_root")] if root]
        seen += look_at([root for root in roots if root.is_dir()])
        changed = [dataset.image_paths[row] for row in dataset.changed_images(progress)]
    except InvalidData as error:
        return [Check(str(path), "invalid", str(error))]
    except DataMissing as error:
        return [Check(str(path), "missing", str(error))]
    if changed:
        detail = "the image's bytes are not those that were there when the file was made"
        images = [Check(f"{path}: {name}", "invalid", detail) for name in changed]
        return [Check(str(path), "invalid", f"{len(changed)} images have changed"), *images]
    detail = f"{len(dataset)} faces, {len(dataset.image_paths)} images, every byte as written"
    if stamps is not None:
        write_stamp(stamps, [path], seen, PREPARED, detail)
    return [Check(str(path), "ok", detail)]


def _remembered(stamps: Path | None, paths: Sequence[Path], against: str, full: bool) -> Stamp | None:
    return None if stamps is None or full else read_stamp(stamps, paths, against)


def verify_release(
    name: str,
    sources: Sequence[str | Path],
    progress: Progress = no_progress,
    *,
    stamps: Path | None = None,
    full: bool = False,
) -> list[Check]:
    """Compare the files of a release with the published hashes, naming those missing or changed.

    Parameters
    ----------
    stamps : the folder that remembers good outcomes; None: nothing is remembered.
    full : read everything, whatever is remembered.

    Raises
    ------
    UsageError : the hashes of the dataset's files are not known.
    DataMissing : no source holds any of them.
    """
    manifest = get_dataset(name).manifest
    if not manifest.file_hashes:
        msg = f"{name}: the hashes of its files are not known, so a release cannot be verified."
        raise UsageError(msg)
    paths = [Path(source).expanduser() for source in sources]
    published = json.dumps(manifest.file_hashes, sort_keys=True)
    against = f"{name} {hashlib.sha256(published.encode()).hexdigest()}"
    if stamp := _remembered(stamps, paths, against, full):
        return [Check(path, "ok", since=stamp.date) for path in manifest.file_hashes]
    opened = [open_source(path, progress) for path in paths]
    seen = look_at(paths)
    found: dict[str, Check] = {}
    for source in opened:
        members = _published_members(source, manifest.file_hashes)
        for member, path in progress(members, len(members), source.path.name):
            found[path] = _check_file(source, member, path, manifest.file_hashes[path])
    if not found:
        msg = f"{name}: none of its files found in {', '.join(map(str, sources))}. Expected:\n{manifest.tree}"
        raise DataMissing(msg)
    checks = [found.get(path, Check(path, "missing")) for path in manifest.file_hashes]
    if stamps is not None and all(check.state == "ok" for check in checks):
        write_stamp(stamps, paths, seen, against, "")
    return checks


def _published_members(source: Source, published: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the files of a source that are published, each with its published path.

    The release's own folder may stand anywhere below what the user named, or be it.
    """
    pairs = []
    for member in source:
        parts = member.split("/")
        tails = ("/".join(parts[begin:]) for begin in range(len(parts)))
        pairs += [(member, tail) for tail in tails if tail in published][:1]
    itself = relative_names({path: path for path in published})
    return pairs or [(member, itself[member]) for member in source if member in itself]


def _check_file(source: Source, member: str, path: str, digest: str) -> Check:
    try:
        source.read(member)
    except InvalidData as error:
        return Check(path, "invalid", str(error))
    if source.digests[member] != digest:
        return Check(path, "invalid", "not the bytes of the published release")
    return Check(path, "ok")

"""Checking a prepared file or a release: whether every byte is what it should be, and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facebench.datasets.registry import get_dataset
from facebench.datasets.sources import Source, open_source, relative_names
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import Progress, no_progress, open_dataset

__all__ = ["Check", "verify_prepared", "verify_release"]


@dataclass(frozen=True)
class Check:
    """The state of one checked thing."""

    name: str
    state: Literal["ok", "missing", "invalid"]
    detail: str = ""


def verify_prepared(path: Path, progress: Progress = no_progress) -> list[Check]:
    """Check every byte of a prepared file; where one has changed, name what it belongs to."""
    if not path.is_file():
        return [Check(str(path), "missing", "not prepared")]
    try:
        dataset = open_dataset(path)
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
    return [Check(str(path), "ok", detail)]


def verify_release(name: str, sources: Sequence[str | Path], progress: Progress = no_progress) -> list[Check]:
    """Compare the files of a release with the published hashes, naming those missing or changed.

    Raises
    ------
    UsageError : the hashes of the dataset's files are not known.
    DataMissing : no source holds any of them.
    """
    manifest = get_dataset(name).manifest
    if not manifest.file_hashes:
        msg = f"{name}: the hashes of its files are not known, so a release cannot be verified."
        raise UsageError(msg)
    found: dict[str, Check] = {}
    for source in map(open_source, sources):
        members = _published_members(source, manifest.file_hashes)
        for member, path in progress(members, len(members), source.path.name):
            found[path] = _check_file(source, member, path, manifest.file_hashes[path])
    if not found:
        msg = f"{name}: none of its files found in {', '.join(map(str, sources))}. Expected:\n{manifest.tree}"
        raise DataMissing(msg)
    return [found.get(path, Check(path, "missing")) for path in manifest.file_hashes]


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

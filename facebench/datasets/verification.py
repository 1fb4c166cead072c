"""Checking a prepared file or a release: whether every byte is what it should be, and where not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facebench.datasets.registry import get_dataset
from facebench.datasets.sources import open_source
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import PreparedDataset, Progress, is_intact, no_progress, open_dataset

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
    dataset = None
    try:
        dataset = open_dataset(path)
        intact = is_intact(path)
    except InvalidData as error:
        return [Check(str(path), "invalid", str(error))]
    if intact:
        detail = f"{len(dataset)} faces, {len(dataset.image_paths)} images, every byte as written"
        return [Check(str(path), "ok", detail)]
    changed = list(_changed_images(dataset, progress))
    detail = "its bytes are not those that were written; prepare it again"
    return [Check(str(path), "invalid", detail), *changed]


def _changed_images(dataset: PreparedDataset, progress: Progress) -> Iterable[Check]:
    expected = dataset.image_sha256
    for row, name in enumerate(progress(dataset.image_paths, len(dataset.image_paths), "images")):
        if hashlib.sha256(dataset.encoded_image(row).tobytes()).digest() != expected[row].tobytes():
            yield Check(f"{dataset.path}: {name}", "invalid", "the image's bytes have changed")


def verify_release(name: str, sources: Sequence[str | Path], progress: Progress = no_progress) -> list[Check]:
    """Compare the files of a release with the published hashes, naming those missing or changed."""
    manifest = get_dataset(name).manifest
    if not manifest.file_hashes:
        msg = f"{name}: the hashes of its files are not known, so a release cannot be verified."
        raise UsageError(msg)
    found: dict[str, str] = {}
    for source in map(open_source, sources):
        for member in progress(list(source), len(source.sizes), source.path.name):
            parts = member.split("/")
            # A published path may stand anywhere below what the user named.
            for begin in range(len(parts)):
                published = "/".join(parts[begin:])
                if published in manifest.file_hashes:
                    source.read(member)
                    found[published] = source.digests[member]
                    break
    if not found:
        msg = f"{name}: none of its files found in {', '.join(map(str, sources))}. Expected:\n{manifest.tree}"
        raise DataMissing(msg)
    checks = []
    for published, digest in manifest.file_hashes.items():
        if published not in found:
            checks.append(Check(published, "missing"))
        elif found[published] != digest:
            checks.append(Check(published, "invalid", "not the bytes of the published release"))
        else:
            checks.append(Check(published, "ok"))
    return checks

"""From a release to a prepared-dataset file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facebench import __version__
from facebench.datasets.manifest import Manifest
from facebench.datasets.registry import Dataset, Release, get_dataset
from facebench.datasets.sources import open_source, relative_names, tree_sha256
from facebench.errors import DataMissing, UsageError, name_some, whole_number
from facebench.formats import (
    Progress,
    no_progress,
    write_dataset,
)

__all__ = ["Prepared", "prepare"]

# More than anybody renders; a slip of the keyboard should not fill the disk.
MOST_FACES, MOST_SEED = 1_000_000, 2**32 - 1


@dataclass(frozen=True)
class Prepared:
    """The outcome of :func:`prepare`: the file's path and what its user should know."""

    path: Path
    notes: list[str]


def prepare(
    name: str,
    sources: Sequence[str | Path],
    target: Path,
    *,
    faces: int | None = None,
    seed: int | None = None,
    partial: bool = False,
    images: Literal["embed", "none"] = "embed",
    workers: int = 1,
    progress: Progress = no_progress,
) -> Prepared:
    """Turn a release into a prepared-dataset file.

    Parameters
    ----------
    sources : folders, archives or files that hold the release; each is recognised by what is in it.
    target : the file to write; replaced only when everything is complete.
    faces, seed : for a dataset that is made on the spot: how many faces, and the seed; those of its manifest
        when not given.  Any others make another dataset, and are marked as a part.
    partial : accept a release that lacks faces; its splits are then not the published ones.
    images : ``embed`` the encoded images, or ``none`` to read them by path from an unpacked release.
    workers : threads that read images ahead of the one that writes, which pays where images must be encoded;
        of a dataset that is made, processes that make faces.  The file is the same for any number.

    Raises
    ------
    DataMissing : the sources do not hold the release.
    InvalidData : the release is damaged or not the published one; names the files.
    UsageError : sources for a dataset that is made, or a number of faces or a seed for one that is read.
    """
    dataset = get_dataset(name)
    manifest = dataset.manifest
    options: dict[str, Any] = {"images": images, "partial": partial}
    if dataset.make is not None:
        count, chosen = _recipe(manifest, faces, seed, sources)
        options |= {"partial": (count, chosen) != (manifest.faces, manifest.seed)}
        options |= {"faces": count, "seed": chosen}
        release = dataset.make(count, chosen, manifest, workers, progress)
    else:
        if manifest.open:
            # Nothing is published that it could be all of: whatever asks for a part is to find one.
            options |= {"partial": True, "open": True}
        release = _read(dataset, sources, (faces, seed), partial, progress)
    root = _image_root(release) if images == "none" else None
    notes = list(release.notes)

    def provenance() -> dict[str, Any]:
        digests = {
            role: {name: source.digests[name] for name in names}
            for role, (source, names) in release.files.items()
        }
        notes.extend(_compare(digests.get("release", {}), manifest))
        described = {
            role: {"files": len(files), "sha256": tree_sha256(relative_names(files))}
            for role, files in digests.items()
        }
        found = {"sources": described, "options": options, "facebench": __version__}
        return found if root is None else {**found, "image_root": str(root)}

    write_dataset(
        target,
        release.content,
        provenance,
        embed_images=images == "embed",
        workers=workers,
        progress=progress,
    )
    return Prepared(target, notes)


def _recipe(
    manifest: Manifest, faces: int | None, seed: int | None, sources: Sequence[str | Path]
) -> tuple[int, int]:
    """Return the number of faces and the seed of a dataset that is made."""
    if sources:
        msg = f"prepare {manifest.name}: is made on the spot and takes no --source, only --faces and --seed."
        raise UsageError(msg)
    count = whole_number("faces", manifest.faces if faces is None else faces, 1, MOST_FACES)
    return count, whole_number("seed", manifest.seed if seed is None else seed, 0, MOST_SEED)


def _read(
    dataset: Dataset,
    sources: Sequence[str | Path],
    recipe: tuple[int | None, int | None],
    partial: bool,
    progress: Progress,
) -> Release:
    manifest = dataset.manifest
    if recipe != (None, None):
        msg = f"prepare {dataset.name}: --faces and --seed are for a dataset that is made; this one is read."
        raise UsageError(msg)
    if not sources:
        msg = (
            f"prepare {dataset.name}: no --source given. Expected: {'; '.join(manifest.sources.values())}. "
            f"'facebench info {dataset.name}' says how to obtain them."
        )
        raise DataMissing(msg)
    assert dataset.read is not None
    return dataset.read([open_source(path, progress) for path in sources], manifest, partial, progress)


def _image_root(release: Release) -> Path:
    if release.image_root is None:
        places = ", ".join(sorted({str(source.path) for source, _ in release.files.values()}))
        msg = f"{places}: '--images none' reads images by path and needs the release unpacked."
        raise UsageError(msg)
    return release.image_root.absolute()


def _compare(digests: Mapping[str, str], manifest: Manifest) -> list[str]:
    """Say how the files of a release differ from the published ones, where their hashes are known."""
    if not manifest.file_hashes:
        return []
    found = relative_names(digests)
    published = relative_names(manifest.file_hashes)
    other = sorted(name for name, digest in found.items() if published.get(name) != digest)
    if not other:
        return []
    if len(other) == len(found):
        return [f"none of the {len(found)} files belongs to the published release"]
    return [f"{len(other)} of {len(found)} files are not those of the published release: {name_some(other)}"]

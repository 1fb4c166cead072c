"""The splits of a manifest as rows of the faces that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest, Split
from facebench.errors import InvalidData
from facebench.formats import ids_sha256

__all__ = ["split_rows"]

Rows = NDArray[np.int64]

#: Stands in a manifest for a hash that is not known yet.
ASKED = "?"


def split_rows(
    ids: Sequence[str], manifest: Manifest, computed: Mapping[str, Rows], *, partial: bool
) -> dict[str, Rows]:
    """Return the rows of the splits of a manifest, checked against its counts and hashes.

    A listed split without any face is absent from the result, and so is a union with an absent member: a
    subset that was not given is not there, rather than there and empty.

    Parameters
    ----------
    ids : all face ids, sorted.
    computed : rows of the splits that follow from the data by a rule.
    partial : the faces are a part of the release, so counts and hashes are not compared.

    Raises
    ------
    InvalidData : a split is not the published one; names the split and both counts.  Or manifest and module
        do not fit: a computed split is not in the manifest, or one of the manifest follows from nothing.
        Only ``all`` holds all faces by itself.
    """
    _check_fit(manifest, computed)
    rows: dict[str, Rows] = {}
    for name, split in manifest.splits.items():
        if name in computed:
            rows[name] = computed[name]
        elif not split.union_of:
            rows[name] = _listed(ids, split, manifest)
    present = {name: found for name, found in rows.items() if len(found) or name in computed}
    for name, split in manifest.splits.items():
        if split.union_of and all(member in present for member in split.union_of):
            present[name] = np.unique(np.concatenate([present[member] for member in split.union_of]))
    if not partial:
        digests = {name: ids_sha256(ids[row] for row in found) for name, found in present.items()}
        for name, found in present.items():
            _check(name, manifest, len(found), digests[name])
        _tell_hashes(manifest, digests)
    return {name: present[name] for name in manifest.splits if name in present}


def _check_fit(manifest: Manifest, computed: Mapping[str, Rows]) -> None:
    for name in computed:
        if name not in manifest.splits:
            known = ", ".join(manifest.splits)
            msg = f"{manifest.name}: the module computes a split '{name}', the manifest has only {known}."
            raise InvalidData(msg)
    for name, split in manifest.splits.items():
        ruled = split.ids is not None or split.union_of or split.exclude_splits or name in computed
        if not ruled and name != "all":
            msg = (
                f"{manifest.name}: nothing says which faces are in the split '{name}': it needs 'ids', "
                f"'union_of' or 'exclude_splits' in the manifest, or rows that the module computes."
            )
            raise InvalidData(msg)


def _listed(ids: Sequence[str], split: Split, manifest: Manifest) -> Rows:
    chosen = set(ids if split.ids is None else split.ids)
    if split.exclude_splits:
        # Only of a published face is it known that it is in none of the other lists.
        chosen &= manifest.published_ids
        chosen -= {one for other in split.exclude_splits for one in manifest.splits[other].ids or ()}
    return np.array([row for row, name in enumerate(ids) if name in chosen], np.int64)


def _check(name: str, manifest: Manifest, count: int, digest: str) -> None:
    split = manifest.splits[name]
    hashed = split.sha256 not in (None, ASKED)
    if count != split.count or (hashed and digest != split.sha256):
        published = f" with ids hashing to {split.sha256}" if hashed else ""
        msg = (
            f"split '{name}': expected {split.count} faces{published}, found {count} hashing to "
            f"{digest}. This is not the published release of {manifest.name}; '--partial' prepares it "
            f"all the same, marked as a part."
        )
        raise InvalidData(msg)


def _tell_hashes(manifest: Manifest, digests: Mapping[str, str]) -> None:
    """Refuse a manifest that asks for hashes, with these hashes."""
    asked = [name for name, split in manifest.splits.items() if split.sha256 == ASKED and name in digests]
    if asked:
        lines = [f'  [splits.{name}] sha256 = "{digests[name]}"' for name in asked]
        msg = "\n".join(
            [
                f'{manifest.name}: the manifest has "?" for the hash of the ids of splits. Found:',
                *lines,
                "If this is the genuine release, write them into the manifest; else leave 'sha256' out.",
            ]
        )
        raise InvalidData(msg)

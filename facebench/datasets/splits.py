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
    InvalidData : a split is not the published one; names the split and both counts.
    """
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
        for name, found in present.items():
            _check(name, manifest, found, ids)
    return {name: present[name] for name in manifest.splits if name in present}


def _listed(ids: Sequence[str], split: Split, manifest: Manifest) -> Rows:
    chosen = set(ids if split.ids is None else split.ids)
    if split.exclude_splits:
        # Only of a published face is it known that it is in none of the other lists.
        chosen &= manifest.published_ids
        chosen -= {one for other in split.exclude_splits for one in manifest.splits[other].ids or ()}
    return np.array([row for row, name in enumerate(ids) if name in chosen], np.int64)


def _check(name: str, manifest: Manifest, found: Rows, ids: Sequence[str]) -> None:
    split = manifest.splits[name]
    digest = ids_sha256(ids[row] for row in found)
    if len(found) != split.count or (split.sha256 is not None and digest != split.sha256):
        published = f" with ids hashing to {split.sha256}" if split.sha256 else ""
        msg = (
            f"split '{name}': expected {split.count} faces{published}, found {len(found)} hashing to "
            f"{digest}. This is not the published release of {manifest.name}; '--partial' prepares it "
            f"all the same, marked as a part."
        )
        raise InvalidData(msg)

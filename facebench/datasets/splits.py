"""The splits of a manifest as rows of the faces that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest, Split
from facebench.errors import InvalidData
from facebench.formats import ids_sha256

__all__ = ["split_rows"]


def split_rows(
    ids: Sequence[str],
    manifest: Manifest,
    computed: Mapping[str, NDArray[np.int64]],
    *,
    partial: bool,
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of every split of a manifest, checked against its counts and hashes.

    Parameters
    ----------
    ids : all face ids, sorted.
    computed : rows of the splits that follow from the data by a rule.
    partial : the faces are a part of the release, so counts and hashes are not compared.

    Raises
    ------
    InvalidData : a split is not the published one; names the split and both counts.
    """
    rows: dict[str, NDArray[np.int64]] = {}
    for name, split in manifest.splits.items():
        rows[name] = computed[name] if name in computed else _listed(ids, split, manifest)
    for name, split in manifest.splits.items():
        found = ids_sha256(ids[row] for row in rows[name])
        if not partial and (len(rows[name]), found) != (split.count, split.sha256):
            msg = (
                f"split '{name}': expected {split.count} faces with ids hashing to {split.sha256}, "
                f"found {len(rows[name])} hashing to {found}. This is not the published release of "
                f"{manifest.name}; '--partial' prepares it all the same, marked as a part."
            )
            raise InvalidData(msg)
    return rows


def _listed(ids: Sequence[str], split: Split, manifest: Manifest) -> NDArray[np.int64]:
    chosen = set(ids if split.ids is None else split.ids)
    if split.exclude_splits:
        # Only of a published face is it known that it is in none of the other lists.
        chosen &= manifest.published_ids
        chosen -= {one for other in split.exclude_splits for one in manifest.splits[other].ids or ()}
    return np.array([row for row, name in enumerate(ids) if name in chosen], np.int64)

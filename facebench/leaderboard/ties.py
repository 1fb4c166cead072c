"""Which computed rows of a leaderboard are not significantly different.

Beside the entries lie the errors behind each computed headline, ``errors/<dataset>/<method>.npz``: a number
for each face, and for nobody to guess a prediction or a label from.  Rows that were measured on the same
faces are compared in pairs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InvalidData
from facebench.formats import atomic_path
from facebench.metrics import Statistic, differences
from facebench.protocols import BALANCED, Measured, Protocol, Signature
from facebench.protocols.comparison import SIGNIFICANT

if TYPE_CHECKING:
    from facebench.leaderboard.entries import Scored

__all__ = ["HeadlineErrors", "add_errors", "errors_path", "headline_errors", "read_errors", "tied"]

# What two signatures must share for their rows to be paired.
PAIRED = ("protocol", "version", "faces", "n", "missing", "truth", "points", "positive")


@dataclass(frozen=True)
class HeadlineErrors:
    """What the headline of one result summarises.

    Attributes
    ----------
    errors : (n,) values of the faces, ascending by id.
    bins : (n,) number of the bin of each face, -1 for none, where the headline is balanced; else empty.
    clusters : (n,) number of the cluster of each face, where they are resampled together; else empty.
    """

    errors: NDArray[np.float32]
    bins: NDArray[np.int8]
    clusters: NDArray[np.int32]


def headline_errors(measured: Measured) -> HeadlineErrors | None:
    """Return the errors behind the headline; None where it is not a number per face."""
    protocol = measured.protocol
    key, group = protocol.headline
    metric = protocol.metric(key)
    column = measured.columns.of.get(metric.column)
    if not isinstance(column, np.ndarray) or metric.over is not None or metric.quantile is not None:
        return None
    bins = np.empty(0, np.int8)
    if group == BALANCED:
        bins = np.full(len(column), -1, np.int8)
        for number, name in enumerate(protocol.bin_groups):
            bins[measured.masks[name]] = number
    clusters = np.empty(0) if measured.clusters is None else measured.clusters
    return HeadlineErrors(column.astype(np.float32), bins, clusters.astype(np.int32))


def errors_path(folder: Path, entry: Path) -> Path:
    """Return where the errors of the method lie whose entry this is."""
    return folder / "errors" / entry.parent.name / f"{entry.stem}.npz"


def add_errors(folder: Path, entry: Path, measured: Sequence[Measured]) -> None:
    """Write the errors behind the headlines beside an entry; those of other protocols there are kept."""
    path = errors_path(folder, entry)
    found = {one.protocol.name: headline_errors(one) for one in measured}
    arrays: dict[str, NDArray] = {}
    for protocol, one in sorted({**read_errors(path), **found}.items()):
        if one is None:
            continue
        for name in ("errors", "bins", "clusters"):
            arrays[f"{protocol.replace('/', '.')}.{name}"] = getattr(one, name)
    if not arrays:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getvalue())


def read_errors(path: Path) -> dict[str, HeadlineErrors]:
    """Read the errors of a method by protocol; nothing where there is no such file.

    Raises
    ------
    InvalidData : it cannot be read.
    """
    if not path.is_file():
        return {}
    found: dict[str, dict[str, NDArray]] = {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            for name in arrays.files:
                protocol, _, what = name.rpartition(".")
                found.setdefault(protocol.replace(".", "/", 1), {})[what] = arrays[name]
        return {protocol: HeadlineErrors(**parts) for protocol, parts in found.items()}
    except Exception as error:
        # A damaged archive makes zipfile and numpy raise almost anything.
        msg = f"{path}: not the errors of a method ({error}). Remove it, and add the result again."
        raise InvalidData(msg) from error


def tied(
    protocol: Protocol, claims: Sequence[Scored], errors: Sequence[HeadlineErrors | None]
) -> list[tuple[int, int]]:
    """Return the pairs of results whose headlines are not significantly different, by their positions.

    Results are paired where they were measured on the same faces against the same truth; the test is the
    paired randomisation test with p > 0.05.
    """
    alike: list[tuple[int, int]] = []
    for j, (claim, mine) in enumerate(zip(claims, errors, strict=True)):
        for i, (other, theirs) in enumerate(zip(claims[:j], errors[:j], strict=True)):
            if mine is None or theirs is None or len(mine.errors) != len(theirs.errors):
                continue
            if _paired(claim, other) and not _differ(protocol, mine, theirs):
                alike.append((i, j))
    return alike


def _paired(claim: Scored, other: Scored) -> bool:
    fields = [Signature.parse(one.result.signature).fields for one in (claim, other)]
    return all(fields[0].get(name) == fields[1].get(name) for name in PAIRED)


def _differ(protocol: Protocol, mine: HeadlineErrors, theirs: HeadlineErrors) -> bool:
    groups = {"all": np.ones(len(mine.errors), bool)}
    members: tuple[str, ...] = ("all",)
    if protocol.headline[1] == BALANCED:
        groups = {str(number): mine.bins == number for number in range(len(protocol.bin_groups))}
        members = tuple(groups)
    (found,) = differences(
        {"headline": mine.errors.astype(float)},
        {"headline": theirs.errors.astype(float)},
        groups,
        [Statistic("headline", members)],
        clusters=mine.clusters.astype(np.int64) if mine.clusters.size else None,
    )
    return bool(found.p_randomisation <= SIGNIFICANT)

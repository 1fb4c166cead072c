"""Faces of the user's own: images and one table of points, poses and boxes, as a folder or an archive.

Nothing of them is published, so there is no count and no hash to compare; what contradicts itself is refused.
The layout, and what else columns may be called, are in ``manifests/custom.toml`` and the table beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.face_table import UNSAFE, FaceTable, read_table
from facebench.datasets.manifest import Manifest
from facebench.datasets.refusals import no_release, not_used
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.errors import Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Content, Progress
from facebench.geometry import (
    CONVENTIONS,
    box_size,
    euler_to_rotation,
    get_scheme,
    not_rotations,
    scheme_names,
    tight_box,
)

__all__ = ["DATASET", "read"]

Floats = NDArray[np.float64]
States = NDArray[np.uint8]

TABLE = re.compile(r"(?P<folder>[^/]+/)?annotations\.(npz|csv|json)")
IMAGE = re.compile(r"(?i).*\.(jpe?g|png|webp|bmp)")

#: Columns that are read: by their whole name, and by what they begin with.
WHOLE = {"name", "image", "split", "rotation", "euler", "euler_convention"}
BEGIN = ("points_", "visibility_", "box_", "split_")

# What splits and boxes may be called: it becomes a name inside the prepared file.
LABEL = re.compile(r"[\w+-][\w.+-]*")

# An encoded photograph is far smaller; a file that claims more is damaged or hostile.
MOST_IMAGE_BYTES = 1 << 28


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the faces of one folder or archive.

    Parameters
    ----------
    sources : one, with a table ``annotations.npz``, ``.csv`` or ``.json`` at its root or one folder down.
    partial : of no effect, for nothing says how many faces there should be.
    """
    source, folder, name = _find(sources, manifest)
    _refuse_unsafe(source)
    names = {row["name"]: row for row in manifest.table("columns")}
    table = read_table(source, name, {one: row["stands_for"] for one, row in names.items()})
    annotations = _annotations(table)
    pose, pose_source, pose_columns = _pose(table, names)
    boxes = _boxes(table)
    splits = _splits(table)
    if not annotations and pose is None and not boxes:
        have = name_some(table.given.values(), shown=20)
        table.faults.add("columns", f"expected points, a pose or a box, found only {have}")
    images = _images(table, source, folder)
    table.faults.raise_if_any(table.ADVICE)
    # A prepared file has its faces in the order of their ids.
    order = np.array(sorted(range(len(table.names)), key=table.names.__getitem__), np.int64)
    rank = np.argsort(order)
    ids = [table.names[row] for row in order]
    paths = sorted(set(images))
    row_of = {path: row for row, path in enumerate(paths)}
    if annotations:
        every = np.concatenate([one.points for one in annotations.values()], axis=1)
        boxes["landmarks"] = _landmark_boxes(every)
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[source.image(folder + path, path) for path in paths],
        image_of=np.array([row_of[images[row]] for row in order], np.int64),
        annotations={
            scheme: AnnotationSet(scheme, one.points[order], one.visibility[order])
            for scheme, one in annotations.items()
        },
        splits={split: np.unique(rank[rows]) for split, rows in splits.items()},
        boxes={origin: values[order] for origin, values in boxes.items()},
        poses={} if pose is None else {"release": pose[order]},
        pose_source=None if pose_source is None else pose_source[order],
        pose_columns=pose_columns,
    )
    root = source.path / folder if source.is_folder else None
    files = sorted([name, *(folder + path for path in paths)])
    return Release(content, {"release": (source, files)}, _notes(table, source, files), root)


def _find(sources: Sequence[Source], manifest: Manifest) -> tuple[Source, str, str]:
    """Find the one table: its source, its folder with ``/`` at the end, its path."""
    found: list[tuple[Source, str, str]] = []
    for source in sources:
        matches = [match for match in map(TABLE.fullmatch, source) if match]
        # A table in a folder of images is not that of the whole tree.
        at_root = [match for match in matches if not match["folder"]]
        found += [(source, match["folder"] or "", match[0]) for match in at_root or matches]
    if not found:
        expected = "annotations.npz, annotations.csv or annotations.json at its root or one folder down"
        raise no_release(sources, manifest, expected)
    if len(found) > 1:
        places = name_some(source.where(name) for source, _, name in found)
        msg = f"found {len(found)} tables of faces ({places}); give one folder or archive, with one table."
        raise InvalidData(msg)
    if idle := [source for source in sources if source is not found[0][0]]:
        raise not_used(idle[0], manifest)
    return found[0]


def _refuse_unsafe(source: Source) -> None:
    faults = Faults(str(source.path))
    for name in source:
        if UNSAFE.search(name):
            faults.add(repr(name), "expected a path inside it, without backslashes and control characters")
    faults.raise_if_any("Rename these files, or pack the archive again.")


def _images(table: FaceTable, source: Source, folder: str) -> list[str]:
    """Return the path of each face's image, from the folder of the table on."""
    images = (name for name in source if name.startswith(folder) and IMAGE.fullmatch(name))
    inside = [name.removeprefix(folder) for name in images]
    named = table.texts("image") if "image" in table else [""] * len(table.names)
    wanted = {one for one, path in zip(table.names, named, strict=False) if not path}
    found: dict[str, list[str]] = {}
    for path in inside:
        tail = path.rpartition(".")[0]
        while tail:
            if tail in wanted:
                found.setdefault(tail, []).append(path)
            tail = tail.partition("/")[2]
    there = set(inside)
    chosen = []
    for one, path in zip(table.names, named, strict=False):
        places = found.get(one, [])
        if path:
            places = [at for at in (path, f"images/{path}") if at in there][:1]
        if not places and path:
            table.faults.add(one, f"no image '{path}' (a jpg, png, webp or bmp) beside the table")
        elif not places:
            expected = f"{one}.jpg, .png, .webp or .bmp in any folder, or its path in a column 'image'"
            table.faults.add(one, f"no image: expected {expected}")
        elif len(places) > 1:
            table.faults.add(one, f"several images: {name_some(places)}; name one in a column 'image'")
        elif (size := source.sizes[folder + places[0]]) > MOST_IMAGE_BYTES:
            table.faults.add(one, f"{places[0]} claims {size} bytes; an image has at most {MOST_IMAGE_BYTES}")
        chosen += places[:1]
    return chosen


def _annotations(table: FaceTable) -> dict[str, AnnotationSet]:
    """Return the points of each scheme that the table has, in the order of its rows."""
    found = {}
    for column in table.columns:
        kind, _, scheme = column.partition("_")
        if kind not in ("points", "visibility"):
            continue
        if scheme not in scheme_names():
            expected = f"'{kind}_' and a known scheme ({', '.join(scheme_names())})"
            table.faults.add(table.named(column), f"expected {expected} as its name")
        elif f"points_{scheme}" not in table:
            table.faults.add(table.named(column), f"needs the points too, in a column 'points_{scheme}'")
        elif kind == "points":
            points = table.numbers(column, len(get_scheme(scheme)), 2)
            if points is not None:
                halves = np.isnan(points).sum(axis=2) == 1
                wrong = (halves | np.isinf(points).any(axis=2)).any(axis=1)
                table.refuse(column, wrong, "expected x and y, or NaN for both where a point is not located")
                states = _states(table, f"visibility_{scheme}", np.isfinite(points).all(axis=2))
                found[scheme] = AnnotationSet(scheme, points, states)
    return found


def _states(table: FaceTable, column: str, located: NDArray[np.bool_]) -> States:
    """Return (N, K) states of the points, of which (N, K) are located.

    Where the table says only whether a point is visible, another one is occluded if it is located and hidden
    if not; in a face that has no point at all, they are unknown.
    """
    states = np.full(located.shape, VISIBILITY["unknown"], np.uint8)
    given = table.numbers(column, located.shape[1], flags=True) if column in table else None
    if given is None:
        return states
    if given.dtype == bool:
        choices = [VISIBILITY["visible"], VISIBILITY["occluded"]]
        found = np.select([given, located], choices, VISIBILITY["hidden"]).astype(np.uint8)
        annotated = (given | located).any(axis=1)
        states[annotated] = found[annotated]
        return states
    given = np.where(np.isnan(given), VISIBILITY["unknown"], given)
    right = np.isin(given, list(VISIBILITY.values()))
    known = ", ".join(f"{value} ({name})" for name, value in VISIBILITY.items())
    table.refuse(column, ~right.all(axis=1), f"expected the states {known}")
    states[right] = given[right]
    return states


def _pose(
    table: FaceTable, names: Mapping[str, Mapping[str, str]]
) -> tuple[Floats | None, Floats | None, str]:
    """Return (N, 3, 3) rotations, the (N, 3) angles they were made of, and what those are."""
    if "rotation" in table and "euler" in table:
        table.faults.add(table.named("rotation"), f"given together with {table.named('euler')}; keep one")
    elif "rotation" in table:
        values, complete = _complete(table, "rotation", 3, 3)
        rotations = np.where(complete[:, None, None], values, np.eye(3))
        table.refuse("rotation", not_rotations(rotations), "expected orthonormal matrices, determinant +1")
        return values, None, ""
    elif "euler" in table:
        facts = names.get(table.given["euler"], {})
        unit = facts.get("unit") or "degrees"
        convention = facts.get("euler_convention") or table.text("euler_convention")
        values, complete = _complete(table, "euler", 3)
        if convention in CONVENTIONS:
            angles = np.where(complete[:, None], values, np.nan)
            degrees = np.degrees(angles) if unit == "radians" else angles
            columns = f"yaw, pitch, roll in {unit}, {convention}"
            return euler_to_rotation(degrees, convention), values, columns
        expected = f"expected one of {', '.join(CONVENTIONS)} to read the angles by"
        found = f"'{convention}'" if convention else "none"
        table.faults.add(table.named("euler_convention"), f"{expected}, found {found}")
    return None, None, ""


def _complete(table: FaceTable, column: str, *shape: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (N, *shape) numbers, and which of the N faces have all of them; the others must have none."""
    values = table.numbers(column, *shape)
    if values is None:
        values = np.full((len(table.names), *shape), np.nan)
    flat = values.reshape(len(values), -1)
    complete = np.isfinite(flat).all(axis=1)
    table.refuse(column, ~complete & ~np.isnan(flat).all(axis=1), "expected finite numbers, or only NaN")
    return values, complete


def _boxes(table: FaceTable) -> dict[str, Floats]:
    """Return the (N, 4) boxes of each origin that the table has, in the order of its rows."""
    found = {}
    for column in table.columns:
        if not column.startswith("box_"):
            continue
        origin = column.removeprefix("box_")
        if origin == "landmarks" or not LABEL.fullmatch(origin):
            expected = "a plain name after 'box_', other than 'landmarks', the box that is made of the points"
            table.faults.add(table.named(column), f"expected {expected}")
            continue
        found[origin], complete = _complete(table, column, 4)
        size = box_size(np.where(complete[:, None], found[origin], [0, 0, 1, 1]))
        table.refuse(column, (size <= 0).any(axis=1), "expected x_min < x_max and y_min < y_max")
    return found


def _landmark_boxes(points: Floats) -> Floats:
    """Return the (N, 4) tight boxes of (N, K, 2) points; NaN where they have no area."""
    boxes = tight_box(points)
    boxes[~(box_size(boxes) > 0).all(axis=1)] = np.nan
    return boxes


def _splits(table: FaceTable) -> dict[str, list[int]]:
    """Return the rows of each split, in the order of the table: ``LIST-LABEL`` by a column ``split_LIST``."""
    splits: dict[str, list[int]] = {"all": list(range(len(table.names)))}
    for column in table.columns:
        if column != "split" and not column.startswith("split_"):
            continue
        begin = column.removeprefix("split").removeprefix("_") + "-" * (column != "split")
        given: dict[str, list[int]] = {}
        for row, label in enumerate(table.texts(column)):
            given.setdefault(label, []).append(row)
        given.pop("", None)
        for label, rows in sorted(given.items()):
            name = begin + label
            if name == "all" or not LABEL.fullmatch(name):
                expected = "a plain name, other than 'all', which has every face; empty for none"
                table.faults.add(table.named(column), f"expected {expected}, found {label!r}")
            splits[name] = splits.get(name, []) + rows
    return splits


def _notes(table: FaceTable, source: Source, files: Sequence[str]) -> list[str]:
    """Say what of the source was not used."""
    ignored = [one for one in table.columns if one not in WHOLE and not one.startswith(BEGIN)]
    notes = [f"columns ignored: {name_some((table.given[one] for one in ignored), 20)}"] if ignored else []
    idle = sorted({name for name in source if IMAGE.fullmatch(name)} - set(files))
    return notes + ([f"{len(idle)} images belong to no face: {name_some(idle)}"] if idle else [])


DATASET = Dataset("custom", read)

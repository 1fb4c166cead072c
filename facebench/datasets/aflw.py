"""AFLW: faces in the wild with up to 21 points and a coarse pose, from ``aflw.sqlite`` and the images.

Several faces share an image.  The 19 points of CCL and the 68 of MERL-RAV are further labellings of the same
faces.  The facts are in ``manifests/aflw.toml``; PROTOCOLS 1.2, 1.9, 2.5.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.aflw_labels import Labels, Targets, read_ccl, read_merlrav
from facebench.datasets.manifest import Manifest
from facebench.datasets.refusals import no_release, not_used
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.errors import DataMissing, Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Content, Progress
from facebench.geometry import euler_to_rotation, tight_box

__all__ = ["DATASET", "read"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

POINTS = 21
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff")

#: The columns that are read from each table; the database has more of both.
TABLES = {
    "Faces": ("face_id", "file_id"),
    "FaceImages": ("file_id", "filepath"),
    "FaceRect": ("face_id", "x", "y", "w", "h"),
    "FacePose": ("face_id", "yaw", "pitch", "roll"),
    "FeatureCoords": ("face_id", "feature_id", "x", "y"),
}
OPTIONAL = {
    "FaceEllipse": ("face_id", "x", "y", "ra", "rb", "theta"),
    "FaceMetaData": ("face_id", "sex", "occluded", "glasses"),
}
POSE_COLUMNS = "yaw, pitch, roll in radians (aflw-yxz)"
SEX = {"f": 0, "m": 1}
AGAIN = "Unpack aflw.sqlite again, or obtain it again."

# Sources that use the database count its usable faces differently, by a few: this much is told, not refused.
UNSURE = 12


@dataclass(frozen=True)
class Database:
    """What ``aflw.sqlite`` says: the path of each face's image, and tables by face id."""

    paths: dict[int, str]
    tables: dict[str, dict[int, Floats]]
    points: dict[int, Floats]
    no_image: list[int]
    strays: int


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the database and its images, and the further labels where a source holds them.

    Parameters
    ----------
    sources : together hold ``aflw.sqlite`` and the images below ``flickr``; any of them may hold
        ``AFLWinfo_release.mat`` or the labels of MERL-RAV.
    partial : accept that images are absent, and fewer faces than the release has.
    """
    source, name = _find_database(sources, manifest)
    with _opened(source, name) as connection:
        found = _read_database(connection, source.where(name))
    rectangles = found.tables["FaceRect"]
    bare = {one for one in found.paths if one not in rectangles or not (rectangles[one][2:] > 0).all()}
    notes = _left_out(sorted({*bare, *found.no_image}), manifest)
    wanted = [one for one in found.paths if one not in bare]
    if not wanted:
        msg = f"{source.where(name)}: no face has a rectangle and an image. {AGAIN}"
        raise InvalidData(msg)
    images, root, files = _find_images(sources, {found.paths[one] for one in wanted}, source, manifest)
    kept = _with_images(wanted, found, files, images, manifest, partial, notes)
    if found.strays:
        notes.append(f"{found.strays} points in FeatureCoords belong to no face in Faces and are not read")
    ids = sorted(map(str, kept))
    content, labels = _content(ids, found, images, files, sources, manifest, progress)
    splits = _splits(ids, labels, manifest, partial, notes)
    if partial and len(ids) < manifest.faces:
        notes.append(f"a part of the release: {len(ids)} of {manifest.faces} faces")
    roles = {"release": (source, [name])}
    shown = [files[image.path] for image in content.images]
    if images is source:
        roles["release"] = (source, [name, *shown])
    else:
        roles["images"] = (images, shown)
    for role in ("ccl", "merlrav"):
        if one := labels.get(role):
            roles[role] = (one.source, one.names)
            notes += one.notes
        else:
            notes.append(f"no labels of {role} (give a further --source: {manifest.sources[role]})")
    used = {id(one) for one, _ in roles.values()}
    if idle := [one for one in sources if id(one) not in used]:
        raise not_used(idle[0], manifest)
    whole = Content(**{**vars(content), "splits": splits})
    return Release(whole, roles, notes, image_root=root if images.path.is_dir() else None)


def _find_database(sources: Sequence[Source], manifest: Manifest) -> tuple[Source, str]:
    found = [(source, name) for source in sources for name in source if name.lower().endswith(".sqlite")]
    named = [(source, name) for source, name in found if name.rpartition("/")[2].lower() == "aflw.sqlite"]
    found = named or found
    if len(found) > 1:
        places = name_some(source.where(name) for source, name in found)
        msg = f"found {len(found)} databases ({places}); give the folder of the one to use as --source."
        raise InvalidData(msg)
    if found:
        return found[0]
    raise no_release(sources, manifest, "aflw.sqlite")


@contextmanager
def _opened(source: Source, name: str) -> Iterator[sqlite3.Connection]:
    """Open a database for reading only, where it lies or as a temporary copy of what an archive holds."""
    data = source.read(name)  # so that its hash is known
    if not data.startswith(b"SQLite format 3\0"):
        msg = f"{source.where(name)}: not an SQLite database. {AGAIN}"
        raise InvalidData(msg)
    with tempfile.TemporaryDirectory() as folder:
        path = source.path if source.path.is_file() else source.path / name
        if source.path.is_dir() or source.path.name == name:
            path = path.absolute()
        else:
            path = Path(folder, "aflw.sqlite")
            path.write_bytes(data)
        del data
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                yield connection
        except sqlite3.Error as error:
            msg = f"{source.where(name)}: not a readable SQLite database ({error}). {AGAIN}"
            raise InvalidData(msg) from error


def _read_database(connection: sqlite3.Connection, where: str) -> Database:
    faults = Faults(where)
    there = _check_schema(connection, faults)
    faults.raise_if_any(AGAIN)
    paths: dict[object, str] = {}
    for file_id, path in _select(connection, "FaceImages"):
        text = str(path).replace("\\", "/")
        if paths.setdefault(file_id, text) != text:
            faults.add("FaceImages", f"file {file_id} is there twice, as {paths[file_id]} and as {text}")
    faces: dict[int, str] = {}
    no_image = []
    seen = set()
    for face, file_id in _select(connection, "Faces"):
        if not isinstance(face, int):
            faults.add("Faces", f"expected a whole number as face_id, found {face!r}")
        elif face in seen:
            faults.add("Faces", f"face {face} is there twice")
        elif file_id in paths:
            faces[face] = paths[file_id]
        else:
            no_image.append(face)
        seen.add(face)
    tables = {}
    for table in ("FaceRect", "FacePose", *there):
        strict = table in TABLES
        rows = _select(connection, table)
        if table == "FaceMetaData":
            rows = [(face, SEX.get(str(sex)[:1].lower(), -1), *rest) for face, sex, *rest in rows]
        keys, values = _numbers(table, rows, 1, faults, strict)
        tables[table] = dict(zip(keys.tolist(), values, strict=True))
    keys, values = _numbers("FeatureCoords", _select(connection, "FeatureCoords"), 2, faults, True)
    feature = keys % KEY
    for row in np.flatnonzero((feature < 1) | (feature > POINTS)):
        face, one = keys[row] // KEY, feature[row]
        faults.add("FeatureCoords", f"face {face}: expected feature_id 1 to {POINTS}, found {one}")
    faults.raise_if_any(AGAIN)
    points: dict[int, Floats] = {}
    strays = 0
    for face, one, xy in zip((keys // KEY).tolist(), feature.tolist(), values, strict=True):
        if face not in seen:
            strays += 1
            continue
        if face not in points:
            points[face] = np.full((POINTS, 2), np.nan)
        points[face][one - 1] = xy
    return Database(faces, tables, points, no_image, strays)


# Two keys of a row as one number: a face id and, behind it, a feature id.
KEY = 1000


def _check_schema(connection: sqlite3.Connection, faults: Faults) -> list[str]:
    """Name the tables and columns that are not there; return the optional tables that are."""
    present = {
        str(name).lower()
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }
    there = [table for table in OPTIONAL if table.lower() in present]
    for table, columns in {**TABLES, **{table: OPTIONAL[table] for table in there}}.items():
        if table.lower() not in present:
            faults.add(f"table '{table}'", "missing")
            continue
        # The name is one of the two lists above, never text from outside.
        have = {str(row[1]).lower() for row in connection.execute(f"PRAGMA table_info({table})")}
        for column in columns:
            if column not in have:
                faults.add(f"table '{table}'", f"column '{column}' is missing")
    return there


def _select(connection: sqlite3.Connection, table: str) -> list[tuple]:
    columns = ", ".join({**TABLES, **OPTIONAL}[table])
    return connection.execute(f"SELECT {columns} FROM {table}").fetchall()


def _numbers(
    table: str, rows: Sequence[Sequence], keys: int, faults: Faults, strict: bool
) -> tuple[Rows, Floats]:
    """Return the keys and the other columns of a table of numbers, each key once.

    Rows that say the same twice are one; rows that contradict each other are faults, and so are, in a strict
    table, numbers that are none.
    """
    columns = {**TABLES, **OPTIONAL}[table]
    try:
        values = np.array(rows, np.float64).reshape(len(rows), len(columns))
    except (TypeError, ValueError, OverflowError):
        values = np.array([[_as_number(one) for one in row] for row in rows])
    whole = np.isfinite(values[:, :keys]).all(axis=1)
    whole &= (np.abs(values[:, :keys]) < 2**50).all(axis=1) & (values[:, :keys] % 1 == 0).all(axis=1)
    for row in np.flatnonzero(~whole).tolist():
        faults.add(table, f"expected whole numbers as {', '.join(columns[:keys])}, found {rows[row][:keys]}")
    values = values[whole]
    number, rest = values[:, 0].astype(np.int64), values[:, keys:]
    label = [f"face {one}" for one in number.tolist()] if keys == 1 else None
    if keys == 2:
        number = number * KEY + np.clip(values[:, 1], 0, KEY - 1).astype(np.int64)

    def name(row: int) -> str:
        return label[row] if label else f"face {number[row] // KEY}, feature_id {number[row] % KEY}"

    if strict:
        for row in np.flatnonzero(~np.isfinite(rest).all(axis=1)).tolist():
            faults.add(table, f"{name(row)}: expected finite numbers, found NULL, text or infinity")
    order = np.argsort(number, kind="stable")
    again = np.flatnonzero(np.diff(number[order]) == 0)
    first = np.ones(len(order), bool)
    first[again + 1] = False
    for one, two in zip(order[again].tolist(), order[again + 1].tolist(), strict=True):
        if strict and not np.array_equal(rest[one], rest[two], equal_nan=True):
            faults.add(table, f"{name(one)} is there twice, with different numbers")
    return number[order][first], rest[order][first]


def _as_number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and abs(value) < 2**60 else np.nan


def _left_out(faces: Sequence[int], manifest: Manifest) -> list[str]:
    if not faces:
        return []
    known = {int(one) for fault in manifest.faults for one in fault.ids}
    unknown = f"; {len(set(faces) - known)} of them are not among those known" if set(faces) - known else ""
    return [f"{len(faces)} faces without a rectangle or image are left out: {name_some(faces)}{unknown}"]


def _find_images(
    sources: Sequence[Source], paths: set[str], database: Source, manifest: Manifest
) -> tuple[Source, Path, dict[str, str]]:
    """Find the one folder that ``FaceImages.filepath`` starts from: its source, itself, its files by path."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for at, source in enumerate(sources):
        for name in source:
            if not name.lower().endswith(IMAGES):
                continue
            parts = name.split("/")
            for depth in range(len(parts)):
                path = "/".join(parts[depth:])
                if path in paths:
                    found.setdefault((at, "/".join(parts[:depth])), {})[path] = name
                    break
    if len(found) > 1:
        places = name_some(sources[at].where(folder) for at, folder in found)
        msg = f"found images of AFLW in {len(found)} folders ({places}); give the one to use as --source."
        raise InvalidData(msg)
    if not found:
        msg = (
            f"{database.path}: none of the {len(paths)} images that aflw.sqlite names is there, such as "
            f"{name_some(sorted(paths), 2)}. Unpack the archives of the images beside the database.\n"
            f"The release looks like this:\n{manifest.tree.rstrip()}"
        )
        raise DataMissing(msg)
    ((at, folder), files) = next(iter(found.items()))
    return sources[at], sources[at].path / folder, files


def _with_images(
    wanted: Sequence[int],
    found: Database,
    files: dict[str, str],
    images: Source,
    manifest: Manifest,
    partial: bool,
    notes: list[str],
) -> list[int]:
    """Return the faces whose image is there; refuse absent ones, or note them where a part will do."""
    known = {int(one) for fault in manifest.faults for one in fault.ids}
    absent = [one for one in wanted if found.paths[one] not in files]
    lost = [one for one in absent if one not in known]
    if lost and not partial:
        faults = Faults(str(images.path))
        for path in sorted({found.paths[one] for one in lost}):
            faults.add(path, "missing; aflw.sqlite has faces in it")
        faults.raise_if_any("Unpack the images again, or prepare the part that is there with '--partial'.")
    if absent:
        pictures = len({found.paths[one] for one in absent})
        notes.append(f"{len(absent)} faces are left out, since their {pictures} images are missing")
    gone = set(absent)
    return [one for one in wanted if one not in gone]


def _content(
    ids: Sequence[str],
    found: Database,
    images: Source,
    files: dict[str, str],
    sources: Sequence[Source],
    manifest: Manifest,
    progress: Progress,
) -> tuple[Content, dict[str, Labels]]:
    """Return the faces, without their splits, and the further labels that were found."""
    faces = [int(one) for one in ids]
    paths = sorted({found.paths[one] for one in faces})
    row_of = {path: row for row, path in enumerate(paths)}
    rectangles = _column(found.tables["FaceRect"], faces, 4)
    pose = _column(found.tables["FacePose"], faces, 3)
    blank = np.full((POINTS, 2), np.nan)
    points = np.stack([found.points.get(one, blank) for one in faces])
    absent = np.isnan(points[..., 0])
    states = np.where(absent, VISIBILITY["hidden"], VISIBILITY["visible"]).astype(np.uint8)
    stems = [found.paths[one].rpartition("/")[2].rpartition(".")[0] for one in faces]
    targets = Targets(ids, stems, rectangles, points)
    labels = {
        role: labels
        for role, labels in {
            "ccl": read_ccl(sources, targets, manifest),
            "merlrav": read_merlrav(sources, targets, progress),
        }.items()
        if labels
    }
    annotations = {"aflw21": AnnotationSet("aflw21", points, states)}
    for role, name in (("ccl", "aflw19"), ("merlrav", "merlrav68")):
        if role in labels:
            annotations[name] = labels[role].annotation
    source = {}
    if "FaceEllipse" in found.tables:
        source["ellipse"] = _column(found.tables["FaceEllipse"], faces, 5)
    if "FaceMetaData" in found.tables:
        meta = _column(found.tables["FaceMetaData"], faces, 3)
        source["meta"] = np.where(np.isfinite(meta), np.clip(meta, -1, 1), -1).astype(np.int8)
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[images.image(files[path], path) for path in paths],
        image_of=np.array([row_of[found.paths[one]] for one in faces], np.int64),
        annotations=annotations,
        splits={},
        boxes={
            "dataset": np.hstack([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]]),
            "landmarks": tight_box(points),
        },
        poses={"release": euler_to_rotation(np.degrees(pose), "aflw-yxz")},
        pose_source=pose,
        pose_columns=POSE_COLUMNS,
        source=source,
    )
    return content, labels


def _column(table: dict[int, Floats], faces: Sequence[int], columns: int) -> Floats:
    blank = np.full(columns, np.nan)
    return np.stack([table.get(one, blank) for one in faces])


def _splits(
    ids: Sequence[str], labels: dict[str, Labels], manifest: Manifest, partial: bool, notes: list[str]
) -> dict[str, Rows]:
    """Return the splits in the manifest's order, with what the labels list compared to its counts.

    A list that is complete may still have labels that fit no face; those are told of, not refused.
    """
    rows: dict[str, Rows] = {"all": np.arange(len(ids))}
    listed = {"all": len(ids)}
    for one in labels.values():
        rows.update(one.splits)
        listed.update(one.listed)
    # The faces of this one follow from a rule, and nobody has published how many they are for certain.
    free = {"aflw19-frontal"}
    for name, count in listed.items():
        expected = manifest.splits[name].count
        slack = UNSURE if name == "all" else 0
        if abs(count - expected) > slack and name not in free and not partial:
            msg = (
                f"split '{name}': expected {expected} faces, found {count}. This is not the published "
                f"release; '--partial' prepares it all the same, marked as a part."
            )
            raise InvalidData(msg)
    other = [
        f"{name} {len(rows[name])} of {manifest.splits[name].count}"
        for name in manifest.splits
        if name in rows and len(rows[name]) != manifest.splits[name].count
    ]
    if other and not partial:
        notes.append(f"splits whose number of faces is not the published one: {', '.join(other)}")
    return {name: rows[name] for name in manifest.splits if name in rows and len(rows[name])}


DATASET = Dataset("aflw", read)

"""300W: the 68 points of AFW, Helen, LFPW, iBUG and the private test set, with the official boxes.

The facts (layout, counts, names, faults) are in ``manifests/300w.toml``; PROTOCOLS 1.1, 2.4.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest
from facebench.datasets.mean_face import is_mean_face, read_mean_face
from facebench.datasets.parts import join_parts
from facebench.datasets.pts import read_pts
from facebench.datasets.refusals import archive_hint, no_release, not_used
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.datasets.splits import split_rows
from facebench.errors import Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Content, ImageFile, Progress
from facebench.geometry import RECIPES, tight_box

__all__ = ["DATASET", "read"]

Floats = NDArray[np.float64]

#: The folder of each subset in the release, by the name of its split.
SUBSETS = {
    "afw": "afw",
    "helen-train": "helen/trainset",
    "lfpw-train": "lfpw/trainset",
    "helen": "helen/testset",
    "lfpw": "lfpw/testset",
    "challenging": "ibug",
    "indoor": "300W/01_Indoor",
    "outdoor": "300W/02_Outdoor",
}

# The folder 300W above the two of the private set is left out by some copies.
FOLDERS = {folder.removeprefix("300W/").lower(): name for name, folder in SUBSETS.items()}
FACE_FILE = re.compile(
    rf"(?i)(?:.*/)?(?P<folder>{'|'.join(FOLDERS)})/(?P<stem>[^/]+)\.(?P<kind>pts|jpg|jpeg|png)"
)

BOX_FILES = {
    f"bounding_boxes_{folder.replace('/', '_')}.mat": name
    for name, folder in SUBSETS.items()
    if not folder.startswith("300W/")
}
BOX_KEYS = {"detector": "bb_detector", "dataset": "bb_ground_truth"}

EXPECTED = "folders such as afw/ or helen/testset/ with images and a .pts of the same name"

# MATLAB counts pixels from 1.
INDEX_BASE = 1.0

# The official boxes and the points are printed with six digits.
SAME = 1e-6


@dataclass(frozen=True)
class Subset:
    """The files of a subset, which all lie in one folder of one source.

    Attributes
    ----------
    files : for each face, the names of its .pts and of its image.
    """

    source: Source
    folder: str
    files: dict[str, tuple[str, str]]


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read those subsets of the release that the sources hold.

    Parameters
    ----------
    sources : each holds subsets in the layout of the release, the official boxes, a mean 3D face, or any of
        these together; the parts of the private archive may be given one by one.
    partial : accept subsets that lack faces, and leave out faces of which a file is missing.
    """
    given, sources = sources, join_parts(sources)
    notes: list[str] = []
    subsets = _find_subsets(sources, manifest, partial, notes)
    ids = sorted(one for subset in subsets.values() for one in subset.files)
    row = {one: number for number, one in enumerate(ids)}
    raw = _read_points(subsets, ids, progress)
    tight = tight_box(raw)
    boxes = {"landmarks": tight - INDEX_BASE}
    roles = {
        name: (one.source, [file for pair in one.files.values() for file in pair])
        for name, one in subsets.items()
    }
    if box_files := _find_box_files(sources):
        source, names = box_files
        found = _read_boxes(source, names, manifest, row, notes)
        notes += _compare_boxes(found["dataset"], tight, ids)
        boxes |= {name: values - INDEX_BASE for name, values in found.items()}
        roles["boxes"] = (source, list(names))
    else:
        notes.append(
            f"no official boxes 'detector' and 'dataset' (give a further --source: "
            f"{manifest.sources['boxes']})"
        )
    poses: dict[str, Floats] = {}
    if mean_face := _find_mean_face(sources):
        source, name = mean_face
        model = _load_mean_face(source, name)
        used = np.isfinite(model).all(axis=1)
        of_model, box = (raw - INDEX_BASE)[:, used], boxes["landmarks"]
        poses = {name: recipe(of_model, box, model[used]) for name, recipe in RECIPES.items()}
        roles["mean_face"] = (source, [name])
    else:
        notes.append(
            f"no head pose, which is computed from the points and a mean 3D face (give a further --source: "
            f"{manifest.sources['mean_face']})"
        )
    joined = [one for one in sources if all(one is not other for other in given)]
    _refuse_idle(sources, [source for source, _ in roles.values()], joined, manifest)
    unknown = np.full(raw.shape[:2], VISIBILITY["unknown"], np.uint8)
    files = {one: (subset.source, *subset.files[one]) for subset in subsets.values() for one in subset.files}
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[_image(one, files[one][0], files[one][2]) for one in ids],
        image_of=np.arange(len(ids)),
        annotations={"ibug68": AnnotationSet("ibug68", raw - INDEX_BASE, unknown)},
        splits=_splits(subsets, ids, row, manifest, partial),
        boxes=boxes,
        poses=poses,
    )
    lacking = [name for name in manifest.splits if name not in content.splits]
    if lacking:
        absent = [SUBSETS[name] for name in SUBSETS if name not in subsets]
        notes.insert(
            0,
            f"not in the sources: {', '.join(absent)}; so there is no split {', '.join(lacking)}"
            f"{archive_hint(sources)}",
        )
    return Release(content, roles, notes, image_root=_image_root(subsets))


def _image(one: str, source: Source, name: str) -> ImageFile:
    ending = name.rpartition(".")[2]
    return source.image(name, f"{one}.{ending}")


def _splits(
    subsets: Mapping[str, Subset],
    ids: Sequence[str],
    row: Mapping[str, int],
    manifest: Manifest,
    partial: bool,
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each subset that is there, and of the unions of which all members are."""
    computed = {
        name: np.array(sorted(row[one] for one in subset.files), np.int64) for name, subset in subsets.items()
    }
    there = {name: split for name, split in manifest.splits.items() if split.union_of or name in computed}
    return split_rows(ids, manifest.model_copy(update={"splits": there}), computed, partial=partial)


def _image_root(subsets: Mapping[str, Subset]) -> Path | None:
    """Return the folder in which every subset lies where the release has it, if there is one."""
    roots = set()
    for name, subset in subsets.items():
        place = (subset.source.path / subset.folder).as_posix()
        if not subset.source.path.is_dir() or not place.endswith(f"/{SUBSETS[name]}"):
            return None
        roots.add(place.removesuffix(f"/{SUBSETS[name]}"))
    return Path(roots.pop()) if len(roots) == 1 else None


def _find_subsets(
    sources: Sequence[Source], manifest: Manifest, partial: bool, notes: list[str]
) -> dict[str, Subset]:
    """Find the subsets, each once, and refuse those that are not complete."""
    found: dict[str, dict[tuple[int, str], list[str]]] = {}
    for number, source in enumerate(sources):
        above = _above(source)
        for name in source:
            if subset := _parts(above, name)[0]:
                place = (number, name.rpartition("/")[0])
                found.setdefault(subset, {}).setdefault(place, []).append(name)
    if not found:
        raise no_release(sources, manifest, EXPECTED)
    published = _published(manifest)
    subsets, incomplete = {}, []
    for subset in (name for name in SUBSETS if name in found):
        if len(found[subset]) > 1:
            places = name_some(sources[number].where(folder) for number, folder in found[subset])
            msg = f"found {SUBSETS[subset]} in {len(found[subset])} folders ({places}); give the one to use."
            raise InvalidData(msg)
        (((number, folder), names),) = found[subset].items()
        source = sources[number]
        files, left_out = _pair(source, subset, names, partial)
        if left_out:
            notes.append(
                f"left out of {SUBSETS[subset]}, as the image or the .pts is missing: {name_some(left_out)}"
            )
        expected = manifest.splits[subset].count
        if not partial and set(files) != published[subset]:
            raise _wrong_faces(source.where(folder), subset, set(files), published[subset])
        if strange := sorted(set(files) - published[subset]):
            notes.append(f"not in the official {SUBSETS[subset]}, but kept: {name_some(strange)}")
        if len(files) != expected:
            incomplete.append(f"{len(files)} of {expected} faces of {SUBSETS[subset]}")
        if files:
            subsets[subset] = Subset(source, folder, files)
    if not subsets:
        raise no_release(sources, manifest, EXPECTED)
    if incomplete:
        notes.append(f"a part of the release: {', '.join(incomplete)}")
    return subsets


def _above(source: Source) -> str:
    """Return the folders that a source stands for by its own name.

    ``helen.zip`` begins with ``trainset``, and a user may give ``ibug`` itself.
    """
    path = source.path.absolute()
    return "/".join(path.parts[-2:]) if source.is_folder else path.name.split(".")[0]


def _parts(above: str, name: str) -> tuple[str, str, str]:
    """Split the path of a face's file into subset, face id and kind; all empty for other files."""
    match = FACE_FILE.fullmatch(f"{above}/{name}")
    if match is None:
        return "", "", ""
    subset = FOLDERS[match["folder"].lower()]
    return subset, f"{SUBSETS[subset]}/{match['stem']}", match["kind"].lower()


def _published(manifest: Manifest) -> dict[str, set[str]]:
    """Return the ids of the faces of each subset, as published."""
    of_folder: dict[str, set[str]] = {}
    for line in manifest.table("faces"):
        of_folder.setdefault(line["id"].rpartition("/")[0], set()).add(line["id"])
    return {name: of_folder[folder] for name, folder in SUBSETS.items()}


def _pair(
    source: Source, subset: str, names: Sequence[str], partial: bool
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return the .pts and the image of each face, and the faces that have only one of them."""
    faults = Faults(source.where(names[0].rpartition("/")[0]))
    points: dict[str, list[str]] = {}
    images: dict[str, list[str]] = {}
    above = _above(source)
    for name in names:
        _, one, kind = _parts(above, name)
        (points if kind == "pts" else images).setdefault(one, []).append(name)
    files, left_out = {}, []
    for one in sorted({*points, *images}):
        of_face = [points.get(one, []), images.get(one, [])]
        for what, there in zip(("point files", "images"), of_face, strict=True):
            if len(there) > 1:
                faults.add(one, f"has {len(there)} {what}: {', '.join(there)}")
        if all(of_face):
            files[one] = (of_face[0][0], of_face[1][0])
        elif partial:
            left_out.append(one)
        elif of_face[0]:
            faults.add(of_face[0][0], "has no .jpg or .png of the same name beside it")
        else:
            faults.add(of_face[1][0], "has no .pts of the same name beside it")
    faults.raise_if_any(
        f"Every face of {SUBSETS[subset]} needs one image and one .pts: unpack the release again, or "
        f"prepare the part that is there with '--partial'."
    )
    return files, left_out


def _wrong_faces(where: str, subset: str, found: set[str], published: set[str]) -> InvalidData:
    absent, strange = sorted(published - found), sorted(found - published)
    differences = [f"absent: {name_some(absent)}"] * bool(absent)
    differences += [f"not of the release: {name_some(strange)}"] * bool(strange)
    return InvalidData(
        f"{where}: expected the {len(published)} faces of {SUBSETS[subset]}, found {len(found)}; "
        f"{'; '.join(differences)}. Unpack the release again, or prepare what is there with '--partial'."
    )


def _refuse_idle(
    sources: Sequence[Source], used: Sequence[Source], joined: Sequence[Source], manifest: Manifest
) -> None:
    """Refuse a source of which nothing was read; a folder with the parts of a joined archive is none."""
    for source in sources:
        holds_parts = any(one.path.is_relative_to(source.path.absolute()) for one in joined)
        if not holds_parts and all(one is not source for one in used):
            raise not_used(source, manifest)


def _read_points(subsets: Mapping[str, Subset], ids: Sequence[str], progress: Progress) -> Floats:
    """Read the (N, 68, 2) points as they stand in the files."""
    of_face = {
        one: (subset.source, points)
        for subset in subsets.values()
        for one, (points, _) in subset.files.items()
    }
    faults = Faults("300W")
    found = np.full((len(ids), 68, 2), np.nan)
    for row, one in enumerate(progress(ids, len(ids), "annotations")):
        source, name = of_face[one]
        try:
            found[row] = read_pts(source.read(name))
        except ValueError as error:
            faults.add(source.where(name), str(error))
    faults.raise_if_any("Unpack the release again, or obtain these files again.")
    return found


def _find_box_files(sources: Sequence[Source]) -> tuple[Source, dict[str, str]] | None:
    """Find the official boxes: the source, and the subset of each file."""
    found = [
        (source, name, BOX_FILES[base])
        for source in sources
        for name in source
        if (base := name.rpartition("/")[2]) in BOX_FILES
    ]
    counts = Counter(subset for _, _, subset in found)
    if any(count > 1 for count in counts.values()) or len({id(source) for source, _, _ in found}) > 1:
        places = name_some(source.where(name) for source, name, _ in found)
        msg = (
            f"found the official boxes in more than one place ({places}); give the one folder or archive to "
            f"use as --source."
        )
        raise InvalidData(msg)
    return (found[0][0], {name: subset for _, name, subset in found}) if found else None


def _read_boxes(
    source: Source, names: Mapping[str, str], manifest: Manifest, row: Mapping[str, int], notes: list[str]
) -> dict[str, Floats]:
    """Read the (N, 4) official boxes as they stand there; NaN for faces that have none.

    Rows are matched by name.  Those left over from AFW in the file of iBUG are of no face of it.
    """
    faults = Faults(str(source.path))
    published = _published(manifest)
    left_over = {one.rpartition("/")[2] for one in published["afw"]}
    found = {name: np.full((len(row), 4), np.nan) for name in BOX_KEYS}
    for name, subset in names.items():
        seen: set[str] = set()
        strange = []
        for stem, values in _box_rows(source.read(name), name, faults):
            one = f"{SUBSETS[subset]}/{stem}"
            if one in seen:
                faults.add(name, f"has two rows of {stem}")
            elif one in row:
                for key, box in values.items():
                    found[key][row[one]] = box
            elif one not in published[subset] and not (subset == "challenging" and stem in left_over):
                strange.append(stem)
            seen.add(one)
        if strange:
            notes.append(
                f"{source.where(name)}: {len(strange)} rows of no face of {SUBSETS[subset]} were not used: "
                f"{name_some(strange)}"
            )
        lacking = sorted(one for one in row if one.rpartition("/")[0] == SUBSETS[subset] and one not in seen)
        if lacking:
            notes.append(f"{source.where(name)}: no row of {name_some(lacking)}; these have no official box")
    faults.raise_if_any("Obtain the official boxes again, or prepare without them.")
    return found


def _box_rows(data: bytes, name: str, faults: Faults) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Yield the image name, without ending, and the boxes of each row."""
    from scipy.io import loadmat

    try:
        values = loadmat(io.BytesIO(data), variable_names=["bounding_boxes"])
    except Exception as error:  # a damaged file makes loadmat raise almost anything
        faults.add(name, f"not a readable MATLAB file ({type(error).__name__}: {error})")
        return
    cells = values.get("bounding_boxes")
    if not isinstance(cells, np.ndarray) or cells.dtype != object:
        found = "no such key" if cells is None else getattr(cells, "dtype", type(cells).__name__)
        faults.add(name, f"key 'bounding_boxes': expected a cell array, found {found}")
        return
    for number, cell in enumerate(cells.flat, start=1):
        if not isinstance(cell, np.ndarray) or cell.size != 1 or not cell.dtype.names:
            faults.add(name, f"row {number}: expected a struct")
            continue
        lacking = [key for key in ("imgName", *BOX_KEYS.values()) if key not in cell.dtype.names]
        if lacking:
            faults.add(name, f"row {number}: no field {', '.join(lacking)}")
            continue
        struct = cell.reshape(-1)[0]
        image = "".join(map(str, np.ravel(struct["imgName"])))
        boxes = {}
        for box, key in BOX_KEYS.items():
            numbers = np.ravel(struct[key])
            if numbers.shape != (4,) or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
                faults.add(name, f"row {number} ({image}): {key}: expected four finite numbers")
            else:
                boxes[box] = numbers.astype(np.float64)
        yield image.rpartition(".")[0] or image, boxes


def _compare_boxes(boxes: Floats, tight: Floats, ids: Sequence[str]) -> list[str]:
    """Say where an official box is not that of the points: then the two are of different releases."""
    rows = np.flatnonzero((np.abs(boxes - tight) > SAME).any(axis=1))
    if not len(rows):
        return []
    return [
        f"the official box of {len(rows)} faces is not the tight box of their points: "
        f"{name_some(ids[row] for row in rows.tolist())}; their points are not those of the official release"
    ]


def _find_mean_face(sources: Sequence[Source]) -> tuple[Source, str] | None:
    found = [(source, name) for source in sources for name in source if is_mean_face(name, 68)]
    if len(found) > 1:
        places = name_some(source.where(name) for source, name in found)
        msg = f"found {len(found)} mean 3D faces of 68 points ({places}); give the one to use as --source."
        raise InvalidData(msg)
    return found[0] if found else None


def _load_mean_face(source: Source, name: str) -> Floats:
    try:
        return read_mean_face(source.read(name), "ibug68")
    except ValueError as error:
        msg = f"{source.where(name)}: not a mean 3D face: {error}. Obtain it again, or prepare without it."
        raise InvalidData(msg) from error


DATASET = Dataset("300w", read)

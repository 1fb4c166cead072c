"""WFLW: 98 points in the wild, with the protocol of its authors.  Its facts are in ``wflw.toml``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.datasets import Dataset, Manifest, Release, Source, split_rows
from facebench.errors import DataMissing, Faults
from facebench.formats import VISIBILITY, AnnotationSet, Content, Progress
from facebench.geometry import tight_box
from facebench.protocols import ALL, LandmarkProtocol

LISTS = {
    split: f"list_98pt_rect_attr_train_test/list_98pt_rect_attr_{split}.txt" for split in ("train", "test")
}
SUBSETS = {  # split of each attribute, in the order of the files
    "large pose": "test-pose",
    "expression": "test-expression",
    "illumination": "test-illumination",
    "make-up": "test-makeup",
    "occlusion": "test-occlusion",
    "blur": "test-blur",
}
FIELDS = 2 * 98 + 4 + 6 + 1


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the release: two lists with a face per line, and the images that they name."""
    lists, lists_at = _find_lists(sources, manifest)
    texts = {
        split: lists.read(lists_at + name).decode(errors="replace").splitlines()
        for split, name in LISTS.items()
    }
    lines = [
        (split, number, text) for split, some in texts.items() for number, text in enumerate(some, start=1)
    ]
    named = {text.rstrip().rpartition(" ")[2] for _, _, text in lines}
    pictures, pictures_at = _find_images(sources, manifest, named)

    faults = Faults(str(lists.path))
    for split, some in texts.items():
        expected = manifest.splits[split].count
        if len(some) != expected and not partial:
            faults.add(f"list_98pt_rect_attr_{split}.txt", f"expected {expected} lines, found {len(some)}")
    faces: dict[str, tuple[str, int, str, NDArray[np.float64]]] = {}
    absent: dict[str, list[str]] = {}  # lines that name an image which is not there
    for split, number, text in progress(lines, len(lines), "annotations"):
        where = f"list_98pt_rect_attr_{split}.txt, line {number}"
        try:
            image, numbers = _parse(text)
        except ValueError as error:
            faults.add(where, str(error))
            continue
        face = _face_id(image, numbers[196:200])
        if face in faces:
            first = faces[face]
            faults.add(
                where, f"the same image and rectangle as in line {first[1]} of the {first[0]} list: {face}"
            )
        elif pictures_at + image in pictures.sizes:
            faces[face] = (split, number, image, numbers)
        else:
            absent.setdefault(image, []).append(where)
    if not partial:
        for image, places in absent.items():
            faults.add(f"WFLW_images/{image}", f"missing; named in {places[0]}")
    faults.raise_if_any("Obtain the release again.")
    notes = []
    if absent:
        left_out = sum(map(len, absent.values()))
        notes.append(f"{left_out} faces of the lists are left out, since their images are not there")

    ids = sorted(faces)
    values = np.array([faces[one][3] for one in ids]).reshape(len(ids), FIELDS - 1)
    points, rectangles, attributes = values[:, :196].reshape(-1, 98, 2), values[:, 196:200], values[:, 200:]
    test = np.array([faces[one][0] == "test" for one in ids], bool)
    rules = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
    for column, name in enumerate(SUBSETS.values()):
        rules[name] = np.flatnonzero(test & (attributes[:, column] == 1))
    unknown = np.full((len(ids), 98), VISIBILITY["unknown"], np.uint8)
    images = sorted({faces[one][2] for one in ids})
    row_of = {image: row for row, image in enumerate(images)}
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation="\n\n".join(one.bibtex for one in manifest.citations),
        ids=ids,
        images=[pictures.image(pictures_at + image, image) for image in images],
        image_of=np.array([row_of[faces[one][2]] for one in ids], np.int64),
        annotations={"points": AnnotationSet("wflw98", points, unknown)},
        splits=split_rows(ids, manifest, rules, partial=partial),
        boxes={"detection": rectangles, "landmarks": tight_box(points)},
        source={
            "attributes": attributes.astype(np.uint8),
            "line": np.array([[faces[one][1]] for one in ids]),
        },
    )
    files = {
        "images": (pictures, [pictures_at + image for image in images]),
        "annotations": (lists, [lists_at + name for name in LISTS.values()]),
    }
    root = pictures.path / pictures_at if pictures.archive is None else None
    return Release(content, files, notes, image_root=root)


def _parse(text: str) -> tuple[str, NDArray[np.float64]]:
    """Return the image and the 206 numbers of a line."""
    fields = text.split()
    if len(fields) != FIELDS:
        msg = f"expected {FIELDS} fields, found {len(fields)}"
        raise ValueError(msg)
    numbers = np.array([float(field) for field in fields[:-1]])
    if not np.isfinite(numbers).all():
        msg = f"expected finite numbers, found {fields[np.flatnonzero(~np.isfinite(numbers))[0]]}"
        raise ValueError(msg)
    wrong = [field for field in fields[200:206] if field not in {"0", "1"}]
    if wrong:
        msg = f"expected attributes 0 or 1, found {wrong[0]}"
        raise ValueError(msg)
    return fields[-1], numbers


def _face_id(image: str, rectangle: NDArray[np.float64]) -> str:
    """Name a face by its image and its rectangle, since an image may show several."""
    return image.removesuffix(".jpg") + "@" + "_".join(f"{value:g}" for value in rectangle)


def _find_lists(sources: Sequence[Source], manifest: Manifest) -> tuple[Source, str]:
    """Return the source that holds both lists, and the folder that their paths start from."""
    for source in sources:
        for name in source.sizes:
            if name.endswith(LISTS["train"]):
                folder = name.removesuffix(LISTS["train"])
                if folder + LISTS["test"] in source.sizes:
                    return source, folder
    raise DataMissing(_looked(sources, "lists", manifest))


def _find_images(sources: Sequence[Source], manifest: Manifest, named: set[str]) -> tuple[Source, str]:
    """Return the source that holds images of the lists, and the folder that their paths start from."""
    for source in sources:
        ends = ("/".join(name.split("/")[-2:]) for name in source.sizes)
        folders = Counter(
            name.removesuffix(end) for name, end in zip(source.sizes, ends, strict=True) if end in named
        )
        if folders:
            return source, folders.most_common(1)[0][0]
    raise DataMissing(_looked(sources, "images", manifest))


def _looked(sources: Sequence[Source], what: str, manifest: Manifest) -> str:
    """Say what was not found, and what the release looks like."""
    looked = ", ".join(str(source.path) for source in sources)
    return f"{looked}: no {what} of {manifest.title} found. It looks like this:\n{manifest.tree}"


DATASET = Dataset("wflw", read, folder=Path(__file__).parent)

PROTOCOLS = (
    LandmarkProtocol(
        name="wflw/landmarks",
        version=1,
        title="98 points",
        dataset="wflw",
        faces="test",
        subsets=SUBSETS,
        clusters="image",
        board=(
            ("nme/corners", ALL),
            *(("nme/corners", split) for split in SUBSETS.values()),
            ("fr10/corners", ALL),
            ("auc10/corners", ALL),
        ),
        description="All 98 points of the test faces, normalised by the distance of the outer eye corners.",
        sources=("Wu et al., Look at Boundary: A Boundary-Aware Face Alignment Algorithm, CVPR 2018",),
        annotation="points",
        scheme="wflw98",
        normalisers={"corners": (10,)},
    ),
)

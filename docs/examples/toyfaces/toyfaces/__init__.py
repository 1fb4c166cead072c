"""ToyFaces: a small made-up dataset with one protocol.  Its facts are in ``toyfaces.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from facebench.datasets import Dataset, Manifest, Release, Source, split_rows
from facebench.errors import DataMissing, Faults
from facebench.formats import VISIBILITY, AnnotationSet, Content, Progress
from facebench.geometry import tight_box
from facebench.metrics import normalising_distance
from facebench.protocols import ALL, BALANCED, LandmarkProtocol

EYES_APART = 60.0  # pixels between the outer eye corners of a face that counts as frontal


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the release: pairs of ``face_NN.png`` and ``face_NN.txt``."""
    source, names = _find(sources, manifest)
    ids = [one for one in sorted(names) if names[one] + ".png" in source]
    faults, notes = Faults(str(source.path)), []
    if not partial:
        for one in sorted(names.keys() - ids):
            faults.add(f"{one}.png", "missing")
        if len(names) != manifest.faces:
            faults.add("face_NN.txt", f"expected {manifest.faces} files, found {len(names)}")
    elif len(ids) < manifest.faces:
        notes.append(f"a part of the release: {len(ids)} of {manifest.faces} faces")

    points = np.full((len(ids), 68, 2), np.nan)
    for row, one in enumerate(progress(ids, len(ids), "annotations")):
        try:
            points[row] = np.loadtxt(source.read(names[one] + ".txt").decode().splitlines()) - 1
        except ValueError as error:
            faults.add(f"{one}.txt", f"expected 68 lines of x y ({error})")
    faults.raise_if_any("Obtain the release again.")

    apart = normalising_distance(points, "corners")
    rules = {"frontal": np.flatnonzero(apart >= EYES_APART), "turned": np.flatnonzero(apart < EYES_APART)}
    unknown = np.full((len(ids), 68), VISIBILITY["unknown"], np.uint8)
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation="\n\n".join(one.bibtex for one in manifest.citations),
        ids=ids,
        images=[source.image(names[one] + ".png", f"{one}.png") for one in ids],
        image_of=np.arange(len(ids)),
        annotations={"points": AnnotationSet("ibug68", points, unknown)},
        splits=split_rows(ids, manifest, rules, partial=partial),
        boxes={"landmarks": tight_box(points)},
    )
    files = [names[one] + ending for one in ids for ending in (".png", ".txt")]
    return Release(content, {"release": (source, files)}, notes)


def _find(sources: Sequence[Source], manifest: Manifest) -> tuple[Source, dict[str, str]]:
    """Return the source that holds the release, and the path without ending of each face in it."""
    for source in sources:
        paths = [PurePosixPath(name) for name in source]
        names = {path.stem: str(path.with_suffix("")) for path in paths if path.suffix == ".txt"}
        if any(f"{name}.png" in source for name in names.values()):
            return source, names
    looked = ", ".join(str(source.path) for source in sources)
    msg = f"{looked}: no release of {manifest.title} found. It looks like this:\n{manifest.tree}"
    raise DataMissing(msg)


DATASET = Dataset("toyfaces", read, folder=Path(__file__).parent)

PROTOCOLS = (
    LandmarkProtocol(
        name="toyfaces/landmarks",
        version=1,
        title="68 points",
        dataset="toyfaces",
        faces="all",
        bins={"eyes far apart": "frontal", "eyes close": "turned"},
        board=(("nme/box-sqrt", BALANCED), ("nme/box-sqrt", "turned"), ("fr8/box-sqrt", ALL)),
        description="All 68 points, normalised by sqrt(w h) of the tight box of the true points.",
        sources=("this example",),
        annotation="points",
        scheme="ibug68",
        normalisers={"box-sqrt": (8,), "corners": ()},
    ),
)

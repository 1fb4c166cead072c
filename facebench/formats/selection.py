"""Which faces, points and boxes of a prepared dataset a tool was asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError
from facebench.formats.content import AnnotationSet
from facebench.formats.reader import PreparedDataset
from facebench.geometry import tight_box

__all__ = ["choose_annotation", "choose_boxes", "choose_rows"]


def choose_rows(dataset: PreparedDataset, split: str | None) -> NDArray[np.int64]:
    """Return the rows of a split, or of all faces where none is named.

    Raises
    ------
    UsageError : no such split, or no face in it.
    """
    rows = np.arange(len(dataset)) if split is None else dataset.split(split)
    if not len(rows):
        msg = f"{dataset.path}: no face in {f'split {split!r}' if split else 'it'}."
        raise UsageError(msg)
    return rows


def choose_annotation(dataset: PreparedDataset, name: str | None) -> tuple[str, AnnotationSet | None]:
    """Return an annotation set and its name.

    Without a name that is ``original``, or the only one there is; a dataset without any gives
    ``("", None)``.

    Raises
    ------
    DataMissing : no set of that name.
    UsageError : there are several and none was named.
    """
    sets = dataset.annotations
    if name is not None:
        return name, dataset.annotation(name)
    if not sets:
        return "", None
    if len(sets) > 1 and "original" not in sets:
        msg = f"{dataset.path}: has several annotation sets ({', '.join(sets)}). Name one of them."
        raise UsageError(msg)
    name = "original" if "original" in sets else next(iter(sets))
    return name, sets[name]


def choose_boxes(
    dataset: PreparedDataset, name: str, annotation: AnnotationSet | None
) -> NDArray[np.float64]:
    """Return the (N, 4) boxes of one origin.

    ``landmarks``, where the file has no such box, are the smallest boxes around the points of
    ``annotation``.

    Raises
    ------
    UsageError : no boxes of that name; says which there are.
    """
    if name in dataset.boxes:
        return dataset.boxes[name]
    if name == "landmarks" and annotation is not None:
        return tight_box(annotation.points)
    msg = f"{dataset.path}: no box '{name}'. Its boxes: {', '.join(dataset.boxes) or 'none'}."
    raise UsageError(msg)

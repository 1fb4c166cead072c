"""Prepared datasets written from arrays, for protocols whose releases are not at hand as images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

import facebench
from facebench.formats import Content, ImageFile, write_dataset

PICTURE = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()


def write(path: Path, dataset: str, ids: list[str], **fields: Any) -> facebench.PreparedDataset:
    """Write faces that share one image of one pixel; ids are sorted, and ``fields`` are of ``Content``."""
    content = Content(
        dataset=dataset,
        licence="none",
        citation="none",
        ids=ids,
        images=[ImageFile("black.png", len(PICTURE), lambda: PICTURE)],
        image_of=np.zeros(len(ids), np.int64),
        **{"annotations": {}, "splits": {}, **fields},
    )
    write_dataset(path, content, lambda: {"options": {"partial": True}})
    return facebench.open_dataset(path)


def check(result: facebench.Result, published: dict[tuple[str, str], str]) -> None:
    """Compare numbers with published ones, each to the digits that its text has."""
    found = {(metric, group): result.get(metric, group).value for metric, group in published}
    rounded = {key: f"{found[key]:.{len(text.partition('.')[2])}f}" for key, text in published.items()}
    assert rounded == published, found

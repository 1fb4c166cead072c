"""Draw a small release in the layout of WFLW into the folder ``wflw-release``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facebench.geometry import euler_to_rotation
from facebench.synthetic import draw_face, mean_head, project

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
SIZE = 200  # pixels of one drawn face


def head98() -> np.ndarray:
    """Return the (98, 3) points on the drawn head, in millimetres: its 68, and others between them."""
    head = mean_head()
    jaw, eyes, mouth = head[:17], head[36:48].reshape(2, 6, 3), head[48:68]
    contour = np.empty((33, 3))
    contour[::2], contour[1::2] = jaw, (jaw[:-1] + jaw[1:]) / 2
    below = np.array([0, 4, 0])
    left_brow, right_brow = head[17:22], head[22:27]
    left_brow = np.vstack([left_brow, left_brow[:0:-1] + below])
    right_brow = np.vstack([right_brow, right_brow[-2::-1] + below])
    lids = [np.insert(eye, (2, 5), [(eye[1] + eye[2]) / 2, (eye[4] + eye[5]) / 2], axis=0) for eye in eyes]
    return np.vstack([contour, left_brow, right_brow, head[27:36], *lids, mouth, eyes.mean(axis=1)])


def line(points: np.ndarray, attributes: np.ndarray, image: str) -> str:
    """Return a line of the lists: points, rectangle, attributes, image."""
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return " ".join(
        [
            *(f"{value:.6f}" for value in points.ravel()),
            *(f"{value:.0f}" for value in (*low, *high)),
            *(str(int(value)) for value in attributes),
            image,
        ]
    )


def write_list(folder: Path, split: str, lines: list[str]) -> None:
    """Write one of the two lists of a release."""
    (folder / LISTS).mkdir(parents=True, exist_ok=True)
    text = "".join(one + "\n" for one in lines)
    (folder / LISTS / f"list_98pt_rect_attr_{split}.txt").write_text(text)


def draw(folder: Path) -> None:
    """Draw 24 faces to train and 12 to test, in 34 images: two images show two faces each."""
    row = 0
    for split, images in (("train", 23), ("test", 11)):
        lines = []
        for index in range(images):
            event = ("0--Parade", "37--Soccer")[index % 2]
            image = f"{event}/{event.replace('--', '_')}_{split}_{index}.jpg"
            pictures = []
            for column in range(2 if index == 0 else 1):
                rng = np.random.default_rng(row)
                attributes = np.arange(6) == row % 7  # every seventh face has none
                rotation = euler_to_rotation(
                    [50 if attributes[0] else rng.uniform(-20, 20), 5, -5], "raw-xyz"
                )
                camera = (rotation, 0.7, (100, 95))
                pictures.append(draw_face(*camera, rng, size=SIZE))
                points = project(head98(), *camera) + np.array([column * SIZE, 0])
                lines.append(line(points, attributes, image))
                row += 1
            path = folder / "WFLW_images" / image
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.hstack(pictures)[:, :, ::-1])
        write_list(folder, split, lines)


if __name__ == "__main__":
    draw(Path("wflw-release"))

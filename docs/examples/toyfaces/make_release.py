"""Draw the release of ToyFaces into the folder ``toyfaces-release``."""

from pathlib import Path

import cv2
import numpy as np

from facebench.geometry import euler_to_rotation
from facebench.synthetic import draw_face, mean_head, project


def draw(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for index, yaw in enumerate((0, 10, 20, 30, -40, 50, 60, 70), start=1):
        rng = np.random.default_rng(index)
        rotation = euler_to_rotation([yaw, 0, 0], "raw-xyz")
        camera = (rotation, 0.8, (120, 110))
        points = project(mean_head(), *camera)
        picture = draw_face(*camera, rng, size=240)
        cv2.imwrite(str(folder / f"face_{index:02}.png"), picture[:, :, ::-1])
        np.savetxt(folder / f"face_{index:02}.txt", points + 1, fmt="%.3f")  # this release counts from 1


if __name__ == "__main__":
    draw(Path("toyfaces-release"))

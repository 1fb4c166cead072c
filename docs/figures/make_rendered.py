"""Draw docs/figures/rendered.jpg: 48 rendered faces, eight to a row.

``python docs/figures/make_rendered.py`` writes the picture beside this script.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from facebench.synthetic.faces import render_faces

ACROSS, DOWN, SIDE = 8, 6, 128

if __name__ == "__main__":
    images = np.stack([face.image for face in render_faces(ACROSS * DOWN, seed=3, size=SIDE)])
    sheet = images.reshape(DOWN, ACROSS, SIDE, SIDE, 3).swapaxes(1, 2)
    picture = Image.fromarray(sheet.reshape(DOWN * SIDE, ACROSS * SIDE, 3))
    picture.save(Path(__file__).with_name("rendered.jpg"), quality=88)

from __future__ import annotations

import pytest

from facebench.synthetic.faces import render_faces
from tests.synthetic.round_trips import TRIPS, write

FACES = 12


@pytest.fixture(scope="session")
def rendered():
    """Rendered faces of 450 x 450 pixels."""
    return list(render_faces(FACES, seed=20, size=450))


@pytest.fixture(scope="session")
def releases(rendered, tmp_path_factory):
    """Rendered faces as each of the five releases, by name; not to be changed.

    Those of BIWI have its 640 x 480 pixels, the others are the same for all.
    """
    wide = list(render_faces(FACES, seed=21, size=(480, 640)))
    faces = {name: wide if name == "biwi" else rendered for name in TRIPS}
    return {name: write(name, tmp_path_factory.mktemp(name), faces[name]) for name in TRIPS}

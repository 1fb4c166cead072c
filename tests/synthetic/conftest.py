from __future__ import annotations

import pytest

from tests.synthetic.round_trips import TRIPS, write

FACES = 12


@pytest.fixture(scope="session")
def rendered():
    """Rendered faces of 450 x 450 pixels."""
    from facebench.synthetic.faces import render_faces

    return list(render_faces(FACES, seed=20, size=450))


@pytest.fixture(scope="session")
def releases(rendered, tmp_path_factory):
    """The rendered faces as each of the five releases, by name; not to be changed."""
    return {name: write(name, tmp_path_factory.mktemp(name), rendered) for name in TRIPS}

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats import toy


@pytest.fixture
def toy_path(tmp_path: Path) -> Path:
    """A prepared file of the toy dataset, to be damaged at will."""
    return toy.write(tmp_path / "toy.h5")

"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of genuine releases and predictions; tests that need it skip where it is not at hand."""
    folder = os.environ.get("FACEBENCH_TEST_DATA")
    if not folder:
        pytest.skip("FACEBENCH_TEST_DATA is not set: no genuine releases to test on")
    if not Path(folder).is_dir():
        pytest.fail(f"FACEBENCH_TEST_DATA={folder} is not a folder")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's own data home."""
    monkeypatch.setenv("FACEBENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))

"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.browser import Browser, find_browser

# A shared machine may stall any example; how fast a call is, is measured in tests/benchmarks.
settings.register_profile("facebench", deadline=None)
settings.load_profile("facebench")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of genuine releases and predictions; tests that need it skip where it is not at hand."""
    folder = os.environ.get("FACEBENCH_TEST_DATA")
    if not folder:
        pytest.skip("FACEBENCH_TEST_DATA is not set: no genuine releases to test on")
    if not Path(folder).is_dir():
        pytest.fail(f"FACEBENCH_TEST_DATA={folder} is not a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A headless Chromium; tests that need it skip where there is none."""
    return find_browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's own data home."""
    monkeypatch.setenv("FACEBENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared AFLW2000-3D of 36 drawn faces; two of them are outside the split 'valid'."""
    from facebench.datasets import prepare
    from facebench.synthetic import draw_aflw2000_tree

    folder = tmp_path_factory.mktemp("drawn")
    draw_aflw2000_tree(folder / "release", faces=36, seed=3)
    return prepare("aflw2000", [folder / "release"], folder / "aflw2000.h5", partial=True).path


@pytest.fixture(scope="session")
def genuine(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The genuine AFLW2000-3D, prepared with its reannotation."""
    from facebench.datasets import prepare

    raw = real_data / "raw"
    sources = [raw / "AFLW2000-3D.zip", raw / "AFLW2000-3D-Reannotated.pts68.npy"]
    return prepare("aflw2000", sources, tmp_path_factory.mktemp("genuine") / "aflw2000.h5").path


@pytest.fixture(scope="session")
def two_dasl(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published predictions of 2DASL on AFLW2000-3D, as a predictions file."""
    import numpy as np

    import facebench

    published = np.load(real_data / "oracles" / "2dasl_aflw2000.npz")
    path = tmp_path_factory.mktemp("predictions") / "2dasl.h5"
    facebench.write_predictions(
        path,
        dataset="aflw2000",
        method="2DASL",
        ids=[name.removesuffix(".jpg") for name in published["names"]],
        landmarks=published["pts"][:, :2].transpose(0, 2, 1),
        euler=published["pose_pitch_yaw_roll_deg"][:, [1, 0, 2]],
        euler_convention="raw-xyz",
    )
    return path


@pytest.fixture(scope="session")
def spiga(real_data: Path) -> tuple[dict[str, Any], list[str]]:
    """What SPIGA published of the public test set of 300W, and the ids of the faces in its order.

    The order is Helen, LFPW, iBUG, which has a name with a space.
    """
    import numpy as np

    from facebench.datasets import get_dataset

    with np.load(real_data / "oracles" / "spiga_300w_public.npz") as stored:
        published = {name: stored[name] for name in stored.files}
    folders = ("helen/testset/", "lfpw/testset/", "ibug/")
    listed = (line["id"] for line in get_dataset("300w").manifest.table("faces"))
    of_stem = {one.rpartition("/")[2].replace(" ", ""): one for one in listed if one.startswith(folders)}
    return published, [of_stem[Path(name).stem] for name in published["imgpath"].tolist()]


@pytest.fixture(scope="session")
def spiga_predictions(
    spiga: tuple[dict[str, Any], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What SPIGA predicts for the public test set of 300W, as a predictions file."""
    import facebench

    published, ids = spiga
    path = tmp_path_factory.mktemp("predictions") / "spiga.h5"
    facebench.write_predictions(
        path,
        dataset="300w",
        method="SPIGA",
        ids=ids,
        landmarks=published["pred_landmarks68"],
        euler=published["pred_headpose"][:, :3],
        euler_convention="mnn-yxz",
        box="landmarks",
    )
    return path

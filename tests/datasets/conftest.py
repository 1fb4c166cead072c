from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facebench.datasets import prepare, registry
from facebench.errors import InvalidData
from facebench.formats import open_dataset
from facebench.synthetic import draw_aflw2000_tree
from tests.datasets.helpers import FACES, MANIFEST, MODULE, STACK


@pytest.fixture(scope="session")
def four_faces(tmp_path_factory):
    """A drawn release of four faces, with the second labelling beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("four")
    draw_aflw2000_tree(folder, faces=FACES, seed=1)
    return folder


@pytest.fixture
def release(four_faces, tmp_path):
    """A copy of the four faces that a test may damage."""
    return Path(shutil.copytree(four_faces, tmp_path / "release"))


@pytest.fixture
def points(four_faces):
    """The (4, 68, 2) points of the second labelling."""
    return np.load(four_faces / STACK).transpose(0, 2, 1).astype(float)


@pytest.fixture
def run(tmp_path):
    """Prepare from sources into a file of its own, and open it."""

    def call(*sources, **options):
        target = tmp_path / "prepared" / "aflw2000.h5"
        done = prepare("aflw2000", sources, target, **{"partial": True, **options})
        assert done.path == target
        return SimpleNamespace(dataset=open_dataset(target), notes=done.notes, bytes=target.read_bytes())

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Prepare, expect a refusal, and see that nothing was left behind; return the message."""

    def call(*sources, kind=InvalidData, **options):
        with pytest.raises(kind) as error:
            run(*sources, **options)
        place = tmp_path / "prepared"
        assert not place.exists() or list(place.iterdir()) == []
        return str(error.value)

    return call


def forget():
    """Make the registry look at the installed packages again."""
    for cached in (registry._installed, registry.get_dataset):
        getattr(cached, "cache_clear", int)()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of somebody else: its modules and entry points, for one test."""
    site = tmp_path / "site"
    (site / "thirds-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def call(entry_points, **modules):
        metadata = "Metadata-Version: 2.1\nName: thirds\nVersion: 1.0\n"
        (site / "thirds-1.0.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
        points = "".join(f"{line}\n" for line in ("[facebench.datasets]", *entry_points))
        (site / "thirds-1.0.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text, encoding="utf-8")
        forget()
        return site

    yield call
    forget()
    for name in [name for name in sys.modules if name not in before and (site / f"{name}.py").is_file()]:
        del sys.modules[name]


@pytest.fixture
def thirds(install, tmp_path):
    """A dataset of an installed package, and the folder of its release of three files."""
    import cv2

    site = install(["thirds = thirds_dataset:DATASET"], thirds_dataset=MODULE)
    folder = tmp_path / "raw" / "thirds"
    folder.mkdir(parents=True)
    (folder / "one.png").write_bytes(cv2.imencode(".png", np.zeros((5, 7, 3), np.uint8))[1].tobytes())
    (folder / "two.txt").write_text("two", encoding="utf-8")
    (folder / "deep").mkdir()
    (folder / "deep" / "three.txt").write_text("three", encoding="utf-8")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder.parent).as_posix()}\n"
        for path in files
    ]
    (site / "thirds.toml").write_text(MANIFEST, encoding="utf-8")
    (site / "thirds.sha256").write_text("".join(lines), encoding="utf-8")
    return folder

"""The report: one page that needs nothing else, and shows what a stranger wrote without acting on it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner

import facebench
from facebench.cli import facebench as commands
from facebench.datasets import prepare
from facebench.errors import FacebenchError

HOSTILE = '<script>alert("x")</script> & $a_1$ \u202eabc'


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    target = tmp_path_factory.mktemp("rendered") / "rendered.h5"
    return facebench.open_dataset(prepare("rendered", [], target, faces=30, seed=2).path)


@pytest.fixture(scope="module")
def files(dataset, tmp_path_factory):
    """Two predictions files: near the truth, and further off under a hostile name."""
    folder, noise, found = tmp_path_factory.mktemp("given"), np.random.default_rng(0), []
    truth = dataset.annotation("truth")
    for name, spread in (("near", 1.0), (HOSTILE, 5.0)):
        visibility = np.clip((truth.visibility == 1) + noise.normal(0, 0.1 * spread, (30, 68)), 0, 1)
        found.append(folder / f"{len(found)}.h5")
        facebench.write_predictions(
            found[-1],
            dataset="rendered",
            method=name,
            ids=dataset.ids,
            scheme="ibug68",
            landmarks=truth.points + noise.normal(0, spread, truth.points.shape),
            rotation=dataset.rotation,
            visibility=visibility,
        )
    return [str(one) for one in found]


def run(dataset, files, target, *more):
    words = ["report", *files, "--data", str(dataset.path), "-o", str(target), "--resamples", "20", *more]
    return CliRunner().invoke(commands, words, catch_exceptions=True)


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(dataset, files, tmp_path):
    done = run(dataset, files, tmp_path / "r.html", "--faces", "3")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for protocol in ("rendered/pose", "rendered/landmarks", "rendered/visibility"):
        assert protocol in page
    assert "protocol:rendered/landmarks|version:1" in re.sub(r"<[^>]*>|\s", "", page)
    assert "<script>alert" not in page
    assert not re.findall(r"""(?:src|href|xlink:href)=["'](?:https?:)?//""", page)
    assert "@import" not in page
    assert "data:image/" in page


def test_the_page_is_the_same_every_time(dataset, files, tmp_path):
    target = tmp_path / "r.html"
    run(dataset, files[:1], target, "--faces", "2")
    before = target.read_bytes()
    run(dataset, files[:1], target, "--faces", "2")
    assert target.read_bytes() == before


def test_a_page_to_pass_on_shows_no_face(dataset, files, tmp_path):
    run(dataset, files[:1], tmp_path / "with.html", "--faces", "3")
    run(dataset, files[:1], tmp_path / "without.html", "--faces", "3", "--no-images")
    jpegs = [
        (tmp_path / name).read_text("utf-8").count("data:image/jpeg")
        for name in ("with.html", "without.html")
    ]
    assert jpegs[0] > 0
    assert jpegs[1] == 0


def test_a_page_that_cannot_be_written_is_one_message(dataset, files, tmp_path):
    (tmp_path / "file").touch()
    done = run(dataset, files[:1], tmp_path / "file" / "r.html", "--faces", "1")
    assert done.exit_code != 0
    assert isinstance(done.exception, FacebenchError | SystemExit)

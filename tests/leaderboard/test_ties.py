"""Computed rows that a paired test cannot tell apart share their places."""

from __future__ import annotations

import re

import numpy as np
import pytest

import facebench
from facebench.datasets import prepare
from facebench.errors import InvalidData
from facebench.leaderboard import Entry, add_errors, add_result, render_pages
from facebench.leaderboard.ties import read_errors
from facebench.protocols import measure, summarise
from facebench.synthetic import draw_aflw2000_tree

FACES = 60


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    draw_aflw2000_tree(folder / "raw", faces=FACES, seed=2)
    prepare("aflw2000", [folder / "raw"], folder / "aflw2000.h5", partial=True)
    return facebench.open_dataset(folder / "aflw2000.h5")


@pytest.fixture
def add(dataset, tmp_path):
    """Add a method whose points are off by so many pixels, with noise of its own."""

    def call(method, pixels, seed, protocol="aflw2000/landmarks-original"):
        generator = np.random.default_rng(seed)
        truth = dataset.annotation("original").points
        turn = generator.uniform(0, 2 * np.pi, truth.shape[:2])
        away = (
            pixels * np.stack([np.cos(turn), np.sin(turn)], axis=-1) * generator.gamma(5, 0.2, (FACES, 1, 1))
        )
        given = {"dataset": "aflw2000", "method": method, "id": dataset.ids, "scheme": "ibug68"}
        measured = measure({**given, "landmarks": truth + away}, protocol, dataset)
        # As if it were the whole release: rows of a part are never ranked.
        result = summarise(measured, resamples=50).model_copy(update={"complete": True})
        claim = {"status": "rescored", "result": result}
        entry = Entry.model_validate({"dataset": "aflw2000", "method": method, "results": [claim]})
        path = add_result(tmp_path, entry)
        add_errors(tmp_path, path, [measured])
        return path

    return call


def places(folder):
    page = render_pages(folder)[next(path for path in render_pages(folder) if path.name == "aflw2000.md")]
    return dict(re.findall(r"^\| (\S+) \| (\w+) \|  \|", page, re.MULTILINE)), page


def test_only_rows_that_differ_significantly_have_a_place_of_their_own(add, tmp_path):
    add("best", 2.0, seed=0)
    add("second", 6.0, seed=1)
    add("third", 6.0, seed=3)
    ranks, page = places(tmp_path)
    assert sorted(ranks) == ["1", "2–3"]
    assert page.count("| 2–3 |") == 2
    assert ranks["1"] == "best"
    assert "Not significantly different from second." in page


def test_without_the_errors_there_is_no_test(add, tmp_path):
    add("second", 6.0, seed=1)
    add("third", 6.0, seed=3)
    for path in (tmp_path / "errors" / "aflw2000").iterdir():
        path.unlink()
    assert set(places(tmp_path)[0]) == {"1", "2"}


def test_pages_with_ties_are_the_same_every_time(add, tmp_path):
    add("second", 6.0, seed=1)
    add("third", 6.0, seed=3)
    assert render_pages(tmp_path) == render_pages(tmp_path)


def test_errors_of_other_protocols_are_kept_and_files_do_not_change(add, tmp_path):
    entry = add("method", 3.0, seed=1)
    path = tmp_path / "errors" / "aflw2000" / f"{entry.stem}.npz"
    before = path.read_bytes()
    add("method", 3.0, seed=1)
    assert path.read_bytes() == before
    add("method", 3.0, seed=1, protocol="aflw2000/landmarks-reannotated")
    found = read_errors(path)
    assert sorted(found) == ["aflw2000/landmarks-original", "aflw2000/landmarks-reannotated"]
    assert len(found["aflw2000/landmarks-original"].errors) == FACES


def test_damaged_errors_are_named(add, tmp_path):
    entry = add("method", 3.0, seed=1)
    path = tmp_path / "errors" / "aflw2000" / f"{entry.stem}.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidData, match=r"method\.npz: not the errors of a method"):
        render_pages(tmp_path)

"""Entries are validated by name, merged without loss, and written the same way every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import facebench
from facebench.errors import InvalidData
from facebench.leaderboard import Entry, add_result, load_entries, slug
from facebench.leaderboard.entries import render_entry
from facebench.protocols import predict_baseline


def reported(**changes: object) -> dict:
    claim = {
        "status": "reported",
        "protocol": "aflw2000/pose",
        "values": [{"metric": "mae/raw-xyz", "group": "all", "value": 3.83}],
        "source": "a paper",
    }
    return {"dataset": "aflw2000", "method": "MNN", "year": 2020, "results": [{**claim, **changes}]}


def put(folder: Path, entry: dict, name: str | None = None) -> Path:
    path = folder / "entries" / "aflw2000" / (name or f"{slug(entry['method'])}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry), encoding="utf-8")
    return path


@pytest.fixture
def scored(drawn, tmp_path):
    def make(model: str = "zero-pose", **facts: object) -> Entry:
        predict_baseline(model, facebench.open_dataset(drawn), tmp_path / "p.h5")
        result = facebench.score(tmp_path / "p.h5", "aflw2000/pose", drawn)
        claim = {"status": "rescored", "result": result}
        return Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim], **facts})

    return make


def test_an_entry_that_is_valid_loads(tmp_path):
    put(tmp_path, reported())
    (entry,) = load_entries(tmp_path, "aflw2000")
    assert entry.method == "MNN"
    assert entry.results[0].values[0].value == 3.83


def drop(entry: dict, key: str) -> dict:
    return {name: value for name, value in entry.items() if name != key}


BAD = {
    "method": drop(reported(), "method"),
    "results.0.reported.source": {
        **reported(),
        "results": [drop(reported()["results"][0], "source")],
    },
    "results.0.reported.values": reported(values=[]),
    "year": {**reported(), "year": 20},
    "url": {**reported(), "url": "javascript:alert(1)"},
    "colour": {**reported(), "colour": "red"},
    "results.0": reported(status="guessed"),
    "has no metric 'nme'": reported(values=[{"metric": "nme", "value": 1.0}]),
    "has no group 'some'": reported(values=[{"metric": "geodesic", "group": "some", "value": 1.0}]),
    "Unknown protocol 'aflw2000/nose'": reported(protocol="aflw2000/nose"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_entry_that_is_wrong_is_named_with_its_key(tmp_path, what):
    put(tmp_path, BAD[what], "mnn.json")
    with pytest.raises(InvalidData) as caught:
        load_entries(tmp_path, "aflw2000")
    assert "mnn.json" in str(caught.value)
    assert what in str(caught.value)


def test_a_file_that_is_not_json_is_named(tmp_path):
    put(tmp_path, reported()).write_text("{", encoding="utf-8")
    with pytest.raises(InvalidData, match=r"mnn\.json: file: Invalid JSON"):
        load_entries(tmp_path, "aflw2000")


def test_a_file_must_bear_the_name_of_its_method_and_dataset(tmp_path):
    put(tmp_path, {**reported(), "dataset": "biwi"}, "other.json")
    with pytest.raises(InvalidData, match="2 faults") as caught:
        load_entries(tmp_path, "aflw2000")
    assert "expected the name 'mnn.json'" in str(caught.value)
    assert "expected 'aflw2000', found 'biwi'" in str(caught.value)


def test_all_faults_of_all_files_come_in_one_message(tmp_path):
    for number in range(3):
        put(tmp_path, {**reported(), "method": f"M{number}", "year": "soon"})
    with pytest.raises(InvalidData, match="3 faults"):
        load_entries(tmp_path, "aflw2000")


def test_a_reproduced_result_needs_its_command(scored):
    claim = scored().results[0].model_dump() | {"status": "reproduced"}
    with pytest.raises(ValueError, match="needs 'command'"):
        Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]})


def test_adding_a_result_keeps_what_the_file_holds(tmp_path, scored):
    put(tmp_path, {**reported(), "method": "Zero", "paper": "A paper", "url": "https://example.org"})
    add_result(tmp_path, scored(year=2021))
    (entry,) = load_entries(tmp_path, "aflw2000")
    assert [claim.status for claim in entry.results] == ["reported", "rescored"]
    assert (entry.year, entry.paper, entry.url) == (2021, "A paper", "https://example.org")


def test_adding_a_result_again_replaces_it(tmp_path, scored):
    for model in ("zero-pose", "mean-pose"):
        path = add_result(tmp_path, scored(model))
    (entry,) = load_entries(tmp_path, "aflw2000")
    assert len(entry.results) == 1
    assert path.name == "zero.json"
    assert entry.results[0].result.method == "mean-pose"


def test_an_entry_survives_writing_and_reading(tmp_path, scored):
    path = add_result(tmp_path, scored())
    (entry,) = load_entries(tmp_path, "aflw2000")
    assert render_entry(entry) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("MNN+OR", "mnn-plus-or"),
        ("6DRepNet (2023)", "6drepnet-2023"),
        ("../../etc", "etc"),
        ("你好", "unnamed"),
        ("x" * 5000, "x" * 120 + "-c59d3c04"),
    ],
)
def test_the_name_of_a_file_is_plain(method, expected):
    assert slug(method) == expected

"""Commands as a user runs them: output, streams, JSON and exit codes."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import facebench


@pytest.fixture
def predictions(drawn: Path, tmp_path: Path) -> Path:
    dataset = facebench.open_dataset(drawn)
    path = tmp_path / "predictions.h5"
    points = dataset.annotations["original"].points
    facebench.write_predictions(
        path, dataset="aflw2000", method="M", ids=dataset.ids, landmarks=points + 1, rotation=dataset.rotation
    )
    return path


def test_datasets_lists_what_there_is(run):
    assert "aflw2000/landmarks-reannotated" in run("datasets").out
    rows = {row["name"]: row for row in json.loads(run("datasets", "--json").out)}
    assert set(rows) >= {"300w", "aflw", "aflw2000", "biwi", "cofw"}
    assert (rows["aflw2000"]["faces"], rows["aflw2000"]["prepared"]) == (2000, None)


def test_info_tells_a_newcomer_what_to_do(run):
    text = run("info", "aflw2000").out
    for needed in (
        "Licence",
        "AFLW2000-3D.zip",
        "facebench prepare aflw2000 --source",
        "1969",
        "Known faults",
    ):
        assert needed in text
    assert json.loads(run("info", "aflw2000", "--json").out)["splits"]["valid"]["count"] == 1969


def test_info_prints_citations_only_when_asked(run):
    text = run("info", "aflw2000", "--bibtex").out
    assert text.count("@inproceedings") == 3
    assert "Licence" not in text


def test_prepare_then_verify_then_score(run, tmp_path):
    from facebench.synthetic import draw_aflw2000_tree

    draw_aflw2000_tree(tmp_path / "release", faces=36, seed=3)
    home = ("--home", tmp_path / "home")
    done = run("prepare", "aflw2000", "--source", tmp_path / "release", "--partial", *home, "--json")
    made = json.loads(done.out)
    assert made["faces"] == 36
    assert made["splits"]["valid"] == 34
    assert "a part of the release" in done.err
    assert run("verify", "aflw2000", *home).out.startswith("ok ")
    assert run("predict", "aflw2000", "--model", "zero-pose", "-o", tmp_path / "p.h5", *home).code == 0
    scored = run("score", tmp_path / "p.h5", *home)
    assert scored.code == 0
    assert "zero-pose on aflw2000/pose" in scored.out
    assert "signature: protocol:aflw2000/pose|version:1|" in scored.out
    assert "not scored, the file has no landmarks" in scored.err


def test_score_json_has_every_number_in_full(run, drawn, predictions):
    results = json.loads(run("score", predictions, "--data", drawn, "--json").out)
    assert [one["protocol"] for one in results] == [
        "aflw2000/pose",
        "aflw2000/landmarks-original",
        "aflw2000/landmarks-reannotated",
    ]
    expected = facebench.score(predictions, "aflw2000/landmarks-original", drawn)
    assert results[1] == json.loads(expected.model_dump_json())
    assert results[1]["per_point"]["nose_tip"] > 0


def test_score_writes_the_errors_of_every_face(run, drawn, predictions, tmp_path):
    run(
        "score", predictions, "--data", drawn, "--protocol", "aflw2000/pose", "--per-face", tmp_path / "f.csv"
    )
    with (tmp_path / "f.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["error"] == "mae/raw-xyz"]
    assert len(rows) == 34
    assert max(float(row["value"]) for row in rows) < 1e-6


def test_view_shows_the_worst_by_the_headline_of_the_table(run, drawn, predictions, tmp_path):
    table, shown = tmp_path / "f.csv", tmp_path / "s.png"
    given = ("--data", drawn, "--protocol", "aflw2000/pose", "--per-face", table)
    assert run("score", predictions, *given).code == 0
    with table.open() as file:
        errors = {
            row["id"]: float(row["value"]) for row in csv.DictReader(file) if row["error"] == "mae/raw-xyz"
        }
    done = run("view", drawn, "--worst", table, "--count", 3, "-o", shown, "--json")
    faces = json.loads(done.out)["faces"]
    assert faces == sorted(errors, key=lambda one: (-errors[one], one))[:3]
    refused = run("view", drawn, "--worst", table, "--protocol", "aflw2000/landmarks-original", "-o", shown)
    assert refused.code == 2
    assert "no headline of aflw2000/landmarks-original by face. Name an error with --metric" in refused.err


def test_check_passes_and_fails(run, drawn, predictions, tmp_path):
    assert "good for aflw2000/pose" in run("check", predictions, "--data", drawn).out
    dataset = facebench.open_dataset(drawn)
    facebench.write_predictions(
        tmp_path / "few.h5",
        dataset="aflw2000",
        method="M",
        ids=dataset.ids[:30],
        rotation=dataset.rotation[:30],
    )
    failed = run("check", tmp_path / "few.h5", "--data", drawn, "--json")
    assert failed.code == 1
    assert "image90031" in json.loads(failed.out)["problems"][0]


def test_leaderboard_add_build_check(run, drawn, predictions, tmp_path):
    boards = ("--dir", tmp_path / "boards")
    facts = ("--method", "My method", "--year", "2026", "--paper", "A paper", "--url", "https://example.org")
    assert run("leaderboard", "add", predictions, "--data", drawn, *boards, *facts).code == 0
    stale = run("leaderboard", "check", *boards)
    assert (stale.code, "missing" in stale.out) == (1, True)
    assert run("leaderboard", "build", *boards).code == 0
    assert run("leaderboard", "check", *boards).code == 0
    page = (tmp_path / "boards" / "aflw2000.md").read_text(encoding="utf-8")
    assert "[My method](https://example.org) | 2026 |" in page


def test_demo_runs_and_prints_its_commands(run, tmp_path):
    done = run("demo", "--keep", tmp_path / "demo", "--faces", "32")
    assert done.code == 0
    # Where PyTorch is there, the reference model is predicted with, scored and added.
    has_model = all(find_spec(name) for name in ("torch", "safetensors"))
    assert done.out.count("$ facebench") == (15 if has_model else 12)
    assert (tmp_path / "demo" / "leaderboards" / "aflw2000.md").is_file()
    assert (tmp_path / "demo" / "report.html").is_file()


BAD = {
    "no command": ((), 2, "Usage: facebench"),
    "unknown command": (("prepair",), 2, "No such command 'prepair'"),
    "unknown option": (("datasets", "--colour"), 2, "No such option"),
    "unknown dataset": (("info", "lfw"), 2, "Unknown dataset 'lfw'. Known datasets: 300w, aflw"),
    "no source": (("prepare", "aflw2000"), 3, "no --source given"),
    "wrong source": (("prepare", "aflw2000", "--source", "nowhere"), 3, "nowhere: no such file or folder"),
    "not prepared": (("verify", "aflw2000"), 3, "not prepared. Make it with 'facebench prepare aflw2000"),
    "no predictions": (("score", "nothing.h5"), 3, "nothing.h5: no such predictions file"),
    "odd predictions": (("score", "nothing.txt"), 2, "expected a predictions file ending in .h5"),
    "unknown protocol": (
        ("score", "PREDICTIONS", "--data", "DATA", "--protocol", "aflw2000/nose"),
        2,
        "Unknown protocol",
    ),
    "negative resamples": (("score", "PREDICTIONS", "--resamples", "-1"), 2, "-1 is not in the range"),
    "unknown model": (("predict", "aflw2000", "--model", "mnn", "--data", "DATA"), 2, "Unknown model 'mnn'"),
    "no entries folder": (("leaderboard", "check", "--dir", "nowhere"), 1, "README.md: missing"),
    "bad year": (
        ("leaderboard", "add", "PREDICTIONS", "--data", "DATA", "--year", "12", "--dir", "boards"),
        2,
        "year: Input should be greater than or equal to 1990",
    ),
    "too few demo faces": (("demo", "--faces", "0"), 2, "0 is not in the range"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_message_and_its_exit_code(run, case, drawn, predictions, tmp_path, monkeypatch):
    words, code, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    places = {"PREDICTIONS": predictions, "DATA": drawn}
    found = run(*(places.get(word, word) for word in words))
    assert found.code == code
    assert message in found.err + found.out


def test_a_missing_prediction_is_refused_until_a_policy_is_chosen(run, drawn, tmp_path):
    dataset = facebench.open_dataset(drawn)
    rotation = np.array(dataset.rotation)
    rotation[4] = np.nan
    path = tmp_path / "p.h5"
    facebench.write_predictions(path, dataset="aflw2000", method="M", ids=dataset.ids, rotation=rotation)
    refused = run("score", path, "--data", drawn)
    assert refused.code == 1
    assert "image90005" in refused.err
    assert "--missing exclude" in refused.err
    scored = run("score", path, "--data", drawn, "--missing", "fail")
    assert scored.code == 0
    assert "inf" in scored.out
    assert "1 faces without a prediction are counted as failures" in scored.err


def test_a_damaged_prepared_file_is_named_by_verify(run, drawn, tmp_path):
    path = tmp_path / "aflw2000.h5"
    data = bytearray(drawn.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = run("verify", path, "--json")
    assert done.code == 1
    assert json.loads(done.out)["invalid"] >= 1

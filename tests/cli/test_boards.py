"""``leaderboard`` as a user runs it."""

from __future__ import annotations

import json

import pytest

import facebench
from facebench.leaderboard import EXPORTS
from facebench.protocols import predict_baseline


@pytest.fixture
def boards(tmp_path):
    claim = {
        "status": "reported",
        "protocol": "aflw2000/pose",
        "values": [{"metric": "mae/raw-xyz", "value": 4.5}],
        "source": "a paper",
    }
    path = tmp_path / "boards" / "entries" / "aflw2000" / "ash.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"dataset": "aflw2000", "method": "Ash", "results": [claim]}), encoding="utf-8"
    )
    return tmp_path / "boards"


@pytest.fixture
def zero(drawn, tmp_path):
    predict_baseline("zero-pose", facebench.open_dataset(drawn), tmp_path / "zero.h5")
    return tmp_path / "zero.h5"


def test_a_table_is_printed_in_the_format_asked_for(run, boards):
    code, out, err = run("leaderboard", "table", "aflw2000/pose", "--format", "csv", "--dir", boards)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("1,Ash,,reported,4.5,")
    code, out, _ = run("leaderboard", "table", "aflw2000/pose", "--dir", boards)
    assert out.splitlines()[2].startswith("| 1 | Ash |")


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_format_there_is_can_be_asked_for(run, boards, kind):
    code, out, _ = run("leaderboard", "table", "aflw2000/pose", "--format", kind, "--dir", boards)
    assert code == 0
    assert "Ash" in out


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("biwi/pose", 3, "no entry of dataset 'biwi'"), ("aflw2000/nose", 2, "Unknown protocol")],
)
def test_a_table_that_is_not_there_is_said_so(run, boards, name, code, message):
    found, out, err = run("leaderboard", "table", name, "--dir", boards)
    assert (found, out) == (code, "")
    assert message in err


def test_a_site_is_written_and_says_where_to_begin(run, boards, tmp_path):
    code, out, _ = run("leaderboard", "site", tmp_path / "site", "--dir", boards)
    assert code == 0
    assert out.startswith(str(tmp_path / "site" / "index.html"))
    assert (tmp_path / "site" / "aflw2000" / "pose.html").is_file()


def test_a_folder_that_is_no_site_is_not_replaced(run, boards, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it", encoding="utf-8")
    code, out, err = run("leaderboard", "site", tmp_path / "mine", "--dir", boards)
    assert (code, out) == (2, "")
    assert "not an empty folder" in err
    assert (tmp_path / "mine" / "thesis.tex").read_text(encoding="utf-8") == "all of it"


@pytest.mark.parametrize("where", [".", "..", "../here"])
def test_the_folder_that_one_is_in_is_not_replaced(run, boards, tmp_path, monkeypatch, where):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = run("leaderboard", "site", where, "--dir", boards)
    assert (code, out) == (2, "")
    assert "you are in this folder" in err
    assert list((tmp_path / "here").iterdir()) == []


def add(run, boards, zero, drawn, *words):
    return run("leaderboard", "add", zero, "--data", drawn, "--dir", boards, *words)


def age(boards, change):
    """Make the entry look as if an earlier version had computed something else."""
    path = boards / "entries" / "aflw2000" / "zero-pose.json"
    entry = json.loads(path.read_text(encoding="utf-8"))
    change(entry["results"][0]["result"])
    path.write_text(json.dumps(entry), encoding="utf-8")
    return path


def test_a_number_that_changes_needs_a_reason_and_stays_on_the_errata_page(run, boards, zero, drawn):
    assert add(run, boards, zero, drawn).code == 0

    def other(result):
        result["scores"][0]["value"] = 12.25

    path = age(boards, other)
    before = path.read_bytes()
    code, out, err = add(run, boards, zero, drawn)
    assert (code, out) == (2, "")
    assert "scored 12.250, and now score" in err
    assert "--because" in err
    assert path.read_bytes() == before
    assert add(run, boards, zero, drawn, "--because", "Yaw was mirrored | twice.").code == 0
    assert run("leaderboard", "build", "--dir", boards).code == 0
    page = (boards / "errata.md").read_text(encoding="utf-8")
    assert "| 12.250 (" in page
    assert r"Yaw was mirrored \| twice." in page
    assert "`protocol:aflw2000/pose; version:1; " in page
    assert add(run, boards, zero, drawn).code == 0  # nothing changes any more
    assert path.read_text(encoding="utf-8").count("Yaw was mirrored") == 1


def test_other_predictions_of_a_method_supersede_without_a_reason(run, boards, zero, drawn):
    add(run, boards, zero, drawn)

    def other(result):
        result["scores"][0]["value"] = 12.25
        result["inputs"]["predictions"] = "0" * 64

    path = age(boards, other)
    assert add(run, boards, zero, drawn).code == 0
    assert "Other predictions of the same method." in path.read_text(encoding="utf-8")


def test_check_warns_of_numbers_that_contradict_each_other_and_passes(run, boards):
    path = boards / "entries" / "aflw2000" / "ash.json"
    entry = json.loads(path.read_text(encoding="utf-8"))
    entry["results"][0]["values"] += [
        {"metric": f"mae-{axis}/raw-xyz", "value": 9.5} for axis in ("yaw", "pitch", "roll")
    ]
    path.write_text(json.dumps(entry), encoding="utf-8")
    run("leaderboard", "build", "--dir", boards)
    code, out, err = run("leaderboard", "check", "--dir", boards)
    assert (code, out) == (0, "entries valid, pages current\n")
    assert "warning: aflw2000/ash.json: Ash, aflw2000/pose: mae/raw-xyz of all is 4.5" in err
    code, out, _ = run("leaderboard", "check", "--dir", boards, "--json")
    assert len(json.loads(out)["warnings"]) == 1

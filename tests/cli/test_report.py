"""``report``, and the report that ``demo`` leaves, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facebench.cli import demo as module


def small(*words):
    return ("report", *words, "--resamples", "20", "--faces", "2")


def test_a_report_is_written_with_its_command(run, drawn, mine, tmp_path):
    page = tmp_path / "out" / "r.html"
    code, out, err = run(*small(mine, "--data", drawn, "-o", page, "--no-images"))
    assert code == 0
    assert out.startswith(f"{page}  (aflw2000/landmarks-original, ")
    assert "aflw2000/pose: not scored" in err
    text = page.read_text(encoding="utf-8")
    assert f"facebench report {mine} --faces 2 --no-images --resamples 20 --data {drawn}" in text
    assert list(page.parent.iterdir()) == [page]
    code, out, _ = run(*small(mine, "--data", drawn, "-o", page, "--json"))
    assert json.loads(out)["methods"] == ["mine"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "Missing argument"),
        (("MINE", "-o", "r.pdf"), 2, "ends in .html"),
        (("MINE", "-o", "FILE/r.html"), 1, "could not be written"),
        (("absent.h5",), 3, "absent.h5"),
        (("MINE", "MINE"), 2, "the same method 'mine'"),
        (("MINE", "--protocol", "aflw2000/nose"), 2, "Unknown protocol"),
        (("MINE", "--protocol", "aflw2000/pose"), 1, "expected rotation"),
    ],
)
def test_what_is_refused_leaves_nothing(run, drawn, mine, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    words = [str(mine) if word == "MINE" else word.replace("FILE", "file") for word in words]
    found, out, err = run(*small(*words, "--data", drawn))
    assert (found, out) == (code, "")
    assert message in err
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_report_of_the_demo_survives(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("demo", "--faces", "32")
    assert code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["facebench-demo.html"]
    assert "The report is facebench-demo.html" in out
    for command in ("compare", "report", "leaderboard add"):
        assert f"$ facebench {command} " in out


def test_a_demo_where_nothing_can_be_written_says_where_the_report_is(tmp_path, monkeypatch, capsys):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    place = module._place_to_keep()
    assert Path(place).parent.parent == tmp_path
    assert "Permission denied" in capsys.readouterr().err

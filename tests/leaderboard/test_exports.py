"""Tables for programs and papers: complete, and harmless where they land."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from facebench.leaderboard import EXPORTS, build_boards, slug

REPOSITORY = Path(__file__).parents[2] / "leaderboards"


def table(folder: Path, *claims: dict, dataset: str = "aflw2000"):
    for number, claim in enumerate(claims):
        facts = {
            "dataset": dataset,
            "method": claim.pop("method", f"M{number}"),
            "year": claim.pop("year", None),
        }
        whole = {"status": "reported", "protocol": f"{dataset}/pose", "source": "a paper", **claim}
        path = folder / "entries" / dataset / f"{slug(facts['method'])}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, "results": [whole]}), encoding="utf-8")
    (board,) = build_boards(folder)
    return next(one for one in board.tables if one.protocol.name == f"{dataset}/pose")


def claim(value: float, **changes):
    return {"values": [{"metric": "mae/raw-xyz", "value": value}], **changes}


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture(scope="module")
def real():
    return {one.protocol.name: one for board in build_boards(REPOSITORY) for one in board.tables}


def test_csv_has_a_column_for_each_number_and_the_ends_of_the_interval(real):
    head, *rows = rows_of(EXPORTS["csv"](real["aflw2000/pose"]))
    assert head[:7] == [
        "rank", "method", "year", "status", "mae/raw-xyz", "mae/raw-xyz low", "mae/raw-xyz high",
    ]  # fmt: skip
    found = dict(zip(head, next(row for row in rows if row[1] == "mnn-s"), strict=True))
    assert float(found["mae/raw-xyz low"]) < float(found["mae/raw-xyz"]) < float(found["mae/raw-xyz high"])
    assert "facebench predict aflw2000 --model mnn-s" in found["notes"]
    assert all(len(row) == len(head) for row in rows)


def test_every_table_has_the_same_rows_in_every_format(real):
    for name, one in real.items():
        methods = [row.method for row in one.rows]
        assert [row[1].removeprefix("'") for row in rows_of(EXPORTS["csv"](one))[1:]] == methods, name
        assert [row["method"] for row in json.loads(EXPORTS["json"](one))["rows"]] == methods
        body = EXPORTS["latex"](one).split(r"\midrule")[1].split(r"\bottomrule")[0]
        assert body.count(r"\\") == len(methods)
        assert len(re.findall(r"(?m)^\| (?:\d+|–)[^|]* \|", EXPORTS["markdown"](one))) == len(methods)


def test_json_keeps_numbers_as_numbers_and_says_what_they_are(tmp_path):
    found = json.loads(EXPORTS["json"](table(tmp_path, claim(4.5, method="A", year=2020, training_data="T"))))
    assert found["columns"][0] == {
        "metric": "mae/raw-xyz", "group": "all", "title": "MAE raw-xyz ↓", "unit": "°", "better": "lower",
    }  # fmt: skip
    (row,) = found["rows"]
    assert (row["rank"], row["values"], row["intervals"]) == ("1", [4.5], [None])
    assert (row["year"], row["training_data"], row["status"]) == (2020, "T", "reported")


def test_json_has_what_stands_apart_with_the_reason(tmp_path):
    found = json.loads(EXPORTS["json"](table(tmp_path, claim(4.5, apart="after alignment"))))
    assert found["rows"] == []
    assert found["apart"][0]["why"] == "after alignment"


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", " =1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(tmp_path, text):
    made = table(tmp_path, claim(4.5, method=text, training_data=text, notes=[text]))
    cells = rows_of(EXPORTS["csv"](made))[1]
    assert not any(re.match(r"[=+\-@\t\r]", cell) for cell in cells)
    assert cells[1] == f"'{text.strip()}"


def test_latex_shows_what_it_would_act_upon(tmp_path):
    text = EXPORTS["latex"](table(tmp_path, claim(4.5, method=r"a\input{b}_1^2 & 50 % #$~<x>")))
    assert r"a\textbackslash{}input\{b\}\_1\textasciicircum{}2 \& 50 \% \#\$\textasciitilde{}" in text
    assert text.count("&") == 3 * 2 + 1  # three separators in head and row, and the escaped one


def test_latex_sets_the_best_of_the_ranked_rows_bold(tmp_path):
    claims = (claim(3.0, method="Reference", ranked=False), claim(4.0, method="A"), claim(5.0, method="B"))
    text = EXPORTS["latex"](table(tmp_path, *claims))
    assert re.findall(r"\\textbf\{([^}]*)\}", text) == ["4"]

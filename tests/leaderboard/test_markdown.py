"""Pages: ranks, arrows, notes, and that nothing in an entry can act on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import facebench
from facebench.errors import InvalidData
from facebench.leaderboard import Entry, add_result, check_pages, load_entries, render_pages, slug
from facebench.protocols import Signature, get_protocol, predict_baseline

PAGE = Path("aflw2000.md")
REPOSITORY = Path(__file__).parents[2]


def put(folder: Path, method: str, value: float, **changes: object) -> None:
    claim = {
        "status": "reported",
        "protocol": "aflw2000/pose",
        "values": [{"metric": "mae/raw-xyz", "value": value}],
        "source": "a paper",
    }
    facts = {name: changes.pop(name) for name in ("url", "paper", "year") if name in changes}
    entry = {"dataset": "aflw2000", "method": method, "results": [{**claim, **changes}], **facts}
    path = folder / "entries" / "aflw2000" / f"{slug(method)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry), encoding="utf-8")


def table(folder: Path) -> list[list[str]]:
    """Return the cells of the pose table, without its head."""
    page = render_pages(folder)[PAGE]
    lines = re.findall(r"(?m)^\| (?:\d+|–) \|.*$", page.split("\n## ")[1])
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def html(folder: Path) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(render_pages(folder)[PAGE])


def test_rows_are_ranked_by_the_headline_and_ties_share_a_rank(tmp_path):
    for method, value in (("C", 4.0), ("A", 3.0), ("B", 4.0), ("D", 5.0)):
        put(tmp_path, method, value)
    assert [(row[0], row[1]) for row in table(tmp_path)] == [("1", "A"), ("2", "B"), ("2", "C"), ("4", "D")]


def test_a_reference_stands_in_its_place_without_a_rank(tmp_path):
    put(tmp_path, "A", 3.0)
    put(tmp_path, "Annotation", 4.0, ranked=False)
    put(tmp_path, "B", 5.0)
    assert [(row[0], row[1]) for row in table(tmp_path)] == [("1", "A"), ("–", "Annotation"), ("2", "B")]


def test_a_row_without_the_headline_comes_last_without_a_rank(tmp_path):
    put(tmp_path, "A", 1.0, values=[{"metric": "maev", "value": 1.0}])
    put(tmp_path, "B", 9.0)
    assert [(row[0], row[1]) for row in table(tmp_path)] == [("1", "B"), ("–", "A")]
    page = render_pages(tmp_path)[PAGE]
    assert "It has no MAE raw-xyz, by which this table is ranked: not ranked." in page


def test_a_number_that_stands_apart_is_not_in_the_table_but_on_the_page(tmp_path):
    put(tmp_path, "A", 3.0)
    put(tmp_path, "B", 1.25, apart="after alignment", notes=["of the whole set"])
    assert [row[1] for row in table(tmp_path)] == ["A"]
    page = render_pages(tmp_path)[PAGE]
    assert "\nafter alignment\n\n| method" in page
    assert "| B |  | MAE raw-xyz 1.25 | of the whole set | a paper |" in page


def test_numbers_that_stand_apart_for_the_same_reason_stand_together_best_first(tmp_path):
    for method, value, why in (("A", 2.0, "another list"), ("B", 1.0, "aligned"), ("C", 1.0, "another list")):
        put(tmp_path, method, value, apart=why)
    page = render_pages(tmp_path)[PAGE]
    assert re.findall(r"(?m)^(aligned|another list|\| [ABC] )", page) == [
        "aligned", "| B ", "another list", "| C ", "| A ",
    ]  # fmt: skip


def test_a_method_has_one_rank_by_what_was_computed_else_by_its_best_figure(tmp_path, genuine):
    put(tmp_path, "Ash", 3.0)
    path = tmp_path / "entries" / "aflw2000" / "ash.json"
    entry = json.loads(path.read_text(encoding="utf-8"))
    entry["results"].append({**entry["results"][0], "source": "another table"})
    entry["results"][1]["values"] = [{"metric": "mae/raw-xyz", "value": 3.5}]
    path.write_text(json.dumps(entry), encoding="utf-8")
    put(tmp_path, "Zero", 3.2)
    predict_baseline("zero-pose", facebench.open_dataset(genuine), tmp_path / "p.h5")
    claim = {"status": "rescored", "result": facebench.score(tmp_path / "p.h5", "aflw2000/pose", genuine)}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    put(tmp_path, "Birch", 4.0)
    assert [(row[0], row[1]) for row in table(tmp_path)] == [
        ("1", "Ash"), ("–", "Zero"), ("–", "Ash"), ("2", "Birch"), ("3", "Zero"),
    ]  # fmt: skip
    page = render_pages(tmp_path)[PAGE]
    assert "Without a rank of its own: the method is ranked by what facebench computed." in page
    assert "Without a rank of its own: the method is ranked by another figure." in page


def test_a_row_on_some_of_the_faces_says_so_beside_its_number(tmp_path, drawn):
    dataset = facebench.open_dataset(drawn)
    predict_baseline("zero-pose", dataset, tmp_path / "p.h5")
    whole = facebench.read_predictions(tmp_path / "p.h5")
    facebench.write_predictions(
        tmp_path / "part.h5",
        dataset="aflw2000",
        method="Zero",
        ids=whole.ids[:20],
        rotation=whole.rotations()[:20],
    )
    result = facebench.score(tmp_path / "part.h5", "aflw2000/pose", drawn, missing="exclude")
    claim = {"status": "rescored", "result": result.model_copy(update={"complete": True})}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    (row,) = table(tmp_path)
    assert row[0] == "–"
    assert row[3].endswith(f"), {result.n} of 34 faces")
    page = render_pages(tmp_path)[PAGE]
    assert f"computed from its predictions for {result.n} of 34 faces, so without a rank." in page


def test_a_reported_number_names_the_one_that_was_computed(tmp_path, genuine):
    put(tmp_path, "Zero", 17.8)
    predict_baseline("zero-pose", facebench.open_dataset(genuine), tmp_path / "p.h5")
    claim = {"status": "rescored", "result": facebench.score(tmp_path / "p.h5", "aflw2000/pose", genuine)}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    page = render_pages(tmp_path)[PAGE]
    assert "facebench computed 17.875 for this method." in page
    assert "Best reported: **17.8** Zero; as published, its other row is computed." in page


def test_the_overview_leads_to_the_tables(tmp_path):
    put(tmp_path, "A", 3.0)
    pages = render_pages(tmp_path)
    links = re.findall(r"\]\(aflw2000\.md#([^)]+)\)", pages[Path("README.md")])
    assert links == ["pose", "landmarks-original", "landmarks-reannotated"]
    assert all(f'<a id="{one}"></a>' in pages[PAGE] for one in links)


def test_notes_are_numbered_in_the_order_of_the_rows(tmp_path):
    put(tmp_path, "A", 5.0, source="second source")
    put(tmp_path, "B", 3.0, source="first source")
    assert [row[-1] for row in table(tmp_path)] == ["<sup>1</sup>", "<sup>2</sup>"]
    page = render_pages(tmp_path)[PAGE]
    assert page.index("1. Reported: first source.") < page.index("2. Reported: second source.")


def test_a_computed_row_shows_its_interval_signature_and_hash(tmp_path, genuine):
    predict_baseline("zero-pose", facebench.open_dataset(genuine), tmp_path / "p.h5")
    result = facebench.score(tmp_path / "p.h5", "aflw2000/pose", genuine)
    claim = {"status": "reproduced", "result": result, "command": "facebench predict ..."}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    (row,) = table(tmp_path)
    assert row[0] == "1"
    assert re.fullmatch(r"17\.875 \(17\.\d\d–18\.\d\d\)", row[3])
    page = render_pages(tmp_path)[PAGE]
    assert f"`{result.signature}`" in page
    assert result.inputs["predictions"][:16] in page


def test_a_row_on_a_part_of_the_faces_is_not_ranked_and_says_so(tmp_path, drawn):
    predict_baseline("zero-pose", facebench.open_dataset(drawn), tmp_path / "p.h5")
    claim = {"status": "rescored", "result": facebench.score(tmp_path / "p.h5", "aflw2000/pose", drawn)}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    assert table(tmp_path)[0][0] == "–"
    assert "Scored on a part of the dataset: not ranked." in render_pages(tmp_path)[PAGE]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b | c",
    "line\n\n# heading",
    "[click](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "`code` **bold** _it_ ~~gone~~ $x$ https://example.org",
    "=HYPERLINK(1)",
    "\u202eright to left",
    "x" * 5000,
    "&lt;b&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_not_acted_on(tmp_path, text):
    put(tmp_path, "A", 3.0)
    harmless = html(tmp_path)
    put(tmp_path, "A", 3.0, source=text, notes=[text], training_data=text, paper=text)
    put(tmp_path, "B", 3.0, apart=text, source=text)
    page = html(tmp_path)
    for tag in ("<script", "<img", "<a ", "<strong", "<em", "<h1", "<h2"):
        allowed = harmless.count(tag)
        assert page.count(tag) == allowed, tag
    assert [row[1] for row in table(tmp_path)] == ["A"]


@pytest.mark.parametrize("text", ["<b>M</b>", "M | N", "M [x](y)"])
def test_a_hostile_name_stays_in_its_cell(tmp_path, text):
    put(tmp_path, text, 3.0)
    (row,) = table(tmp_path)
    assert row[0] == "1"
    assert row[3] == "3"
    assert "<b>" not in html(tmp_path)


def test_a_link_cannot_leave_its_brackets(tmp_path):
    put(tmp_path, "A", 3.0, url="https://example.org/a)|<script>")
    assert "<script" not in html(tmp_path)
    assert len(table(tmp_path)[0]) == len(get_protocol("aflw2000/pose").board[:1]) + 6


def test_pages_are_the_same_bytes_every_time(tmp_path):
    for number in range(20):
        put(tmp_path, f"M{number}", float(number % 7))
    assert render_pages(tmp_path) == render_pages(tmp_path)


def test_check_names_a_page_that_is_stale_or_missing(tmp_path):
    put(tmp_path, "A", 3.0)
    for name, text in render_pages(tmp_path).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert check_pages(tmp_path) == []
    put(tmp_path, "A", 2.0)
    (tmp_path / "README.md").unlink()
    stale, missing = sorted(check_pages(tmp_path), reverse=True)
    assert "differs from its entries" in stale
    assert "README.md: missing" in missing


def unversioned(signature: str) -> dict[str, str]:
    """A later facebench must give the same numbers; that it says so is no difference."""
    return {key: value for key, value in Signature.parse(signature).fields.items() if key != "facebench"}


class TestOwnLeaderboards:
    """The leaderboards of this repository."""

    FOLDER = REPOSITORY / "leaderboards"

    def test_are_valid_and_current(self):
        assert check_pages(self.FOLDER) == []

    def test_have_the_paper_s_rows_in_their_places(self):
        entries = {entry.method: entry for entry in load_entries(self.FOLDER, "aflw2000")}
        (pose,) = entries["MNN"].results
        assert {one.metric: one.value for one in pose.values} == {
            "mae/raw-xyz": 3.83,
            "mae-yaw/raw-xyz": 3.34,
            "mae-pitch/raw-xyz": 4.69,
            "mae-roll/raw-xyz": 3.48,
        }
        (points,) = entries["MNN+ORB"].results
        assert points.protocol == "aflw2000/landmarks-reannotated"
        assert [(one.group, one.value) for one in points.values] == [("balanced", 2.58)]

    @pytest.mark.parametrize(
        "method",
        ["2DASL", "Zero pose (constant)", "Mean pose (constant)", "Mean shape in the box (constant)"],
    )
    def test_computed_rows_are_what_scoring_gives_today(self, method, genuine, two_dasl, tmp_path):
        dataset = facebench.open_dataset(genuine)
        entries = {entry.method: entry for entry in load_entries(self.FOLDER, "aflw2000")}
        computed = [claim for claim in entries[method].results if claim.status != "reported"]
        assert computed
        for claim in computed:
            path = two_dasl
            if claim.status == "reproduced":
                path = tmp_path / "p.h5"
                predict_baseline(claim.command.split("--model ")[1], dataset, path)
            today = facebench.score(path, claim.protocol, dataset, missing=claim.result.missing)
            assert unversioned(today.signature) == unversioned(claim.result.signature)
            for one in claim.result.scores:
                found = today.get(one.metric, one.group)
                assert (found.value, found.low, found.high) == pytest.approx(
                    (one.value, one.low, one.high), abs=2e-6
                )


def test_a_computed_row_without_the_headline_is_no_best_row(tmp_path, drawn):
    predict_baseline("zero-pose", facebench.open_dataset(drawn), tmp_path / "p.h5")
    result = facebench.score(tmp_path / "p.h5", "aflw2000/pose", drawn)
    others = [one for one in result.scores if one.metric != "mae/raw-xyz"]
    found = result.model_copy(update={"scores": others, "complete": True})
    claim = {"status": "rescored", "result": found}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    assert table(tmp_path)[0][:2] == ["–", "Zero"]
    assert "Best rescored" not in render_pages(tmp_path)[PAGE]


def test_a_table_begins_with_its_best_rows(tmp_path, genuine):
    put(tmp_path, "Ash", 3.0)
    put(tmp_path, "Birch", 2.0, ranked=False)
    predict_baseline("zero-pose", facebench.open_dataset(genuine), tmp_path / "p.h5")
    result = facebench.score(tmp_path / "p.h5", "aflw2000/pose", genuine)
    claim = {"status": "reproduced", "result": result, "command": "facebench predict `x`"}
    add_result(tmp_path, Entry.model_validate({"dataset": "aflw2000", "method": "Zero", "results": [claim]}))
    section = render_pages(tmp_path)[PAGE].split("\n## ")[1]
    assert "- Best reported: **3** Ash; as published, without predictions." in section
    made = re.search(r"- Best that anyone can make again: \*\*17\.875\*\* \(.*\) Zero; by (.*)\.", section)
    assert made
    assert made[1] == "`` facebench predict `x` ``"


LEFT_OUT = "dataset,method,year,what,metric,value,source,reason\n"


def test_what_is_left_out_is_listed_by_its_reason(tmp_path):
    put(tmp_path, "A", 3.0)
    lines = [
        "WFLW,A|B,2018,98 points,NME,4.60,a paper,No such dataset.",
        "AFLW,C,,dense,NME,1,a log,Other points.",
    ]
    (tmp_path / "left-out.csv").write_text(LEFT_OUT + "\n".join(lines) + "\n", encoding="utf-8")
    page = render_pages(tmp_path)[Path("left-out.md")]
    assert "## No such dataset." in page
    assert r"| WFLW | A\|B | 2018 | 98 points | NME | 4.60 | a paper |" in page
    assert "[left out](left-out.md)" in render_pages(tmp_path)[Path("README.md")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("WFLW,A,2018,98 points,NME,4.60,a paper,", "line 2: reason"),
        ("WFLW,A,2018,98 points,NME,4.60,a paper,why,more", "line 2"),
        ("WFLW,A", "line 2: value"),
    ],
)
def test_a_line_of_what_is_left_out_that_is_wrong_is_named(tmp_path, line, message):
    put(tmp_path, "A", 3.0)
    (tmp_path / "left-out.csv").write_text(f"{LEFT_OUT}{line}\n", encoding="utf-8")
    with pytest.raises(InvalidData, match=re.escape(message)) as caught:
        render_pages(tmp_path)
    assert "Its columns are dataset, method" in str(caught.value)


def test_the_errata_page_is_there_before_the_first_erratum(tmp_path):
    put(tmp_path, "A", 3.0)
    assert "No value has been corrected so far." in render_pages(tmp_path)[Path("errata.md")]


def test_a_reported_value_that_was_corrected_is_kept(tmp_path):
    put(tmp_path, "A", 3.0, superseded=[{"value": 3.3, "because": "Read from the wrong row."}])
    page = render_pages(tmp_path)[Path("errata.md")]
    assert "| `aflw2000/pose` | A | reported | 3.3 | 3 | Read from the wrong row. |  |" in page

"""The static site: whole, the same every time, and alive in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from facebench.errors import UsageError
from facebench.leaderboard import slug
from facebench.leaderboard.site import MARKER, render_site, write_site

REPOSITORY = Path(__file__).parents[2] / "leaderboards"
POSE = "aflw2000/pose.html"
# Written at the end of a page, it does something and leaves what it saw in the title.
PROBE = "<script src='probe.js'></script></body>"


def put(folder: Path, method: str, value: float, **facts: object) -> None:
    claim = {
        "status": "reported",
        "protocol": "aflw2000/pose",
        "values": [{"metric": "mae/raw-xyz", "value": value}],
        "source": facts.pop("source", "a paper"),
        "training_data": facts.pop("training_data", None),
        "notes": facts.pop("notes", []),
    }
    if apart := facts.pop("apart", None):
        claim["apart"] = apart
    entry = {"dataset": "aflw2000", "method": method, "results": [claim], **facts}
    path = folder / "entries" / "aflw2000" / f"{slug(method)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry), encoding="utf-8")


@pytest.fixture
def small(tmp_path):
    for method, value, year, training in (
        ("Ash", 4.5, 2019, "300W-LP"),
        ("Birch", 10.25, 2018, "300W-LP"),
        ("Cedar", 3.75, 2021, "AFLW"),
        ("Fir", 9.5, 2020, None),
    ):
        put(tmp_path / "boards", method, value, year=year, training_data=training)
    write_site(tmp_path / "boards", tmp_path / "site")
    return tmp_path / "site"


def do(browser, site: Path, script: str, address: str = POSE, query: str = "") -> str:
    """Run a script on a page of the site, and return what it leaves in the title."""
    page = site / address
    text = page.read_text(encoding="utf-8")
    probed = page.with_name("probed.html")
    probed.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    page.with_name("probe.js").write_text(script, encoding="utf-8")
    dom, said = browser.dom(f"{probed.as_uri()}{query}")
    assert "CONSOLE" not in said, said
    found = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert found
    return found[1]


SHOWN = """
const shown = () => [...document.querySelectorAll('table.board tbody tr')]
  .filter((row) => !row.hidden).map((row) => row.dataset.method).join(' ');
const heads = [...document.querySelectorAll('thead button')];
const head = (text) => heads.find((one) => one.textContent.startsWith(text));
"""


def test_a_click_on_a_heading_sorts_by_number_and_a_third_restores_the_ranks(browser, small):
    script = (
        SHOWN
        + "const seen = [shown()]; for (const _ of [1, 2, 3]) { head('year').click(); seen.push(shown()); }"
    )
    assert do(browser, small, script + "document.title = seen.join(', ');") == (
        "Cedar Ash Fir Birch, Cedar Fir Ash Birch, Birch Ash Fir Cedar, Cedar Ash Fir Birch"
    )
    script = SHOWN + "head('MAE raw').click(); head('MAE raw').click(); document.title = shown();"
    assert do(browser, small, script) == "Birch Fir Ash Cedar"


def test_what_is_missing_comes_last_in_either_direction(browser, small):
    click = "head('training').click();"
    assert do(browser, small, f"{SHOWN}{click} document.title = shown();").endswith("Fir")
    assert do(browser, small, f"{SHOWN}{click}{click} document.title = shown();").endswith("Fir")


def test_rows_are_filtered_by_status_training_data_and_name(browser, small):
    act = """
    const form = document.querySelector('form.filters');
    const set = (change) => {
      form.reset(); change(form); form.dispatchEvent(new Event('input')); return shown();
    };
    document.title = [
      set((f) => { f.elements.training.value = '300W-LP'; }),
      set((f) => { f.elements.q.value = 'ASH'; }),
      set((f) => { f.querySelector('[value=reported]').checked = false; }) || 'none',
      form.querySelector('output').value,
      set(() => {}),
    ].join(', ');
    """
    expected = "Ash Birch, Ash, none, 0 of 4 rows, Cedar Ash Fir Birch"
    assert do(browser, small, SHOWN + act) == expected


def test_rows_whose_training_data_are_not_stated_can_be_found(browser, small):
    query = "?training=-"
    assert do(browser, small, SHOWN + "document.title = shown();", query=query) == "Fir"


def test_methods_are_found_by_name(browser, small):
    script = """
    const form = document.querySelector('form.filters');
    form.elements.q.value = 'C'; form.dispatchEvent(new Event('input'));
    document.title = `${shown()}: ${form.querySelector('output').value}`;
    """
    assert do(browser, small, SHOWN + script, "methods/index.html") == "Birch Cedar: 2 of 4 rows"


def test_methods_of_one_paper_lead_to_each_other(tmp_path):
    for method, paper in (("Ash", "One"), ("Ash+", "One"), ("Fir", "Two")):
        put(tmp_path, method, 3.0, paper=paper)
    pages = {str(name): text for name, text in render_site(tmp_path)}
    assert 'Of the same paper: <a href="ash-plus.html">' in pages["methods/ash.html"]
    assert "Of the same paper" not in pages["methods/fir.html"]


def test_an_address_brings_back_what_was_chosen(browser, small):
    query = "?training=300W-LP&sort=2d"
    assert do(browser, small, SHOWN + "document.title = shown();", query=query) == "Ash Birch"
    query = "?sort=99x&status=&q=%3Cscript%3E"
    assert do(browser, small, SHOWN + "document.title = shown() || 'none';", query=query) == "none"


def test_a_permalink_shows_its_row_whatever_is_filtered(browser, small):
    script = (
        SHOWN
        + """
    const row = document.getElementById(location.hash.slice(1));
    document.title = `${row.dataset.method}: ${shown()}`;
    """
    )
    query = "?q=cedar#birch-reported"
    assert do(browser, small, script, query=query) == "Birch: Cedar Ash Fir Birch"


def test_links_within_the_site_lead_somewhere(small):
    for page in small.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r'(?:href|src)="([^"]+)"', text):
            if address.startswith(("http:", "https:", "data:")):
                continue
            name, _, anchor = address.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.is_file(), f"{page}: {address}"
            if anchor:
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), f"{page}: {address}"


@pytest.mark.parametrize(
    "page", ["index.html", POSE, "methods/index.html", "methods/mnn-s.html", "errata.html"]
)
def test_a_browser_shows_the_pages_without_complaints(browser, page, tmp_path_factory):
    site = tmp_path_factory.getbasetemp() / "whole-site"
    if not site.exists():
        write_site(REPOSITORY, site)
    for width, dark in ((1280, False), (390, True)):
        picture, said = browser.picture((site / page).as_uri(), width, dark=dark)
        assert "CONSOLE" not in said
        with Image.open(picture) as shown:
            light = sum(shown.convert("L").resize((1, 1)).tobytes())
            assert (light < 100) == dark
            assert len(set(shown.convert("L").tobytes())) > 40  # it is not a blank page


@pytest.mark.parametrize("page", ["index.html", POSE, "methods/ash.html"])
def test_a_narrow_screen_never_scrolls_sideways(browser, small, page):
    frame = small / "frame.html"
    frame.write_text(f"<!doctype html><iframe src='{page}' style='width:360px;height:600px'></iframe>")
    inside = small / page
    check = "document.title = document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'scrolls';"
    text = inside.read_text(encoding="utf-8")
    (inside.with_name("probe.js")).write_text(
        check + "document.documentElement.style.background = document.title === 'fits' ? '#0f0' : '#f00';"
        "document.body.replaceChildren(); document.body.style.background = 'none';"
    )
    inside.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    picture, _ = browser.picture(frame.as_uri(), 800)
    with Image.open(picture) as shown:
        assert shown.convert("RGB").getpixel((200, 300)) == (0, 255, 0)


class Tags(HTMLParser):
    """Counts the tags of a page, and keeps its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        self.words: list[str] = []
        self.events = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.events += sum(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.words.append(data)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "=HYPERLINK(1)",
    "\u202eright to left\u202c",
    "$x_1^2$ \\input{x} **b**",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_not_executed(tmp_path, text):
    def site(words):
        folder = tmp_path / words[:1]
        put(folder, words, 3.0, training_data=words, source=words, notes=[words], paper=words)
        put(folder, "Other", 4.0, apart=words, source=words, notes=[words])
        return dict(render_site(folder))

    plain, hostile = site("harmless"), site(text)
    for name, page in hostile.items():
        if name.suffix != ".html":
            continue
        twin = name if name in plain else Path("methods/harmless.html")
        harmless, found = Tags(plain[type(name)(twin)]), Tags(page)
        assert found.seen == harmless.seen, name
        assert found.events == 0
    shown = "".join(Tags(next(page for name, page in hostile.items() if str(name) == POSE)).words)
    assert " ".join(text.split()) in " ".join(shown.split())


def test_names_cannot_run_in_a_browser(browser, tmp_path):
    for number, text in enumerate(HOSTILE[:4]):
        put(tmp_path / "boards", text, 3.0 + number, training_data=text, notes=[text], year=2000 + number)
    write_site(tmp_path / "boards", tmp_path / "site")
    script = "document.title = document.querySelectorAll('table.board tbody tr').length;"
    assert do(browser, tmp_path / "site", script) == "4"


def test_the_site_is_the_same_bytes_every_time():
    assert dict(render_site(REPOSITORY)) == dict(render_site(REPOSITORY))


def test_each_table_is_there_for_other_programs(small):
    rows = list(csv.DictReader(io.StringIO((small / "aflw2000/pose.csv").read_text(encoding="utf-8"))))
    assert [row["method"] for row in rows] == ["Cedar", "Ash", "Fir", "Birch"]
    assert json.loads((small / "aflw2000/pose.json").read_text(encoding="utf-8"))["rows"][0]["values"] == [
        3.75
    ]
    assert r"\begin{tabular}" in (small / "aflw2000/pose.tex").read_text(encoding="utf-8")


def test_an_earlier_site_is_replaced_and_nothing_else(small, tmp_path):
    (small / "stale.html").write_text("old", encoding="utf-8")
    write_site(tmp_path / "boards", small)
    assert not (small / "stale.html").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["boards", "site"]
    (small / MARKER).unlink()
    with pytest.raises(UsageError, match="not an empty folder"):
        write_site(tmp_path / "boards", small)
    assert (small / "index.html").is_file()


def test_a_broken_entry_leaves_the_earlier_site(small, tmp_path):
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    (tmp_path / "boards" / "entries" / "aflw2000" / "ash.json").write_text("{", encoding="utf-8")
    with pytest.raises(Exception, match=r"ash\.json"):
        write_site(tmp_path / "boards", small)
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before

"""The HTML report: what it shows, that it asks no host for anything, and that it is the same each time."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from facebench.datasets import prepare
from facebench.errors import UsageError
from facebench.formats import Predictions, open_dataset
from facebench.formats.content import AnnotationSet
from facebench.geometry import VISIBILITY
from facebench.protocols import measure, protocols_of
from facebench.report import Curve, Report, render_report, write_report
from tests.protocols import hand_made

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"
HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}$x_"


@pytest.fixture(scope="module")
def dataset(drawn):
    return open_dataset(drawn)


def guess(dataset, method, noise, **more):
    rng = np.random.default_rng(1)
    truth = dataset.annotations["original"].points
    given = {"landmarks": truth + rng.normal(0, noise, truth.shape), "rotation": dataset.rotation, **more}
    return Predictions(dataset="aflw2000", method=method, ids=list(dataset.ids), scheme="ibug68", **given)


def page(dataset, *predictions, protocols=(POSE, ORIGINAL), **more):
    return render_report(Report(list(predictions), dataset, list(protocols), resamples=50, faces=3, **more))


class Addresses(HTMLParser):
    """Collects what a page would ask for, and its tags and text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.tags, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
                self.found.append(value or "")
            self.found += re.findall(r"url\(\s*['\"]?([^)'\"]*)", value or "")

    def handle_data(self, data):
        self.text.append(data)
        if self.tags and self.tags[-1] == "style":
            assert "@import" not in data
            self.found += re.findall(r"url\(\s*['\"]?([^)'\"]*)", data)


def test_a_report_shows_numbers_curves_and_faces(dataset):
    text = page(dataset, guess(dataset, "mine", 3.0), command="facebench report mine.h5")
    read = Addresses(text)
    words = " ".join(read.text)
    for expected in (
        "Head pose", "68 points, original labels", "metric:mae/raw-xyz", "group:balanced",
        "Error against yaw",
        "Confusion of yaw, mine", "Heat map of the face, mine", "facebench report mine.h5",
        "Made by facebench",
        "licences of face datasets forbid", dataset.sha256,
    ):  # fmt: skip
        assert expected in words
    assert read.tags.count("img") == 2 * 2 * 3
    assert "Against" not in words


def test_nothing_outside_is_asked_for(dataset):
    text = page(dataset, guess(dataset, "mine", 3.0), guess(dataset, "other", 2.0))
    read = Addresses(text)
    assert read.found
    assert all(one.startswith(("#", "data:")) for one in read.found)
    assert "script" not in read.tags
    assert not re.search(r"https?://", text)


def test_the_same_inputs_give_the_same_bytes(dataset, tmp_path):
    made = Report([guess(dataset, "mine", 3.0)], dataset, [POSE, ORIGINAL], resamples=50, faces=2)
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, made)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_names_are_shown_as_they_are(dataset):
    text = page(dataset, guess(dataset, HOSTILE, 3.0), guess(dataset, "<blink>", 2.0), command=HOSTILE)
    read = Addresses(text)
    assert not {"script", "blink"} & set(read.tags)
    assert HOSTILE in "".join(read.text)
    assert "<blink>" in "".join(read.text)


def test_ids_are_shown_as_they_are(tmp_path):
    cofw = occluded_faces(tmp_path, [f"face{number:02}<img src=x>" for number in range(30)])
    text = page(cofw, seer(cofw, "soft"), protocols=["cofw/visibility-cofw29"], images=False)
    read = Addresses(text)
    assert "img" not in read.tags
    assert "<img src=x>" in "".join(read.text)


def test_without_images_there_is_none(dataset):
    text = page(dataset, guess(dataset, "mine", 3.0), images=False)
    assert "<img" not in text
    assert "data:image" not in text
    assert "may be passed on" in text
    assert dataset.ids[0][:5] in text


def test_several_methods_are_compared_with_the_first(dataset):
    base, better = guess(dataset, "base", 6.0), guess(dataset, "better one", 2.0)
    text = page(dataset, base, better, protocols=[ORIGINAL])
    assert "Against base" in text
    assert 'class="left better">better' in text
    other = replace(better, method="boxed", box="mtcnn")
    text = page(dataset, base, better, other, protocols=[ORIGINAL])
    assert "cannot be compared, their signatures differ in box: unstated and mtcnn" in text
    assert 'class="left better">better' in text
    with pytest.raises(UsageError, match="the same method 'base'"):
        page(dataset, base, base)


def test_a_method_has_its_colour_wherever_it_is(dataset):
    """The second of the files has no points: the third keeps its number in the plots of points."""
    turned = replace(guess(dataset, "turned", 3.0), landmarks=None, scheme=None)
    text = page(
        dataset, guess(dataset, "mine", 3.0), turned, guess(dataset, "third", 2.0), protocols=[ORIGINAL]
    )
    plots = text[text.index("<h3>Errors</h3>") : text.index("<h3>Faces</h3>")]
    legend, drawn = plots.split("</ul>", 1)
    for shown in (legend, drawn):
        assert set(re.findall(r"var\(--m(\d)\)", shown)) == {"0", "2"}


def test_curves_of_others_are_behind_those_of_the_methods(dataset):
    mine = guess(dataset, "mine", 3.0)
    signature = str(measure(mine, ORIGINAL, dataset).signature)
    x, y = np.array([0.0, 9.0]), np.array([0.0, 90.0])
    known = Curve("known", x, y, "leaderboards", ORIGINAL, "nme/box-sqrt", signature)
    changed = re.sub("truth:[0-9a-f]+", "truth:00000000", signature)
    behind = [
        known,
        replace(known, name="relabelled", signature=changed),
        Curve(HOSTILE, x, y, "curves", ORIGINAL, "nme/box-sqrt"),
        Curve("elsewhere", x, y, "curves", POSE, "geodesic"),
    ]
    text = page(dataset, mine, protocols=[ORIGINAL], behind=behind)
    read = Addresses(text)
    words = " ".join(read.text)
    assert "read, not computed here; from leaderboards: known; from curves: " + HOSTILE in words
    assert "Not drawn, since the labels or points differ: relabelled." in words
    assert "elsewhere" not in words
    assert text.count("stroke: var(--behind)") >= 2
    assert "script" not in read.tags


def test_faces_without_a_prediction(dataset):
    mine = guess(dataset, "mine", 3.0)
    mine.landmarks[[0, 3]] = np.nan
    for missing, expected in (("fail", "counted as failures"), ("exclude", "left out")):
        assert expected in page(dataset, mine, protocols=[ORIGINAL], missing=missing)


def test_rendered_faces_have_all_three_kinds(tmp_path):
    rendered = open_dataset(prepare("rendered", [], tmp_path / "rendered.h5", faces=20, seed=2).path)
    truth, rng = rendered.annotation("truth"), np.random.default_rng(0)
    seen = truth.visibility == VISIBILITY["visible"]
    mine = Predictions(
        dataset="rendered", method="mine", ids=list(rendered.ids), scheme="ibug68",
        landmarks=truth.points + rng.normal(0, 2, truth.points.shape), rotation=rendered.rotation,
        visibility=np.clip(seen + rng.normal(0, 0.4, seen.shape), 0, 1),
    )  # fmt: skip
    names = [one.name for one in protocols_of("rendered")]
    words = " ".join(Addresses(page(rendered, mine, protocols=names)).text)
    for expected in ("Confusion of yaw", "discs those of points", "Precision and recall", "a cross one that"):
        assert expected in words
    assert "not comparable with published numbers" in words


def test_points_of_another_scheme(dataset):
    full = guess(dataset, "full", 3.0)
    few = Predictions(
        dataset="aflw2000", method="few", ids=list(dataset.ids), scheme="aflw19",
        landmarks=np.random.default_rng(0).uniform(0, 400, (len(dataset), 19, 2)),
    )  # fmt: skip
    text = page(dataset, full, few, protocols=[ORIGINAL])
    assert "A ring is a point that is not scored" in text


def occluded_faces(folder, ids):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (30, 29, 2))
    states = np.where(rng.uniform(size=(30, 29)) < 0.3, VISIBILITY["occluded"], VISIBILITY["visible"])
    labels = {"cofw29": AnnotationSet("cofw29", points, states.astype(np.uint8))}
    splits = {"test": np.arange(30)}
    return hand_made.write(folder / "cofw.h5", "cofw", ids, annotations=labels, splits=splits)


def seer(dataset, name, hard=False):
    hidden = dataset.annotations["cofw29"].visibility == VISIBILITY["occluded"]
    v = np.clip(np.random.default_rng(5).normal(0.7 - 0.4 * hidden, 0.25), 0, 1)
    return Predictions(
        dataset="cofw", method=name, ids=list(dataset.ids), scheme="cofw29",
        visibility=np.round(v) if hard else v,
        landmarks=dataset.annotations["cofw29"].points + 1.0,
    )  # fmt: skip


def test_visibility_has_a_curve_and_another_scheme_bars(tmp_path):
    cofw = occluded_faces(tmp_path, [f"face{number:02}" for number in range(30)])
    both = [seer(cofw, "soft"), seer(cofw, "hard", hard=True)]
    text = page(cofw, *both, protocols=["cofw/visibility-cofw29", "cofw/landmarks-cofw29"])
    assert "Precision and recall" in text
    assert "80 % precision" in text
    assert "points wrong" in text
    assert "Error of each part of the face" in text
    assert "Heat map of the face" in text
    assert "discs those of points" not in text


@pytest.mark.parametrize(("name", "message"), [("r.pdf", "ends in .html"), ("folder.html", "is a folder")])
def test_bad_places_are_refused(dataset, tmp_path, name, message):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match=message):
        write_report(tmp_path / name, Report([], dataset, []))


@pytest.fixture(scope="module")
def wide_page(dataset, tmp_path_factory):
    """A page of two methods, one with a long name, and curves behind."""
    both = [guess(dataset, "mine", 3.0), guess(dataset, "another method " * 8, 2.0)]
    curve = Curve("behind", np.array([0.0, 9.0]), np.array([0.0, 90.0]), "curves", ORIGINAL, "nme/box-sqrt")
    path = tmp_path_factory.mktemp("page") / "r.html"
    write_report(path, Report(both, dataset, [POSE, ORIGINAL], resamples=20, faces=2, behind=[curve]))
    return path


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_it_without_complaints(wide_page, browser, width, dark):
    picture, said = browser.picture(wide_page.as_uri(), width, dark=dark)
    assert "CONSOLE" not in said
    with Image.open(picture) as shown:
        assert shown.width == width
        assert len(set(shown.convert("L").tobytes())) > 50  # it is not a blank page
        assert (shown.convert("L").getpixel((2, 2)) < 60) == dark


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_no_wider_than_its_window(wide_page, ask, width):
    found = ask(wide_page, width)
    assert found["window"] == width
    assert found["page"] <= width


def test_a_browser_loads_nothing_for_it(wide_page, ask):
    assert [one for one in ask(wide_page, 1280)["loaded"] if not one.startswith("data:")] == []


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_the_paper(wide_page, ask, dark):
    """Contrast of at least 4.5 to 1, as WCAG 2 asks for."""
    found = ask(wide_page, 1280, dark=dark)
    assert found["dark"] == dark
    assert len(found["words"]) > 200
    assert {text for text, contrast in found["words"] if contrast < 4.5} == set()

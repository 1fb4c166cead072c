"""The figures of a report as files: what is in them, and that it is the same each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.text import Text
from PIL import Image

from facebench.errors import FacebenchError, InvalidData, UsageError
from facebench.formats import Predictions, open_dataset
from facebench.formats.content import AnnotationSet
from facebench.geometry import VISIBILITY
from facebench.report import Curve, Report, plots, write_figures
from tests.protocols import hand_made
from tests.report.test_page import seer

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"
NAMES = ("<script>alert(1)</script>&\"'", "$x$ {0} \\\\frac", "_x", "line\nbreak \x00", "顔" * 90)


@pytest.fixture(scope="module")
def dataset(drawn):
    return open_dataset(drawn)


def guess(dataset, method, noise=3.0):
    truth = dataset.annotations["original"].points
    points = truth + np.random.default_rng(1).normal(0, noise, truth.shape)
    return Predictions(
        dataset="aflw2000", method=method, ids=list(dataset.ids), scheme="ibug68",
        landmarks=points, rotation=dataset.rotation,
    )  # fmt: skip


def report(dataset, *predictions, protocols=(POSE, ORIGINAL), **more):
    return Report(list(predictions), dataset, list(protocols), resamples=0, **more)


def behind(name="behind"):
    return Curve(name, np.array([0.0, 9.0]), np.array([0.0, 90.0]), "curves", ORIGINAL, "nme/box-sqrt")


def words(path):
    return [one.text or "" for one in ET.parse(path).iter() if one.tag.endswith("}text")]


def two(dataset):
    both = [guess(dataset, "mine"), guess(dataset, "the other", 5.0)]
    return report(dataset, *both, behind=[behind()])


@pytest.fixture(scope="module")
def written(dataset, tmp_path_factory):
    """The figures of two methods, by what they are written as."""
    folder = tmp_path_factory.mktemp("figures")
    return {kind: write_figures(folder / kind, two(dataset), kind) for kind in ("svg", "png")}


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_each_figure_is_a_file_with_a_telling_name(written, kind):
    assert [path.name.removesuffix(f".{kind}") for path in written[kind]] == [
        "aflw2000-pose.cumulative-error-mae-raw-xyz",
        "aflw2000-pose.cumulative-error-geodesic",
        "aflw2000-pose.error-against-yaw",
        "aflw2000-pose.confusion-of-yaw.mine",
        "aflw2000-pose.confusion-of-yaw.the-other",
        "aflw2000-landmarks-original.cumulative-error-nme-box-sqrt",
        "aflw2000-landmarks-original.error-of-each-part-of-the-face",
        "aflw2000-landmarks-original.heat-map-of-the-face.mine",
        "aflw2000-landmarks-original.heat-map-of-the-face.the-other",
    ]
    assert sorted(written[kind]) == sorted(written[kind][0].parent.iterdir())


def test_an_svg_needs_no_other_file(written):
    for path in written["svg"]:
        text = path.read_text(encoding="utf-8")
        assert "protocol:aflw2000/" in text
        assert "<!DOCTYPE" not in text
        assert "var(--" not in text
        for one in ET.fromstring(text).iter():
            assert not one.tag.endswith(("}script", "}image", "}foreignObject"))
            for name, value in one.attrib.items():
                assert not name.endswith(("href", "resource")) or value.startswith("#")
                assert all(found == "#" for found in re.findall(r"url\((.)", value))


def test_a_png_is_on_white_and_holds_its_signatures(written):
    for path in written["png"]:
        with Image.open(path) as picture:
            assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            assert "protocol:aflw2000/" in picture.text["Description"]


def test_each_figure_names_what_it_shows_and_of_whom(written):
    for path in written["svg"]:
        named = [name for name in ("mine", "the other") if name in words(path)]
        assert named in (["mine", "the other"], [path.stem.split(".")[-1].replace("-", " ")])
        text = " ".join(words(path))
        assert re.search(r"aflw2000/\S+, version 1, 3[46] faces\.", text)
        assert ("were read, not computed here" in text) == ("nme-box-sqrt" in path.name)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_inputs_give_the_same_bytes_whatever_the_user_has_set(dataset, written, tmp_path, kind):
    with rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "text.usetex": True}):
        again = write_figures(tmp_path, two(dataset), kind)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written[kind]]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_names_are_shown_as_they_are(dataset, tmp_path, kind):
    methods = [guess(dataset, name) for name in NAMES]
    curves = [behind(name) for name in NAMES]
    paths = write_figures(tmp_path, report(dataset, *methods, behind=curves, protocols=[ORIGINAL]), kind)
    assert len(paths) == 2 + len(NAMES)
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) for path in paths)
    if kind == "svg":
        found = words(paths[0])
        for name in NAMES[:3]:
            assert found.count(plots.shown(name)) >= 1
            assert plots.shown(name, plots.LETTERS) in found
        assert "line?break ?" in found
        assert any(re.fullmatch("顔+…顔+", text) for text in found)
        assert not [one.tag for one in ET.parse(paths[0]).iter() if one.tag.endswith("script")]


def test_methods_whose_names_make_the_same_file_have_one_each(dataset, tmp_path):
    methods = [guess(dataset, name) for name in ("a b", "a-b", "a_b")]
    paths = write_figures(tmp_path, report(dataset, *methods, protocols=[ORIGINAL]))
    assert len({path.name for path in paths}) == len(paths) == 2 + 3


def test_one_face_is_enough(tmp_path):
    states = np.full((1, 29), VISIBILITY["visible"], np.uint8)
    states[0, :9] = VISIBILITY["occluded"]
    points = np.random.default_rng(0).uniform(0, 100, (1, 29, 2))
    one = hand_made.write(
        tmp_path / "cofw.h5", "cofw", ["face"], splits={"test": np.arange(1)},
        annotations={"cofw29": AnnotationSet("cofw29", points, states)},
    )  # fmt: skip
    protocols = ["cofw/landmarks-cofw29", "cofw/visibility-cofw29"]
    paths = write_figures(tmp_path / "png", report(one, seer(one, "soft"), protocols=protocols), "png")
    assert any("precision-and-recall" in path.name for path in paths)
    for path in paths:
        Image.open(path).load()


def test_without_any_prediction_there_is_one_message_and_no_file(dataset, tmp_path):
    nothing = guess(dataset, "nothing")
    nothing.landmarks[:] = np.nan
    with pytest.raises(InvalidData, match="none of its faces has a prediction"):
        write_figures(tmp_path, report(dataset, nothing, protocols=[ORIGINAL], missing="exclude"))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_message(dataset, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FacebenchError, match="file"):
        write_figures(tmp_path / "file", report(dataset, guess(dataset, "mine"), protocols=[ORIGINAL]))
    with pytest.raises(UsageError, match="the same method"):
        write_figures(tmp_path, report(dataset, guess(dataset, "mine"), guess(dataset, "mine")))


def test_a_curve_ends_where_it_was_cut_off(tmp_path):
    """Nothing is drawn beyond the last point of a published curve, nor before its first."""
    cut = replace(behind(), errors=np.array([2.0, 3.0, 5.0]), shares=np.array([10.0, 40.0, 80.0]))
    figure = plots.draw_cumulative({0: np.linspace(1, 8, 50)}, [8.0], "NME, %", behind=[cut])
    (line,) = [one for one in figure.axes[0].lines if one.get_color() == plots.LIGHT["behind"]]
    assert 2 <= min(line.get_xdata()) <= max(line.get_xdata()) <= 5
    assert np.allclose(line.get_ydata(), np.interp(line.get_xdata(), cut.errors, cut.shares))


def test_the_names_at_the_ends_do_not_cover_each_other():
    curves = [replace(behind(), name=f"m{j}", shares=np.array([0.0, 90.0 + j / 10])) for j in range(30)]
    figure = plots.draw_cumulative({0: np.linspace(1, 8, 50)}, [8.0], "NME, %", behind=curves)
    figure.draw_without_rendering()
    texts = [one for one in figure.axes[0].texts if one.get_text().startswith("m")]
    boxes = sorted(Text.get_window_extent(one).intervaly.tolist() for one in texts)  # without the line to it
    assert len(boxes) == 30
    assert all(low[1] <= high[0] for low, high in pairwise(boxes))
    assert [one.get_text() for one in texts] == [f"m{j}" for j in reversed(range(30))]


def test_colours_are_told_apart_by_their_values():
    for palette in (plots.LIGHT, plots.DARK):
        assert set(palette) == set(plots.LIGHT)
    assert len(set(plots.LIGHT.values())) == len(plots.LIGHT)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_browser_shows_a_figure_without_complaints(browser, dataset, tmp_path, kind):
    made = report(dataset, guess(dataset, NAMES[0]), protocols=[ORIGINAL])
    path = write_figures(tmp_path, made, kind)[0]
    picture, said = browser.picture(path.as_uri(), 800)
    assert "CONSOLE" not in said
    with Image.open(picture) as shown:
        assert len(set(shown.convert("L").tobytes())) > 20


@pytest.mark.parametrize(
    ("values", "lower", "expected"),
    [
        ([5.0, 6.0, 4.0, 4.0, 3.0], True, [True, False, True, False, True]),
        ([5.0, 6.0, 4.0, 6.0, 7.0], False, [True, True, False, False, True]),
        ([5.0], True, [True]),
    ],
)
def test_a_record_is_better_than_all_before_it(values, lower, expected):
    assert plots.records(values, lower) == expected

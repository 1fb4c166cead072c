"""Figures of comparisons: what they show, and that they are drawn the same each time."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from facebench.errors import FacebenchError, UsageError
from facebench.protocols import Compared, Comparison, get_protocol
from facebench.report import draw_comparisons
from facebench.report.figures import _rows

PROTOCOL = get_protocol("aflw2000/landmarks-original")


def comparison(methods=("a",), **values):
    """Compare methods that are 10 % better in every number of the board."""
    rows = []
    for key, group in PROTOCOL.board:
        sign = 1 if PROTOCOL.metric(key).better == "higher" else -1
        for method in methods:
            numbers = {
                "value": 4 + sign * 0.4, "baseline": 4.0, "difference": sign * 0.4, "low": sign * 0.4 - 0.1,
                "high": sign * 0.4 + 0.1, "p_bootstrap": 0.01, "p_randomisation": 0.01, "p_holm": 0.01,
                "better": True,
            }  # fmt: skip
            rows.append(Compared(method=method, metric=key, group=group, **{**numbers, **values}))
    return Comparison(
        protocol=PROTOCOL.name, dataset="aflw2000", baseline="base", methods=list(methods), n=36,
        signature="n:36", rows=rows, inputs={},
    )  # fmt: skip


def texts(path):
    return [one.text for one in ET.parse(path).iter() if one.tag.endswith("}text")]


def colours(path):
    with Image.open(path) as picture:
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


BETTER, WORSE, GREY = (0x1B, 0x7F, 0x4B), (0xB3, 0x26, 0x1E), (0x8A, 0x94, 0x9E)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_bytes_each_time(tmp_path, kind):
    paths = [tmp_path / f"{number}.{kind}" for number in range(2)]
    for path in paths:
        draw_comparisons([comparison(("a", "b"))], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths


def test_titles_methods_and_baseline_are_named(tmp_path):
    draw_comparisons([comparison(("a", "second method")), comparison()], tmp_path / "f.svg")
    found = texts(tmp_path / "f.svg")
    for needed in ("a", "second method", "better", "NME box-sqrt, balanced", "AUC@7"):
        assert needed in found
    assert found.count("aflw2000/landmarks-original, 36 faces") == 2


def test_every_number_of_the_board_is_a_line_in_its_order():
    found = _rows(comparison(("a", "b")))
    assert len(found) == len(PROTOCOL.board)
    assert [rows[0].metric for rows in found.values()] == [key for key, _ in PROTOCOL.board]
    assert all([row.method for row in rows] == ["a", "b"] for rows in found.values())


def test_numbers_without_a_baseline_are_left_out(tmp_path):
    assert _rows(comparison(baseline=0.0)) == {}
    draw_comparisons([comparison(baseline=0.0)], tmp_path / "f.png")
    assert _rows(comparison(baseline=None)) == {}


def test_undefined_and_infinite_numbers_are_drawn_as_nothing(tmp_path):
    nothing = {"low": math.nan, "high": math.nan, "p_holm": math.nan, "better": None}
    for number, values in enumerate(
        (
            {"value": math.inf, "difference": math.inf, **nothing},
            {"baseline": math.inf, "difference": -math.inf, **nothing},
            {"value": math.nan, "difference": math.nan, **nothing},
            {"high": math.inf},
        )
    ):
        draw_comparisons([comparison(**values)], tmp_path / f"{number}.png")


def test_an_open_interval_is_drawn_on_an_axis_that_is_not(tmp_path):
    draw_comparisons([comparison(high=math.inf)], tmp_path / "f.svg")
    assert not [text for text in texts(tmp_path / "f.svg") if text and ("inf" in text or "nan" in text)]


@pytest.mark.parametrize(("better", "colour"), [(True, BETTER), (False, WORSE), (None, GREY)])
def test_colours_say_better_worse_or_not_significant(tmp_path, better, colour):
    draw_comparisons([comparison(better=better)], tmp_path / "f.png")
    assert colour in colours(tmp_path / "f.png")


def test_more_methods_than_markers_are_drawn(tmp_path):
    draw_comparisons([comparison([f"m{number}" for number in range(11)])], tmp_path / "f.png")


@pytest.mark.parametrize("name", ["f.gif", "f", "f.png.txt", "f.PNG~"])
def test_other_endings_are_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        draw_comparisons([comparison()], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FacebenchError, match="file"):
        draw_comparisons([comparison()], tmp_path / "file" / "f.png")

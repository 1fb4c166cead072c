"""Predictions as tables and as JSON: what is missing, surplus or unreadable is named."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from facebench.errors import InvalidData
from facebench.formats import read_predictions
from tests.formats import wire

HEAD = "# dataset: d\n# method: m\n# euler_convention: raw-xyz\n"


def refused(path):
    with pytest.raises(InvalidData) as error:
        read_predictions(path)
    assert str(path) in str(error.value)
    return str(error.value)


class TestTable:
    @pytest.fixture
    def table(self, tmp_path):
        def write(text):
            path = tmp_path / "p.csv"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return path

        return write

    @pytest.mark.parametrize(
        ("columns", "named"),
        [
            ("yaw,pitch,roll", "expected a column 'id'"),
            ("ID,yaw,pitch,roll", "expected a column 'id'"),
            ("id,yaw,pitch", "columns missing or unknown: roll"),
            ("id,pitch,roll", "columns missing or unknown: "),
            ("id,yaw,pitch,roll,score", "columns missing or unknown: score"),
            ("id,yaw,yaw,pitch,roll", "columns missing or unknown: yaw"),
            ("id,yaw,pitch,roll,x0", "columns missing or unknown: y0"),
            ("id,yaw,pitch,roll,x1,y1", "columns missing or unknown: x0, x1, y0, y1"),
            ("id,yaw,pitch,roll,v1", "columns missing or unknown: v0, v1"),
            ("id,r00,r01,r02,r10,r11,r12,r20,r21", "columns missing or unknown: r22"),
            ("id,yaw,pitch,roll,", "columns missing or unknown: "),
            ("id; yaw; pitch; roll", "expected a column 'id'"),
        ],
    )
    def test_columns_missing_or_unknown_are_named(self, table, columns, named):
        row = ",".join(["1"] * (columns.count(",") + 1))
        assert named in refused(table(f"{HEAD}{columns}\n{row}\n"))

    def test_a_missing_point_of_a_scheme_is_a_wrong_shape(self, tmp_path):
        wire.write_csv(tmp_path / "p.csv", **wire.values(landmarks=np.zeros((3, 67, 2)), visibility=None))
        assert "landmarks: expected shape (3, 68, 2), found (3, 67, 2)" in refused(tmp_path / "p.csv")

    def test_words_for_numbers_are_named(self, table):
        message = refused(table(HEAD + "id,yaw,pitch,roll\na,1,2,3\nb,4,left,6\n"))
        assert "columns of euler: expected numbers" in message
        assert "left" in message

    def test_a_row_with_a_cell_too_many(self, table):
        assert "line 6" in refused(table(HEAD + "id,yaw,pitch,roll\na,1,2,3\nb,4,5,6,7\n"))

    @pytest.mark.parametrize("surplus", [",", ",7"], ids=["a trailing comma", "a further number"])
    def test_every_row_with_a_cell_too_many(self, table, surplus):
        """The cells must not be taken for those of the columns beside them."""
        rows = f"a,1,2,3{surplus}\nb,4,5,6{surplus}\n"
        refused(table(HEAD + "id,yaw,pitch,roll\n" + rows))

    def test_a_row_with_cells_too_few(self, table):
        """As at the end of a file that was cut short; an empty cell is written as such."""
        refused(table(HEAD + "id,yaw,pitch,roll\na,1,2,3\nb,4,5\n"))

    def test_a_row_without_an_id(self, table):
        assert "id" in refused(table(HEAD + "id,yaw,pitch,roll\na,1,2,3\n,4,5,6\n"))

    def test_a_table_without_rows(self, table):
        assert "id: missing or empty" in refused(table(HEAD + "id,yaw,pitch,roll\n"))

    @pytest.mark.parametrize(
        "text", ["", "\n\n", HEAD, "# dataset: d"], ids=["empty", "blank", "head", "line"]
    )
    def test_no_table(self, table, text):
        assert "not a readable table" in refused(table(text))

    def test_an_unknown_attribute(self, table):
        message = refused(table(HEAD + "# author: x\nid,yaw,pitch,roll\na,1,2,3\n"))
        assert "author: unknown; known are" in message

    @pytest.mark.parametrize(
        "text",
        [
            b"# method: caf\xe9\nid,yaw,pitch,roll\na,1,2,3\n",
            HEAD.encode() + b"id,yaw,pitch,roll\ncaf\xe9,1,2,3\n",
            (HEAD + "id,yaw,pitch,roll\na,1,2,3\n").encode("utf-16"),
        ],
        ids=["attribute", "id", "utf-16"],
    )
    def test_another_encoding_than_utf8(self, table, text):
        assert "utf-8" in refused(table(text))

    def test_an_open_quote(self, table):
        assert "not a readable table" in refused(table(HEAD + 'id,yaw,pitch,roll\n"a,1,2,3\n'))


class TestJson:
    @pytest.fixture
    def document(self, tmp_path):
        def write(text):
            path = tmp_path / "p.json"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return path

        return write

    @pytest.mark.parametrize(
        ("text", "kind"), [("[1, 2]", "list"), ('"x"', "str"), ("3", "int"), ("null", "None")]
    )
    def test_that_is_no_object(self, document, text, kind):
        assert f"expected one JSON object, found a {kind}" in refused(document(text))

    @pytest.mark.parametrize(
        "text", ["[" * 200_000, '{"id":' * 200_000, '{"id": ' + "[" * 99_000 + "]" * 99_000 + "}"]
    )
    def test_that_is_nested_without_end(self, document, text):
        refused(document(text))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            '{"id": [}',
            "{'id': []}",
            '{"dataset": ' + "9" * 5000 + "}",
            "{} {}",
            b'{"method": "caf\xe9"}',
        ],
        ids=["empty", "cut", "bracket", "quotes", "a number of 5000 digits", "two objects", "latin-1"],
    )
    def test_that_is_not_json(self, document, text):
        assert "not readable as JSON" in refused(document(text))

    def test_that_is_nested_too_deep_for_an_array(self, document):
        values = {name: np.asarray(value).tolist() for name, value in wire.values(1).items()}
        deep = 0.0
        for _ in range(200):
            deep = [deep]
        assert re.search(
            r"landmarks: expected ", refused(document(json.dumps({**values, "landmarks": deep})))
        )

"""Curves of others: what is read, and what is no curve."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from facebench.errors import DataMissing, InvalidData
from facebench.report import curve_of_errors, read_curves

OF = ("300w/landmarks", "nme/pupils-corners")


def read(tmp_path, text):
    path = tmp_path / "mine.txt"
    path.write_text(text, encoding="utf-8")
    (found,) = read_curves(path, *OF)
    return found


@pytest.mark.parametrize(
    "text",
    ["1.5 0.25\n3 0.75\n", "# error share\n\n1.5 25\n3 75", "1.5,0.25\r\n3,0.75\r\n", "1.5\t25\n3\t75\n"],
)
def test_shares_become_percent_however_they_are_written(tmp_path, text):
    found = read(tmp_path, text)
    assert (found.name, found.source, found.protocol, found.error) == ("mine", "mine.txt", *OF)
    assert found.errors.tolist() == [1.5, 3.0]
    assert found.shares.tolist() == [25.0, 75.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least two lines.*found 0"),
        ("2 0.5", "at least two lines.*found 1"),
        ("1 0.1\n2 0.2 0.3", "line 2: expected two numbers.*'2 0.2 0.3'"),
        ("error share\n1 0.1", "line 1: expected two numbers.*'error share'"),
        ("<svg>" * 99, "line 1: expected two numbers"),
        ("2 0.1\n1 0.2", "errors of the first column must"),
        ("-1 0.1\n1 0.2", "errors of the first column must"),
        ("1 0.2\n2 0.1", "shares of the second column must"),
        ("1 -0.2\n2 0.1", "shares of the second column must"),
        ("1 20\n2 101", "shares of the second column must"),
        ("1 0.1\n2 nan", "not finite"),
        ("1 0.1\ninf 0.2", "not finite"),
        ("0.01 0.1\n0.08 0.9", "end at 0.08; expected percent or degrees"),
    ],
)
def test_what_is_no_curve_is_one_message(tmp_path, text, message):
    with pytest.raises(InvalidData, match=f"mine.txt: .*{message}"):
        read(tmp_path, text)


def test_other_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "curves.zip", "w") as archive:
        archive.writestr("a.txt", "1 0.1\n2 0.2")
    with pytest.raises(InvalidData, match="no text of two columns.*Unpack"):
        read_curves(tmp_path / "curves.zip", *OF)
    with pytest.raises(DataMissing, match=r"holds no \.txt file"):
        read_curves(tmp_path, *OF)
    with pytest.raises(DataMissing, match=r"absent\.txt: cannot be read"):
        read_curves(tmp_path / "absent.txt", *OF)


def test_the_steps_of_errors_are_their_cumulative_curve():
    errors = np.array([3.0, 1.0, np.nan, 1.0, np.inf])
    x, share = curve_of_errors(errors)
    at = np.array([0.0, 0.5, 1.5, 2.9, 3.1, 99.0])
    expected = [100 * np.mean(errors[~np.isnan(errors)] <= one) for one in at]
    assert np.interp(at, x, share).tolist() == expected


def test_published_curves_are_read(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "oracles" / "ced_curves.zip") as archive:
        archive.extractall(tmp_path)
    found = {one.name: one for one in read_curves(tmp_path / "300w_public", *OF)}
    assert len(found) == 10
    assert found["valle20"].shares[-1] == pytest.approx(100 - 6.531, abs=1e-3)  # 100 - FR@8
    assert found["burgos13"].errors[-1] > 80  # not cut off

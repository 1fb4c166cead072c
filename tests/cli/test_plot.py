"""``plot``, and the curves behind it and behind ``report``, as a user draws them."""

from __future__ import annotations

import json
import zipfile

import pytest

ORIGINAL = "aflw2000/landmarks-original"
CURVE = "1.0 0.1\n6.0 0.8\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, but for curves and what is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "3dde.txt").write_text(CURVE)
    (tmp_path / "curves" / "$x$ <script>.txt").write_text(CURVE)
    (tmp_path / "text.txt").write_text("error share\n")
    with zipfile.ZipFile(tmp_path / "curves.zip", "w") as archive:
        archive.write("curves/3dde.txt")
    return tmp_path


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_each_figure_is_listed_and_written(run, drawn, mine, tmp_path):
    folder = tmp_path / "new" / "figures"
    code, out, err = run("plot", mine, "--data", drawn, "-o", folder, "--format", "png")
    assert code == 0
    assert "aflw2000/pose: not scored" in err
    assert sorted(out.splitlines()) == [str(folder / name) for name in everything_in(folder)]
    assert f"{folder / 'aflw2000-landmarks-original.error-of-each-part-of-the-face.png'}\n" in out


def test_the_list_is_json_on_request(run, drawn, mine, place):
    code, out, _ = run("plot", mine, "--data", drawn, "--protocol", ORIGINAL, "--json")
    assert code == 0
    files = json.loads(out)["files"]
    assert sorted(files) == [f"figures/{name}" for name in everything_in(place / "figures")]
    assert all(name.endswith(".svg") for name in files)


def test_published_curves_are_drawn_behind(run, drawn, mine, place):
    of = f"{ORIGINAL}:nme/box-sqrt"
    given = ("--protocol", ORIGINAL, "--behind", f"{of}=curves", "--behind", f"{of}=curves/3dde.txt")
    assert run("plot", mine, "--data", drawn, *given).code == 0
    text = (place / "figures" / "aflw2000-landmarks-original.cumulative-error-nme-box-sqrt.svg").read_text()
    assert "$x$ &lt;script&gt;</text>" in text
    assert text.count(">3dde</text>") == 2
    assert run("report", mine, "--data", drawn, *given, "--resamples", "0", "--no-images").code == 0
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "from curves: $x$ &lt;script&gt;, 3dde; from 3dde.txt: 3dde." in page
    assert f"--behind {of}=curves --behind {of}=curves/3dde.txt" in page  # the command at its foot


def test_computed_methods_of_leaderboards_are_drawn_behind(run, drawn, mine, place):
    for method in ("Known", "mine"):
        assert (
            run("leaderboard", "add", mine, "--method", method, "--dir", "boards", "--data", drawn).code == 0
        )
    assert run("plot", mine, "--data", drawn, "--protocol", ORIGINAL, "--behind", "boards").code == 0
    (path,) = (place / "figures").glob("*cumulative*")
    text = path.read_text()
    assert ">Known</text>" in text
    assert "from boards: Known." in text
    assert "from boards: Known, mine" not in text  # it is drawn in its own colour


def test_others_that_were_measured_by_other_labels_are_named_instead(run, drawn, mine, place):
    assert run("leaderboard", "add", mine, "--method", "Known", "--dir", "boards", "--data", drawn).code == 0
    entry = place / "boards" / "entries" / "aflw2000" / "known.json"
    text = entry.read_text()
    signature = text[text.index("|truth:") :][: len("|truth:00000000")]
    entry.write_text(text.replace(signature, "|truth:00000000"))
    assert run("plot", mine, "--data", drawn, "--protocol", ORIGINAL, "--behind", "boards").code == 0
    (path,) = (place / "figures").glob("*cumulative*")
    assert "Not drawn, since the labels or points differ: Known." in path.read_text()
    assert ">Known</text>" not in path.read_text()


@pytest.mark.parametrize(
    ("behind", "code", "message"),
    [
        ("absent", 2, "neither a folder of leaderboards nor PROTOCOL:ERROR=PATH"),
        ("curves/3dde.txt", 2, "the option has to: --behind 300w/landmarks:nme/pupils-corners=curves"),
        ("curves", 2, "no folder of leaderboards with a computed method of aflw2000/landmarks-original"),
        (
            "aflw2000/pose:geodesic=curves",
            2,
            "'aflw2000/pose' is not drawn, only aflw2000/landmarks-original",
        ),
        (
            f"{ORIGINAL}:nme/corners=curves",
            2,
            "no cumulative curve of 'nme/corners'. Its curves: nme/box-sqrt",
        ),
        (f"{ORIGINAL}:nme/box-sqrt=absent.txt", 3, "absent.txt: cannot be read"),
        (f"{ORIGINAL}:nme/box-sqrt=", 2, "neither a folder of leaderboards nor"),
        (f"{ORIGINAL}:nme/box-sqrt=text.txt", 1, "text.txt: line 1: expected two numbers"),
        (f"{ORIGINAL}:nme/box-sqrt=curves.zip", 1, "curves.zip: no text of two columns"),
    ],
)
@pytest.mark.parametrize("command", ["plot", "report"])
def test_what_is_no_curve_is_one_message_and_leaves_nothing(
    run, drawn, mine, place, command, behind, code, message
):
    before = everything_in(place)
    found, out, err = run(command, mine, "--data", drawn, "--protocol", ORIGINAL, "--behind", behind)
    assert (found, out) == (code, "")
    assert message in err
    assert everything_in(place) == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "Missing argument"),
        (("MINE", "--format", "pdf"), 2, "'svg', 'png'"),
        (("MINE", "-o", "text.txt"), 1, "text.txt"),
        (("MINE", "MINE"), 2, "the same method 'mine'"),
        (("MINE", "--protocol", "aflw2000/pose"), 1, "expected rotation"),
    ],
)
def test_what_is_refused_leaves_nothing(run, drawn, mine, place, words, code, message):
    before = everything_in(place)
    found, out, err = run("plot", *(mine if word == "MINE" else word for word in words), "--data", drawn)
    assert (found, out) == (code, "")
    assert message in err
    assert everything_in(place) == before

"""``compare`` and ``explain``, and the options of ``score`` beside them, as a user runs them."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facebench
from facebench.protocols import Comparison, Explanation, Signature, compare, explain
from facebench.report import plots

POSE, ORIGINAL = "aflw2000/pose", "aflw2000/landmarks-original"


@pytest.fixture(scope="module")
def made(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what writes predictions of a method with errors of a size."""
    dataset = facebench.open_dataset(drawn)
    folder = tmp_path_factory.mktemp("made")

    def write(name: str, noise: float, *, pose: bool = True, points: bool = True, **more: str) -> Path:
        rng = np.random.default_rng(len(name))
        truth = dataset.annotations["original"].points
        given = {"landmarks": truth + rng.normal(0, noise, truth.shape)} if points else {}
        rotation = {"rotation": dataset.rotation} if pose else {}
        path = folder / f"{name.strip('_$')}-{pose}-{points}-{len(more)}.h5"
        facebench.write_predictions(
            path, dataset="aflw2000", method=name, ids=dataset.ids, **given, **rotation, **more
        )
        return path

    return write


@pytest.fixture(scope="module")
def pair(made) -> tuple[Path, Path]:
    return made("base", 5), made("better", 2)


def small(*words: object) -> tuple[object, ...]:
    return (*words, "--resamples", "100")


# --- compare


def test_compare_prints_a_table_for_each_shared_protocol(run, drawn, pair):
    done = run(*small("compare", *pair, "--data", drawn))
    assert done.code == 0
    for name in (POSE, ORIGINAL, "aflw2000/landmarks-reannotated"):
        assert f"\n{name}, " in "\n" + done.out
    assert "against base" in done.out
    assert done.out.count("signature: protocol:") == 3
    assert "test:paired-bootstrap+randomisation-100-seed-0" in done.out
    line = next(line for line in done.out.splitlines() if "NME box-sqrt, balanced" in line)
    assert "better" in line.split()
    assert done.err == ""


def test_compare_says_worse_and_not_significant(run, drawn, pair, made):
    back = run(*small("compare", *pair[::-1], "--data", drawn, "--protocol", ORIGINAL))
    assert " worse" in back.out
    assert " better" not in back.out.replace("against better", "").replace("  better  ", "")
    same = run(*small("compare", pair[0], made("twin-of-base", 5), "--data", drawn, "--protocol", POSE))
    assert "not significant" in same.out
    assert " worse" not in same.out


def test_compare_json_has_every_number_in_full(run, drawn, pair):
    done = run(*small("compare", *pair, "--data", drawn, "--json", "--protocol", ORIGINAL, "--seed", "3"))
    (found,) = json.loads(done.out)
    expected = compare(pair, ORIGINAL, drawn, resamples=100, seed=3)
    assert found == json.loads(expected.model_dump_json())
    assert Comparison.model_validate(found) == expected


def test_three_methods_name_the_correction(run, drawn, pair, made):
    two = run(*small("compare", *pair, "--data", drawn, "--protocol", ORIGINAL))
    three = run(*small("compare", *pair, made("third one", 4), "--data", drawn, "--protocol", ORIGINAL))
    assert "p (Holm)" not in two.out
    assert "p (Holm)" in three.out
    assert "third one" in three.out


def test_notes_are_given_once_for_each_file(run, drawn, made):
    files = [made(name, 4, pose=False) for name in ("one", "other")]
    done = run(*small("compare", *files, "--data", drawn))
    assert done.code == 0
    assert done.err.count("aflw2000/pose: not scored") == 2


def test_only_shared_protocols_are_compared(run, drawn, pair, made):
    done = run(*small("compare", pair[0], made("points", 4, pose=False), "--data", drawn, "--json"))
    assert [one["protocol"] for one in json.loads(done.out)] == [ORIGINAL, "aflw2000/landmarks-reannotated"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_plots_are_the_same_bytes_each_time(run, drawn, pair, tmp_path, kind):
    paths = [tmp_path / f"{number}.{kind}" for number in range(2)]
    for path in paths:
        done = run(*small("compare", *pair, "--data", drawn, "--plot", path))
        assert done.code == 0
        assert f"drawn: {path}" in done.err
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths
    if kind == "png":
        with Image.open(paths[0]) as picture:
            picture.verify()
            assert picture.format == "PNG"
    else:
        texts = [one.text for one in ET.parse(paths[0]).iter() if one.tag.endswith("}text")]
        axis = "improvement over base in % of its value, with 95 % interval"
        assert {"better", "worse", "not significant", axis} <= set(texts)


@pytest.mark.parametrize("name", ["_hidden", "costs $5 or $6", r"$\nonsense$", "<b>&amp;", "x" * 80])
def test_names_of_methods_are_drawn_as_they_are(run, drawn, made, tmp_path, name):
    path = made("base" if name != "base" else "other", 5)
    odd = tmp_path / "odd.h5"
    read = facebench.read_predictions(path)
    facebench.write_predictions(
        odd, dataset="aflw2000", method=name, ids=read.ids, landmarks=read.landmarks + 1
    )
    for files in ((path, odd), (odd, path)):
        words = ("compare", *files, "--data", drawn, "--protocol", ORIGINAL)
        assert run(*small(*words, "--plot", tmp_path / "f.svg")).code == 0
        texts = [one.text for one in ET.parse(tmp_path / "f.svg").iter() if one.tag.endswith("}text")]
        names = (name, plots.shown(name))  # a long one loses its middle in the legend
        assert any(one in (text or "") for text in texts for one in names)
        assert run(*small(*words, "--plot", tmp_path / "f.png")).code == 0


def test_missed_faces_can_be_compared_and_drawn(run, drawn, pair, tmp_path):
    read = facebench.read_predictions(pair[1])
    read.landmarks[3] = np.nan
    few = tmp_path / "few.h5"
    facebench.write_predictions(few, dataset="aflw2000", method="few", ids=read.ids, landmarks=read.landmarks)
    for files in ((pair[0], few), (few, pair[0])):
        words = ("compare", *files, "--data", drawn, "--protocol", ORIGINAL, "--missing", "fail")
        done = run(*small(*words, "--plot", tmp_path / "f.png"))
        assert done.code == 0
        assert "inf" in done.out
        again = run(*small(*words, "--json"))
        assert json.loads(again.out)[0]["rows"]


# --- explain


def test_explain_prints_the_number_to_quote_first(run, drawn, pair):
    done = run("explain", pair[0], "--data", drawn)
    assert done.code == 0
    assert done.out.count("the first line is the one to quote") == 3
    blocks = done.out.split("base on ")[1:]
    for block in blocks:
        name = block.split(",")[0]
        first = block.splitlines()[4]  # below the title, the headings and their line
        expected = facebench.score(pair[0], name, drawn, resamples=0).headline.value
        assert f"{expected:.3f}" in first
    assert "engine upm" in done.out


def test_explain_json_has_every_number_in_full(run, drawn, pair):
    found = json.loads(run("explain", pair[0], "--data", drawn, "--json").out)
    assert [one["protocol"] for one in found] == [POSE, ORIGINAL, "aflw2000/landmarks-reannotated"]
    for one in found:
        expected = explain(pair[0], one["protocol"], drawn)
        assert one == json.loads(expected.model_dump_json())
        assert Explanation.model_validate(one) == expected


def test_explain_one_engine(run, drawn, pair):
    words = ("explain", pair[0], "--data", drawn, "--protocol", ORIGINAL, "--engine", "upm")
    rules = [one["rule"] for one in json.loads(run(*words, "--json").out)[0]["readings"]]
    assert rules[0] == "box-sqrt"
    assert set(rules[1:]) == {"engine upm"}
    assert "engine spiga" not in run(*words).out


def test_an_engine_is_shown_for_the_protocols_that_it_measures(run, drawn, pair, made):
    words = ("--data", drawn, "--engine", "san")
    done = run("explain", pair[0], *words, "--json")
    assert [one["protocol"] for one in json.loads(done.out)] == [ORIGINAL, "aflw2000/landmarks-reannotated"]
    assert "note: aflw2000/pose: the engine 'san' (auc) has no rule" in done.err
    nothing = run("explain", made("angles", 4, points=False), *words)
    assert (nothing.code, nothing.out) == (2, "")
    assert "aflw2000/pose: the engine 'san' (auc) has no rule" in nothing.err


# --- score


def test_score_with_other_intervals_and_short_signatures(run, drawn, pair):
    words = ("score", pair[0], "--data", drawn, "--protocol", ORIGINAL, "--resamples", "100")
    plain, bca = (json.loads(run(*words, *more, "--json").out)[0] for more in ((), ("--interval", "bca")))
    expected = facebench.score(pair[0], ORIGINAL, drawn, resamples=100, interval="bca")
    assert bca == json.loads(expected.model_dump_json())
    assert "interval:bca-100-seed-0" in bca["signature"]
    assert [one["value"] for one in bca["scores"]] == [one["value"] for one in plain["scores"]]
    assert [one["low"] for one in bca["scores"]] != [one["low"] for one in plain["scores"]]
    long, short = (
        run(*words, *more).out.split("signature: ")[1].strip() for more in ((), ("--short-signature",))
    )
    assert long == plain["signature"]
    assert short == Signature.parse(long).short
    assert Signature.parse(short) == Signature.parse(long)
    assert len(short) < len(long)
    refused = run(*words, "--interval", "student")
    assert (refused.code, "'student' is not one of" in refused.err) == (2, True)


# --- What is refused

BAD = {
    "no file": (("compare",), 2, "Missing argument"),
    "one file": (("compare", "BASE", "--data", "DATA"), 2, "two predictions files or more"),
    "the same twice": (("compare", "BASE", "BASE", "--data", "DATA"), 2, "the same method 'base'"),
    "unknown protocol": (
        ("compare", "BASE", "BETTER", "--data", "DATA", "--protocol", "aflw2000/nose"),
        2,
        "Unknown protocol 'aflw2000/nose'",
    ),
    "nothing in common": (
        ("compare", "POINTS", "ANGLES", "--data", "DATA"),
        1,
        "no protocol of aflw2000 scores",
    ),
    "another dataset": (
        ("compare", "BASE", "BIWI", "--data", "DATA"),
        1,
        "the predictions are for dataset 'biwi'",
    ),
    "not prepared": (("compare", "BASE", "BETTER"), 3, "no such prepared dataset"),
    "no such file": (("compare", "BASE", "nothing.h5", "--data", "DATA"), 3, "nothing.h5: no such"),
    "another box": (
        ("compare", "BASE", "BOXED", "--data", "DATA", "--protocol", ORIGINAL),
        1,
        "--differ box",
    ),
    "no resamples": (
        ("compare", "BASE", "BETTER", "--data", "DATA", "--resamples", "0"),
        2,
        "1 or more resamples",
    ),
    "gif": (("compare", "BASE", "BETTER", "--data", "DATA", "--plot", "f.gif"), 2, ".png or .svg"),
    "no ending": (("compare", "BASE", "BETTER", "--data", "DATA", "--plot", "figure"), 2, ".png or .svg"),
    "plot is a folder": (
        ("compare", "BASE", "BETTER", "--data", "DATA", "--plot", "folder.png"),
        1,
        "folder.png",
    ),
    "plot below a file": (
        ("compare", "BASE", "BETTER", "--data", "DATA", "--plot", "file/f.png"),
        1,
        "file",
    ),
    "explain nothing": (("explain", "nothing.h5"), 3, "nothing.h5: no such predictions file"),
    "unknown engine": (
        ("explain", "BASE", "--data", "DATA", "--engine", "nonsense"),
        2,
        "Unknown engine 'nonsense'. Known engines: upm",
    ),
    "engine without a rule": (
        ("explain", "BASE", "--data", "DATA", "--protocol", POSE, "--engine", "san"),
        2,
        "the engine 'san' (auc) has no rule",
    ),
    "explain what is not there": (
        ("explain", "POINTS", "--data", "DATA", "--protocol", POSE),
        1,
        "expected rotation",
    ),
    "explain another dataset": (("explain", "BIWI", "--data", "DATA"), 1, "dataset 'biwi'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_message_and_its_exit_code(run, case, drawn, pair, made, tmp_path, monkeypatch):
    words, code, message = BAD[case]
    facebench.write_predictions(
        tmp_path / "biwi.h5", dataset="biwi", method="b", ids=["a"], rotation=np.eye(3)[None]
    )
    places = {
        "BASE": pair[0],
        "BETTER": pair[1],
        "POINTS": made("points", 4, pose=False),
        "ANGLES": made("angles", 4, points=False),
        "BOXED": made("boxed", 4, box="mtcnn"),
        "BIWI": tmp_path / "biwi.h5",
        "DATA": drawn,
    }
    work = tmp_path / "work"
    (work / "folder.png").mkdir(parents=True)
    (work / "file").write_text("x")
    monkeypatch.chdir(work)
    more = ("--resamples", "20") if words[0] == "compare" and "--resamples" not in words else ()
    found = run(*(places.get(word, word) for word in words), *more)
    assert found.code == code, found.err
    assert message in found.err
    assert found.out == ""
    said = [line for line in found.err.splitlines() if not line.startswith(("note: ", "Usage: ", "Try "))]
    assert len([line for line in said if line]) == 1
    assert sorted(path.name for path in work.iterdir()) == ["file", "folder.png"]
    assert not list((work / "folder.png").iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_figure_that_cannot_be_written_is_named(run, drawn, pair, tmp_path):
    tmp_path.chmod(0o500)
    done = run(*small("compare", *pair, "--data", drawn, "--plot", tmp_path / "f.png"))
    tmp_path.chmod(0o700)
    assert (done.code, "f.png" in done.err) == (1, True)


def test_explain_skips_visibility_unless_asked(run, tmp_path):
    from facebench.formats import AnnotationSet
    from tests.protocols.hand_made import write

    points = np.random.default_rng(0).uniform(0, 100, (4, 29, 2))
    states = np.tile(np.array([1, 2], np.uint8), (4, 15))[:, :29]
    labels = {"cofw29": AnnotationSet("cofw29", points, states)}
    ids = ["a", "b", "c", "d"]
    write(tmp_path / "cofw.h5", "cofw", ids, annotations=labels, splits={"test": np.arange(4)})
    facebench.write_predictions(
        tmp_path / "p.h5", dataset="cofw", method="m", ids=ids, landmarks=points + 1, scheme="cofw29",
        visibility=np.full((4, 29), 0.5),
    )  # fmt: skip
    words = ("explain", tmp_path / "p.h5", "--data", tmp_path / "cofw.h5")
    assert "visibility" not in "".join(one["protocol"] for one in json.loads(run(*words, "--json").out))
    refused = run(*words, "--protocol", "cofw/visibility-cofw29")
    assert (refused.code, "only landmarks and pose" in refused.err) == (2, True)
    facebench.write_predictions(
        tmp_path / "v.h5", dataset="cofw", method="m", ids=ids, scheme="cofw29",
        visibility=np.full((4, 29), 0.5),
    )  # fmt: skip
    nothing = run("explain", tmp_path / "v.h5", "--data", tmp_path / "cofw.h5")
    assert (nothing.code, "nothing but visibility" in nothing.err) == (1, True)

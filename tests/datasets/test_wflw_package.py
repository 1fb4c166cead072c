"""The package of docs/examples/wflw reads a release of full size, drawn in the layout of WFLW."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import facebench
from facebench.datasets import prepare, registry
from facebench.errors import DataMissing, InvalidData
from facebench.geometry import get_scheme, schemes
from facebench.protocols import predict_baseline
from facebench.protocols import registry as protocol_registry
from facebench.synthetic import mean_head, project

PACKAGE = Path(__file__).parents[2] / "docs" / "examples" / "wflw"
SIZES = {"train": 7500, "test": 2500}
SUBSETS = {  # of the test faces, in the order of the attributes
    "test-pose": 326,
    "test-expression": 314,
    "test-illumination": 698,
    "test-makeup": 206,
    "test-occlusion": 736,
    "test-blur": 773,
}
CELL, PER_ROW = 30, 10  # an image is a grid of 10 x 10 small faces
SHIFT = (0.3, 0.4)  # pixels, half a pixel in all


def forget():
    """Make facebench look at the installed packages again."""
    for module in (registry, protocol_registry, schemes):
        for value in vars(module).values():
            getattr(value, "cache_clear", int)()


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory):
    """Install the package for the tests of this module."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE / "wflw", site / "wflw", ignore=shutil.ignore_patterns("__pycache__"))
    about = site / "facebench_wflw-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: facebench-wflw\nVersion: 0.1\n", encoding="utf-8"
    )
    points = "[facebench.{}]\n{} = {}\n".format
    (about / "entry_points.txt").write_text(
        points("datasets", "wflw", "wflw:DATASET")
        + points("protocols", "wflw", "wflw:PROTOCOLS")
        + points("schemes", "wflw98", "wflw"),
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        forget()
        yield
    forget()
    sys.modules.pop("wflw", None)


@pytest.fixture(scope="module")
def drawing():
    """The module make_release.py of the package."""
    spec = importlib.util.spec_from_file_location("wflw_make_release", PACKAGE / "make_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(drawing, tmp_path_factory):
    """A release with all 10000 faces, and by id what was drawn; not to be changed."""
    folder = tmp_path_factory.mktemp("wflw")
    rng = np.random.default_rng(0)
    shape = project(drawing.head98(), np.eye(3), 0.1, (CELL / 2, CELL / 2))
    picture = np.full((CELL * PER_ROW, CELL * PER_ROW, 3), 128, np.uint8)
    encoded = cv2.imencode(".jpg", picture)[1].tobytes()
    faces = {}
    for split, size in SIZES.items():
        attributes = np.zeros((size, 6), int)
        for column, count in enumerate(SUBSETS.values()):
            attributes[rng.permutation(size)[:count], column] = 1
        lines = []
        for index in range(size):
            sheet, cell = divmod(index, PER_ROW**2)
            image = f"{sheet % 3}--Event/{sheet % 3}_Event_{split}_{sheet}.jpg"
            corner = np.array([cell % PER_ROW, cell // PER_ROW]) * CELL
            points = (shape + corner + rng.normal(0, 0.3, (98, 2))).round(6)
            lines.append(drawing.line(points, attributes[index], image))
            path = folder / "WFLW_images" / image
            if cell == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded)
            rectangle = np.hstack([np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))])
            one = image[:-4] + "@" + "_".join(f"{value:.0f}" for value in rectangle)
            faces[one] = SimpleNamespace(
                points=points,
                rectangle=rectangle,
                attributes=attributes[index],
                image=image,
                split=split,
                line=index + 1,
            )
        drawing.write_list(folder, split, lines)
    assert len(faces) == 10000
    return SimpleNamespace(folder=folder, faces=faces)


@pytest.fixture(scope="module")
def prepared(drawn, tmp_path_factory):
    """The release, prepared in full."""
    done = prepare("wflw", [drawn.folder], tmp_path_factory.mktemp("prepared") / "wflw.h5")
    assert done.notes == []
    return facebench.open_dataset(done.path)


@pytest.fixture
def refused(drawn, drawing, tmp_path):
    """Prepare with changed lists, expect a refusal, and return the message."""

    def call(split, change):
        annotations = tmp_path / "annotations"
        shutil.copytree(drawn.folder / "WFLW_annotations", annotations)
        path = annotations / Path(drawing.LISTS).name / f"list_98pt_rect_attr_{split}.txt"
        lines = path.read_text(encoding="utf-8").splitlines()
        change(lines)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with pytest.raises(InvalidData) as error:
            prepare("wflw", [annotations, drawn.folder / "WFLW_images"], tmp_path / "wflw.h5")
        assert not (tmp_path / "wflw.h5").exists()
        return str(error.value)

    return call


def replace(line, field, value):
    """Return a change of one field of one line."""

    def change(lines):
        fields = lines[line - 1].split(" ")
        fields[field] = value
        lines[line - 1] = " ".join(fields)

    return change


def test_what_is_read_is_what_was_drawn(drawn, prepared):
    assert prepared.ids == sorted(drawn.faces)
    truth = [drawn.faces[one] for one in prepared.ids]
    found = prepared.annotations["points"]
    assert found.scheme == "wflw98"
    np.testing.assert_allclose(found.points, [face.points for face in truth], atol=1e-9)
    assert not found.visibility.any()
    np.testing.assert_array_equal(prepared.boxes["detection"], [face.rectangle for face in truth])
    np.testing.assert_array_equal(prepared.source["attributes"], [face.attributes for face in truth])
    np.testing.assert_array_equal(np.ravel(prepared.source["line"]), [face.line for face in truth])
    assert [prepared.image_paths[row] for row in prepared.image_of] == [face.image for face in truth]
    assert len(prepared.image_paths) == 100


def test_splits_are_those_of_the_lists_and_the_attributes(drawn, prepared):
    assert {name: len(rows) for name, rows in prepared.splits.items()} == {"all": 10000, **SIZES, **SUBSETS}
    for column, name in enumerate(SUBSETS):
        expected = [
            one for one, face in drawn.faces.items() if face.split == "test" and face.attributes[column]
        ]
        assert [prepared.ids[row] for row in prepared.splits[name]] == sorted(expected)


@pytest.mark.parametrize(
    ("split", "change", "message"),
    [
        ("test", lambda lines: lines.append(lines[6]), r"attr_test\.txt: expected 2500 lines, found 2501"),
        ("train", lambda lines: lines.pop(), r"attr_train\.txt: expected 7500 lines, found 7499"),
        (
            "test",
            replace(7, 206, "0--Event/absent.jpg"),
            r"WFLW_images/0--Event/absent\.jpg: missing; named in .*_test\.txt, line 7",
        ),
        (
            "test",
            lambda lines: lines.__setitem__(6, lines[6].partition(" ")[2]),
            r"test\.txt, line 7: expected 207 fields, found 206",
        ),
        ("train", replace(7, 3, "12,5"), r"attr_train\.txt, line 7: .*'12,5'"),
        ("train", replace(7, 3, "nan"), r"attr_train\.txt, line 7: expected finite numbers, found nan"),
        ("test", replace(7, 203, "2"), r"attr_test\.txt, line 7: expected attributes 0 or 1, found 2"),
        (
            "test",
            lambda lines: lines.__setitem__(8, lines[6]),
            r"attr_test\.txt, line 9: the same image and rectangle as in line 7 of the test list: 0--Event/",
        ),
    ],
    ids=["a line more", "a line less", "no image", "short", "no number", "nan", "attribute", "twice"],
)
def test_a_broken_list_is_refused_with_the_place(refused, split, change, message):
    text = refused(split, change)
    assert re.search(message, text), text


def test_a_list_with_an_attribute_changed_is_not_the_published_one(refused, drawn):
    line = next(face.line for face in drawn.faces.values() if face.split == "test" and not face.attributes[5])
    text = refused("test", replace(line, 205, "1"))
    assert "split 'test-blur': expected 773 faces" in text
    assert "found 774" in text


def test_a_missing_image_is_named_or_left_out_of_a_part(drawn, tmp_path):
    images = tmp_path / "WFLW_images"
    shutil.copytree(drawn.folder / "WFLW_images", images)
    (images / "0--Event" / "0_Event_test_0.jpg").unlink()
    sources = [drawn.folder / "WFLW_annotations", images]
    with pytest.raises(
        InvalidData,
        match=r"1 fault.*\n.*0--Event/0_Event_test_0\.jpg: missing; named in .*_test\.txt, line 1\n",
    ):
        prepare("wflw", sources, tmp_path / "wflw.h5")
    done = prepare("wflw", sources, tmp_path / "wflw.h5", partial=True)
    assert done.notes[0] == "100 faces of the lists are left out, since their images are not there"
    assert len(facebench.open_dataset(done.path)) == 9900


@pytest.mark.parametrize(("given", "absent"), [("WFLW_images", "lists"), ("WFLW_annotations", "images")])
def test_half_a_release_is_missing_data(drawn, tmp_path, given, absent):
    with pytest.raises(DataMissing, match=rf"no {absent} of WFLW found. It looks like this:\nWFLW_images/"):
        prepare("wflw", [drawn.folder / given], tmp_path / "wflw.h5")


@pytest.mark.parametrize("shift", [(0, 0), SHIFT], ids=["perfect", "shifted"])
def test_scores_are_the_expected_ones(drawn, prepared, shift):
    ids = [one for one, face in drawn.faces.items() if face.split == "test"]
    truth = np.array([drawn.faces[one].points for one in ids])
    attributes = np.array([drawn.faces[one].attributes for one in ids], bool)
    predictions = facebench.Predictions(
        "wflw", "shift", ids, landmarks=truth + shift, scheme="wflw98", box="detection"
    )
    result = facebench.score(predictions, "wflw/landmarks", prepared, resamples=0)
    assert (result.faces, result.n, result.complete) == (2500, 2500, True)
    errors = 100 * np.hypot(*shift) / np.linalg.norm(truth[:, 60] - truth[:, 72], axis=1)
    scores = {(one.metric, one.group): one.value for one in result.scores}
    groups = {"all": np.ones(2500, bool), **dict(zip(SUBSETS, attributes.T, strict=True))}
    for name, members in groups.items():
        some = errors[members]
        assert scores["nme/corners", name] == pytest.approx(some.mean(), abs=1e-6)
        assert scores["fr10/corners", name] == pytest.approx(100 * (some > 10).mean())
        assert scores["auc10/corners", name] == pytest.approx(
            100 * np.maximum(1 - some / 10, 0).mean(), abs=1e-5
        )
    assert {group for _, group in scores} == set(groups)


def test_points_with_a_shared_name_lie_where_the_68_points_lie(drawing):
    wide, narrow = get_scheme("wflw98"), get_scheme("ibug68")
    shared = [name for name in wide.points if name in narrow.points]
    assert len(shared) == 1 + 2 + 9 + 4 + 20  # chin, ends of the brows, nose, corners of the eyes, mouth
    rows = [wide.points.index(name) for name in shared]
    np.testing.assert_array_equal(
        drawing.head98()[rows], mean_head()[[narrow.points.index(name) for name in shared]]
    )


def test_mirror_images_lie_on_the_other_side(drawing):
    points, flip = drawing.head98(), np.asarray(get_scheme("wflw98").flip)
    np.testing.assert_allclose(points[flip], points * [-1, 1, 1], atol=1e-6)


def test_the_sample_release_goes_all_the_way(drawing, tmp_path):
    drawing.draw(tmp_path / "release")
    done = prepare("wflw", [tmp_path / "release"], tmp_path / "wflw.h5", partial=True)
    dataset = facebench.open_dataset(done.path)
    assert (len(dataset), len(dataset.image_paths)) == (36, 34)
    assert {name: len(rows) > 0 for name, rows in dataset.splits.items()} == dict.fromkeys(
        ["all", *SIZES, *SUBSETS], True
    )
    predict_baseline("mean-shape", dataset, tmp_path / "shape.h5")
    result = facebench.score(tmp_path / "shape.h5", "wflw/landmarks", dataset, resamples=0)
    assert (result.n, result.complete) == (12, False)

"""The records and pictures of the gallery say what facebench reads from those records."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from facebench.datasets import get_dataset
from facebench.datasets.aflw_labels import decode_signs
from facebench.datasets.biwi import read_camera, read_pose
from facebench.errors import Faults
from facebench.formats import VISIBILITY
from facebench.geometry import euler_to_rotation, get_scheme, rotation_to_euler

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
NAMES = ("300w", "aflw", "aflw2000", "cofw", "biwi")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def block(caption):
    """Return a record of the page, found by the beginning of its caption."""
    found = re.findall(
        rf"```{{code-block}} text\n:caption: {re.escape(caption)}[^\n]*\n\n(.*?)\n```", PAGE, re.S
    )
    assert len(found) == 1, caption
    return found[0]


def numbers(text):
    return [float(one) for one in NUMBER.findall(text)]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Each release as the pictures are drawn from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "figures")
        patch.setenv("FACEBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        faces = importlib.import_module("gallery_faces")
        folder = tmp_path_factory.mktemp("gallery")
        yield {name: faces.SAMPLES[name](folder) for name in NAMES}


def annotation(sample, name):
    return sample.dataset.annotations[name].points[sample.row], sample.dataset.annotations[name].visibility[
        sample.row
    ]


def near(found, expected, tolerance=1e-3):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_records_and_the_picture(name, samples):
    for record in samples[name].records.values():
        assert f"\n\n{record}\n```" in PAGE
    assert f"figures/gallery-{name}.png\n:alt: " in PAGE
    assert 10_000 < (DOCS / "figures" / f"gallery-{name}.png").stat().st_size < 250_000


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_comes_back(name, samples):
    sample = samples[name]
    assert set(sample.dataset.annotations) <= {*get_dataset(name).manifest.annotations}
    for one in set(sample.true) & set(sample.dataset.annotations):
        points, states = annotation(sample, one)
        placed = states != VISIBILITY["hidden"]
        assert np.isnan(points[~placed]).all()
        near(points[placed], sample.true[one][placed], 0.006)


def test_300w(samples):
    dataset = samples["300w"].dataset
    points, states = annotation(samples["300w"], "ibug68")
    lines = block("lfpw/testset/image_0001.pts").splitlines()
    first, last = [numbers(line) for line in lines[3:6]], numbers(lines[-2])
    near(points[[0, 1, 2, 67]], np.array([*first, last]) - 1, 1e-6)
    assert set(states) == {VISIBILITY["unknown"]}
    rows = [numbers(line) for line in block("bounding_boxes").splitlines()[1:]]
    near(dataset[0].boxes["detector"], np.array(rows[0]) - 1)
    near(dataset[0].boxes["dataset"], np.array(rows[1]) - 1)
    near(dataset[0].boxes["landmarks"], dataset[0].boxes["dataset"])


def rows_of(caption):
    """Return the rows of a table as SQLite prints them, by column."""
    head, *rows = block(caption).splitlines()
    values = np.array([[float(one) for one in row.split("|")] for row in rows])
    return dict(zip(head.split("|"), values.T, strict=True))


def test_aflw(samples):
    sample = samples["aflw"]
    table = rows_of("aflw.sqlite, FeatureCoords")
    points, states = annotation(sample, "aflw21")
    index = table["feature_id"].astype(int) - 1
    near(points[index], np.stack([table["x"], table["y"]], 1))
    seen = np.isin(np.arange(11, 21), index)
    expected = np.where(seen, VISIBILITY["visible"], VISIBILITY["hidden"])
    assert states[11:].tolist() == expected.tolist()
    rect = {key: value[0] for key, value in rows_of("aflw.sqlite, FaceRect").items()}
    corners = [rect["x"], rect["y"], rect["x"] + rect["w"], rect["y"] + rect["h"]]
    near(sample.dataset[0].boxes["dataset"], corners)
    pose = {key: value[0] for key, value in rows_of("aflw.sqlite, FacePose").items()}
    angles = np.degrees([pose["yaw"], pose["pitch"], pose["roll"]])
    near(rotation_to_euler(sample.dataset.rotation[0], "aflw-yxz"), angles, 1e-9)
    # What the page says of the ears and of aflw19.
    names = get_scheme("aflw21").points
    assert [at + 1 for at, name in enumerate(names) if name.endswith("ear")] == [13, 17]
    assert set(names) - set(get_scheme("aflw19").points) == {"left_ear", "right_ear"}
    states19 = annotation(sample, "aflw19")[1]
    completed = [get_scheme("aflw19").points[at] for at in np.flatnonzero(states19 == VISIBILITY["occluded"])]
    assert completed == ["left_brow_outer", "chin"]


def test_merlrav(samples):
    points, states = annotation(samples["aflw"], "merlrav68")
    for line in block("MERL-RAV").splitlines():
        said = re.fullmatch(r"(\S+) (\S+) +line (\d+), point (\d+): (\w+)", line)
        stored = np.array([[[float(said[1]), float(said[2])]]])
        decoded, state = decode_signs(stored, ["a.pts"], Faults("a.pts"))
        index = int(said[4]) - 1
        assert int(said[3]) == index + 4
        assert state[0, 0] == states[index] == VISIBILITY[said[5]]
        near(decoded[0, 0], points[index])


def test_aflw2000(samples):
    sample = samples["aflw2000"]
    lines = block("image90003.mat").splitlines()
    pitch, yaw, roll, *_ = numbers(lines[1])
    expected = euler_to_rotation(np.degrees([yaw, pitch, roll]), "raw-xyz")
    near(sample.dataset.rotation[sample.row], expected, 1e-5)
    points, states = annotation(sample, "original")
    near(points[:5].T, [numbers(lines[3]), numbers(lines[4])], 0.006)
    first, last = (int(one) for one in re.search(r"columns (\d+) to (\d+)", lines[6]).groups())
    scheme = get_scheme("aflw21").points[first - 1 : last]
    for name, x, y in zip(scheme, numbers(lines[7]), numbers(lines[8]), strict=True):
        if name in get_scheme("ibug68").points:
            hidden = (x, y) == (-1, 452)
            state = states[get_scheme("ibug68").index(name)]
            assert state == VISIBILITY["occluded" if hidden else "visible"]
    assert (states == VISIBILITY["unknown"]).sum() == 52
    assert numbers(lines[10]) == [1, 1, 450, 450]


def test_cofw(samples):
    sample = samples["cofw"]
    points, states = annotation(sample, "cofw29")
    thirds = [numbers(line.partition(":")[2]) for line in block("COFW_test_color.mat, phisT").splitlines()]
    shown = [0, 1, 2, 3, 28]
    near(points[shown].T, np.array(thirds[:2]) - 1)
    flags = {0: VISIBILITY["visible"], 1: VISIBILITY["occluded"]}
    assert states[shown].tolist() == [flags[int(one)] for one in thirds[2]]
    for caption, name in (
        ("COFW_test_color.mat, bboxesT", "dataset"),
        ("cofw68_test_bboxes.mat", "cofw68"),
    ):
        x, y, width, height = numbers(block(caption))
        near(sample.dataset[0].boxes[name], [x - 1, y - 1, x - 1 + width, y - 1 + height])
    points, states = annotation(sample, "cofw68")
    head, *rows = block("test_annotations/1_points.mat").splitlines()
    for number, row in zip(numbers(head), rows, strict=True):
        x, y, flag = numbers(row)
        near(points[int(number) - 1], [x - 1, y - 1])
        assert states[int(number) - 1] == flags[int(flag)]


def test_biwi(samples):
    dataset = samples["biwi"].dataset
    rotation, centre = read_pose(block("01/frame_00003_pose.txt").encode())
    camera = read_camera(block("01/rgb.cal").encode())
    near(dataset.rotation[0], rotation, 1e-12)
    near(dataset.poses["rgb"][0], camera.rotation @ rotation, 1e-12)
    near(dataset.source["centre_px"][0], camera.project(centre[None])[0], 1e-9)
    near(rotation_to_euler(rotation, "raw-xyz"), [24, 13, -7])
    assert dataset.annotations == {}

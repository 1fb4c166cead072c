"""AFLW at full count from its published tables, all labels of MERL-RAV, and two genuine images."""

from __future__ import annotations

import csv
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from facebench.datasets import get_dataset, open_source, prepare
from facebench.datasets.aflw_labels import decode_signs
from facebench.datasets.pts import read_pts
from facebench.errors import Faults, InvalidData
from facebench.formats import open_dataset
from facebench.geometry import rotation_to_euler
from tests.datasets.aflw_release import link_images, write_ccl, write_database, write_pts

FIRST = 39341
VIEWS = ("frontal", "left", "lefthalf", "right", "righthalf")
# PROTOCOLS 1.9.
COUNTS = {"train": (8778, 2080, 1180, 2190, 1221), "test": (2195, 521, 295, 548, 306)}
EARS = (13, 17)


@pytest.fixture(scope="module")
def faces(real_data):
    """The 24384 published rectangles and poses, with the 21 points of 4244 of them."""
    with (real_data / "raw" / "aflw_faces.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    made = [
        {
            "id": FIRST + at,
            "path": row["filepath"],
            "rect": tuple(int(row[f"rect_{one}"]) for one in "xywh"),
            "pose": tuple(float(row[f"{one}_rad"]) for one in ("yaw", "pitch", "roll")),
        }
        for at, row in enumerate(rows)
    ]
    known = {(face["path"], face["rect"]): face for face in made}
    text = (real_data / "raw" / "aflw_21pt_4244_faces.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        part = line.split(";")
        face = known[part[0], tuple(int(one) for one in part[1:5])]
        numbers = [float(one) for one in part[11:]]
        face["points"] = dict(
            zip(map(int, numbers[::3]), zip(numbers[1::3], numbers[2::3], strict=True), strict=True)
        )
        face["upm"] = [float(one) for one in part[5:8]]
        assert len(face["points"]) == int(part[10])
    return made


@pytest.fixture(scope="module")
def folder(faces, tmp_path_factory):
    root = tmp_path_factory.mktemp("aflw")
    write_database(root / "data" / "aflw.sqlite", faces)
    link_images(root / "data" / "flickr", sorted({face["path"] for face in faces}))
    return root


@pytest.fixture(scope="module")
def full(folder, faces, real_data, tmp_path_factory):
    """All faces with the labels of MERL-RAV, and 19 points in CCL's format."""
    rng = np.random.default_rng(5)
    rows = []
    for face in faces:
        x, y, w, _ = face["rect"]
        points = np.column_stack([rng.uniform(x + 0.3 * w, x + 0.7 * w, 19), rng.uniform(y, y + w, 19)])
        kept = [face.get("points", {}).get(one) for one in range(1, 22) if one not in EARS]
        for at, place in enumerate(kept):
            points[at] = points[at] if place is None else place
        rows.append({**face, "points19": points, "mask": [place is not None for place in kept]})
    rows += [{**rows[0], "path": f"3/image9999{one}.jpg"} for one in "12"]
    ra = rng.permutation(len(rows)) + 1
    mat = write_ccl(tmp_path_factory.mktemp("ccl") / "AFLWinfo_release.mat", rows, ra)
    target = tmp_path_factory.mktemp("prepared") / "aflw.h5"
    done = prepare("aflw", [folder, mat, real_data / "raw" / "merl_rav_labels.tar.xz"], target)
    return SimpleNamespace(dataset=open_dataset(done.path), notes="\n".join(done.notes), rows=rows, ra=ra - 1)


@pytest.fixture(scope="module")
def stored(real_data):
    """The numbers in the .pts of MERL-RAV, by path."""
    source = open_source(real_data / "raw" / "merl_rav_labels.tar.xz")
    return {name: read_pts(source.read(name)) for name in source}


def test_every_face(full, faces):
    dataset = full.dataset
    assert len(dataset) == get_dataset("aflw").manifest.faces == 24384
    assert len(dataset.image_paths) == get_dataset("aflw").manifest.images == 21121
    assert dataset.ids == [str(face["id"]) for face in faces]
    assert [dataset.image_paths[row] for row in dataset.image_of] == [face["path"] for face in faces]
    assert len(dataset.splits["all"]) == 24384
    rect = np.array([face["rect"] for face in faces])
    np.testing.assert_array_equal(
        dataset.boxes["dataset"], np.hstack([rect[:, :2], rect[:, :2] + rect[:, 2:]])
    )
    assert "left out: 65385" not in full.notes


def test_golden_rows(full):
    """CCL's box of two faces is the rectangle of AFLW, with these published sizes and centres."""
    dataset = full.dataset
    for path, size, centre in (("2/image22568.jpg", 362, (449, 321)), ("2/image04476.jpg", 128, (166, 185))):
        (row,) = np.flatnonzero(dataset.image_of == dataset.image_paths.index(path))
        box = dataset.boxes["dataset"][row]
        np.testing.assert_array_equal(box[2:] - box[:2], size)
        np.testing.assert_array_equal((box[:2] + box[2:]) / 2, centre)
    (row,) = np.flatnonzero(dataset.image_of == dataset.image_paths.index("3/image00102.jpg"))
    found = dataset.annotation("aflw21")
    np.testing.assert_array_equal(found.points[row, [3, 4]], [(236, 137), (271, 149)])
    assert np.isnan(found.points[row, [0, 1, 2, 5]]).all()
    assert (found.visibility[row] == 1).sum() == 15
    assert (found.visibility[row] == 3).sum() == 6


def test_pose(full, faces):
    """PROTOCOLS 2.5: in mnn-yxz yaw and roll change their sign, as in UPM's labels of 4244 faces."""
    pose = np.degrees([face["pose"] for face in faces])
    np.testing.assert_array_equal(full.dataset.pose_source, np.array([face["pose"] for face in faces]))
    calm = (np.abs(pose) < 85).all(axis=1)
    assert calm.mean() > 0.9
    back = rotation_to_euler(full.dataset.rotation[calm], "aflw-yxz")
    np.testing.assert_allclose(back, pose[calm], atol=1e-9)
    mnn = rotation_to_euler(full.dataset.rotation[calm], "mnn-yxz")
    np.testing.assert_allclose(mnn, pose[calm] * (-1, 1, -1), atol=1e-9)
    upm = np.array([face.get("upm", [np.nan] * 3) for face in faces])[calm]
    both = np.isfinite(upm[:, 0])
    assert both.sum() > 3900
    for axis in range(3):
        assert np.corrcoef(upm[both, axis], mnn[both, axis])[0, 1] > 0.6, axis


def test_every_label_of_merlrav(stored):
    """PROTOCOLS 1.9: counts by view, and the totals over the test set."""
    for part, counts in COUNTS.items():
        for view, count in zip(VIEWS, counts, strict=True):
            assert sum(f"/{view}/{part}set/" in name for name in stored) == count
            assert get_dataset("aflw").manifest.splits[f"merlrav-{part}-{view}"].count == count
    test = [name for name in stored if "/testset/" in name]
    assert (len(test), len(stored)) == (3865, 19314)
    points, states = decode_signs(np.stack([stored[name] for name in test]), test, Faults("labels"))
    assert [int((states == one).sum()) for one in (1, 2, 3)] == [201206, 28408, 33206]
    np.testing.assert_array_equal(np.isnan(points).all(axis=2), states == 3)


def test_labels_of_merlrav_are_given_to_faces(full, stored):
    dataset = full.dataset
    found = dataset.annotation("merlrav68")
    given = np.flatnonzero(np.isfinite(found.points[..., 0]).any(axis=1))
    assert len(given) == 19314 - 2465
    assert "2465 of 19314 labels of MERL-RAV fit no face" in full.notes
    parts = [dataset.splits[f"merlrav-{part}"] for part in COUNTS]
    assert [len(rows) for rows in parts] == [13465, 3384]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), given)
    views = [dataset.splits[f"merlrav-{part}-{view}"] for part in COUNTS for view in VIEWS]
    np.testing.assert_array_equal(np.sort(np.concatenate(views)), given)
    # The label of each face is one of its own image, as it is stored.
    of_image: dict[str, list[np.ndarray]] = {}
    for name, values in stored.items():
        of_image.setdefault(name.rpartition("/")[2][:10], []).append(values)
    for row in given[::10]:
        stem = dataset.image_paths[dataset.image_of[row]].rpartition("/")[2][:10]
        mine = np.nan_to_num(np.where(found.visibility[row][:, None] == 2, -1, 1) * found.points[row], nan=-1)
        assert any((mine == one).all() for one in of_image[stem])


def test_labels_of_merlrav_lie_where_aflw_has_its_points(full):
    dataset = full.dataset
    ours, theirs = dataset.annotation("aflw21"), dataset.annotation("merlrav68")
    apart = (
        np.linalg.norm(ours.points68 - theirs.points, axis=2)
        / np.ptp(dataset.boxes["dataset"][:, ::2], axis=1)[:, None]
    )
    apart = apart[np.isfinite(apart)]
    assert len(apart) > 30_000
    assert np.median(apart) < 0.03
    assert np.quantile(apart, 0.999) < 0.25


def test_every_row_of_ccl_is_given_to_its_face(full):
    dataset = full.dataset
    found = dataset.annotation("aflw19")
    np.testing.assert_array_equal(found.points, [row["points19"] for row in full.rows[:24384]])
    np.testing.assert_array_equal(found.visibility == 1, [row["mask"] for row in full.rows[:24384]])
    assert "2 of 24386 19-point labels of CCL fit no face and are left out" in full.notes
    for name, rows in (("aflw19-train", full.ra[:20000]), ("aflw19-test", full.ra[20000:])):
        np.testing.assert_array_equal(dataset.splits[name], np.sort(rows[rows < 24384]))
        assert get_dataset("aflw").manifest.splits[name].count == len(rows)
    frontal = set(dataset.splits["aflw19-frontal"])
    assert len(frontal) > 0
    assert frontal <= set(dataset.splits["aflw19-test"])
    for row in frontal:
        assert all(full.rows[row]["mask"])


def test_a_part_of_the_labels_is_refused(folder, stored, tmp_path):
    for name in list(stored)[:50]:
        write_pts(tmp_path / "labels" / name, stored[name])
    with pytest.raises(InvalidData, match=r"split 'merlrav-test': expected \d+ faces, found 50"):
        prepare("aflw", [folder, tmp_path / "labels"], tmp_path / "aflw.h5", images="none")
    assert not (tmp_path / "aflw.h5").exists()


def test_genuine_images(real_data, faces, tmp_path):
    with zipfile.ZipFile(real_data / "raw" / "AFLW_sample_images.zip") as archive:
        notes = json.loads(archive.read("test_aflw.json"))
        names = {one["id"]: one for one in notes["images"]}
        some = [face for face in faces if face["path"].rpartition("/")[2] in archive.namelist()]
        write_database(tmp_path / "aflw" / "aflw.sqlite", some)
        for face in some:
            path = tmp_path / "aflw" / face["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(archive.read(path.name))
    rows = []
    for one in notes["annotations"]:
        name = names[one["image_id"]]["file_name"]
        (face,) = [face for face in some if face["path"].endswith(name)]
        keypoints = np.array(one["keypoints"]).reshape(19, 3)
        rows.append({**face, "points19": keypoints[:, :2], "mask": keypoints[:, 2]})
    mat = write_ccl(tmp_path / "AFLWinfo_release.mat", rows)
    done = prepare("aflw", [tmp_path / "aflw", mat], tmp_path / "aflw.h5", partial=True)
    dataset = open_dataset(done.path)
    assert len(dataset) == len(rows) == 2
    for row in rows:
        face = dataset[str(row["id"])]
        size = next(one for one in names.values() if row["path"].endswith(one["file_name"]))
        assert face.image.shape == (size["height"], size["width"], 3)
        np.testing.assert_array_equal(face.annotations["aflw19"].points, row["points19"])
        assert (face.annotations["aflw19"].visibility == 1).all()

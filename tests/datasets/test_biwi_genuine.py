"""BIWI against genuine files: one complete frame, and the frames, angles and boxes of all others.

The images and calibrations of the other frames are not at hand; the tests write the release around the
genuine angles, in its own formats and at full count (PROTOCOLS 1.7, 2.3).
"""

from __future__ import annotations

import zipfile
from itertools import groupby

import numpy as np
import pytest

from facebench.datasets import get_dataset, prepare
from facebench.datasets.biwi import read_camera, read_depth
from facebench.errors import InvalidData
from facebench.formats import open_dataset
from facebench.geometry import euler_to_rotation, geodesic_distance, rotation_to_euler
from facebench.metrics import euler_errors
from tests.datasets import biwi_release as made

FIRST = "hpdb/01/frame_00003"


@pytest.fixture(scope="module")
def one_frame(real_data):
    """Every file of the genuine frame by its path."""
    with zipfile.ZipFile(real_data / "raw" / "BIWI_one_frame.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def published(real_data):
    """The frames, angles and boxes that others published."""
    return np.load(real_data / "raw" / "biwi_annotations.npz")


def face_ids(names):
    return [str(name).removesuffix("_rgb.png") for name in names]


@pytest.fixture(scope="module")
def detected(published):
    """By face id: yaw, pitch, roll in raw-xyz and the box, of the 13,219 frames."""
    raw = published["mtcnn_yaw_pitch_roll_upm"] * [-1, 1, 1]
    return dict(
        zip(
            face_ids(published["mtcnn_frames"]),
            zip(raw, published["mtcnn_box_xyxy"], strict=True),
            strict=True,
        )
    )


def placed_centre(ids):
    """Where the tests put the head centres: pixels of the RGB image, and mm from the RGB camera."""
    step = np.arange(len(ids))
    return np.stack([300 + step % 41, 220 + step % 37], axis=1).astype(float), 800.0 + step % 301


def translation(sequence):
    """Every sequence has a calibration of its own."""
    return made.T + np.array([int(sequence), 0, 0])


@pytest.fixture(scope="module")
def archive(published, detected, tmp_path_factory):
    """The 15,678 frames in the release's formats, with the genuine angles, one image, and made-up centres."""
    ids = face_ids(published["frames"])
    angles = [
        detected[one][0] if one in detected else ypr for one, ypr in zip(ids, published["ypr"], strict=True)
    ]
    rotations = euler_to_rotation(angles, "raw-xyz")
    pixels, distance = placed_centre(ids)
    rays = np.linalg.solve(made.K, np.column_stack([pixels, np.ones(len(ids))]).T).T
    moved = np.array([translation(one[:2]) for one in ids])
    centres = (rays * distance[:, None] - moved) @ np.linalg.inv(made.R).T
    image = made.png()
    files = {}
    for one, rotation, centre in zip(ids, rotations, centres, strict=True):
        files[f"hpdb/{one}_rgb.png"] = image
        files[f"hpdb/{one}_pose.txt"] = made.pose(rotation, centre)
    for sequence in sorted({one[:2] for one in ids}):
        files[f"hpdb/{sequence}/rgb.cal"] = made.camera(translation=translation(sequence))
        files[f"hpdb/{sequence}/depth.cal"] = made.depth_camera()
    return made.write_zip(tmp_path_factory.mktemp("biwi") / "hpdb.zip", files)


@pytest.fixture(scope="module")
def complete(archive, tmp_path_factory):
    done = prepare("biwi", [archive], tmp_path_factory.mktemp("prepared") / "biwi.h5")
    assert [note for note in done.notes if "no depth image" not in note] == []
    return open_dataset(done.path)


@pytest.fixture(scope="module")
def face(real_data, tmp_path_factory):
    """The genuine frame, prepared."""
    source = real_data / "raw" / "BIWI_one_frame.zip"
    target = tmp_path_factory.mktemp("one") / "biwi.h5"
    return open_dataset(prepare("biwi", [source], target, partial=True).path)


class TestTheGenuineFrame:
    def test_pose(self, face):
        assert face.ids == ["01/frame_00003"]
        expected = (3.290994605902283, 7.607222981354766, -1.5666319048416875)
        np.testing.assert_allclose(rotation_to_euler(face.poses["depth"][0], "raw-xyz"), expected, atol=1e-12)
        np.testing.assert_allclose(
            rotation_to_euler(face.poses["depth"][0], "upm-xyz"), (-expected[0], *expected[1:]), atol=1e-12
        )
        np.testing.assert_allclose(
            geodesic_distance(face.poses["rgb"], face.poses["depth"]), 1.04, atol=0.005
        )

    def test_everything_else(self, face, one_frame):
        assert face.groups == {"sequence": ["01"], "subject": ["F01"]}
        assert face.paths == {"depth": ["01/frame_00003_depth.bin"]}
        assert face.encoded_image(0).tobytes() == one_frame[f"{FIRST}_rgb.png"]
        assert face.boxes["mtcnn"].tolist() == [[270, 177, 414, 355]]
        np.testing.assert_array_equal(face.source["centre_mm"], [[51.9358, 38.2631, 881.756]])

    def test_the_head_is_where_the_detector_sees_it(self, face):
        left, top, right, bottom = face.boxes["mtcnn"][0]
        (x, y), box = face.source["centre_px"][0], face.boxes["head"][0]
        assert np.hypot(x - (left + right) / 2, y - (top + bottom) / 2) < 15
        # The detector's box is the face enlarged by 40 %, the other is the bare head.
        assert left < box[0] < box[2] < right
        assert top < box[1] < box[3] < bottom

    def test_calibration(self, one_frame):
        camera = read_camera(one_frame["hpdb/01/rgb.cal"])
        for found, expected in (
            (camera.matrix, made.K),
            (camera.rotation, made.R),
            (camera.translation, made.T),
        ):
            np.testing.assert_array_equal(found, expected)
        assert made.camera() == one_frame["hpdb/01/rgb.cal"].rstrip()
        assert made.depth_camera() == one_frame["hpdb/01/depth.cal"].rstrip()

    def test_depth(self, one_frame):
        data = one_frame[f"{FIRST}_depth.bin"]
        image = read_depth(data)
        assert np.frombuffer(data, "<i4", 2).tolist() == [640, 480] == list(image.shape[::-1])
        assert (image > 0).sum() == 56336
        assert (image[image > 0].min(), image.max()) == (782, 997)
        assert np.array_equal(read_depth(made.depth(image)), image)

    def test_the_persons_mesh_lies_on_the_depth_image_when_posed(self, one_frame, face):
        # Which settles that the matrix is R_cam of the depth camera, and not its inverse.
        depth = read_depth(one_frame[f"{FIRST}_depth.bin"])
        lines = one_frame["hpdb/01.obj"].decode().splitlines()
        mesh = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)

        def apart(rotation):
            points = mesh @ rotation.T + face.source["centre_mm"][0]
            pixels = points @ made.DEPTH_K.T
            column, row = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int).T
            nearest = np.full(depth.shape, np.inf)
            np.minimum.at(nearest, (row, column), points[:, 2])
            both = np.isfinite(nearest) & (depth > 0)
            assert both.sum() > 2500
            return np.median(np.abs(nearest - depth)[both])

        rotation = face.poses["depth"][0]
        assert apart(rotation) < 4
        assert apart(rotation.T) > 8


class TestAllFrames:
    def test_faces(self, complete, published):
        assert complete.ids == face_ids(published["frames"])
        assert len(complete) == len(complete.image_paths) == 15678
        assert sum(not path for path in complete.paths["depth"]) == 15678

    def test_splits(self, complete, published, detected):
        counts = {name: len(rows) for name, rows in complete.splits.items()}
        assert counts == {"all": 15678, "mtcnn-13219": 13219, "train-subjects": 11373, "test-subjects": 4305}
        assert [complete.ids[row] for row in complete.split("mtcnn-13219")] == sorted(detected)
        people = np.array(complete.groups["subject"])
        train, test = (set(people[complete.split(f"{part}-subjects")]) for part in ("train", "test"))
        assert (len(train), len(test), train & test) == (14, 6, set())
        both = np.concatenate([complete.split("train-subjects"), complete.split("test-subjects")])
        np.testing.assert_array_equal(np.sort(both), complete.split("all"))

    def test_frames_per_sequence(self, complete):
        sequences = [complete.groups["sequence"][row] for row in complete.split("mtcnn-13219")]
        # PROTOCOLS 1.7
        assert [len(list(group)) for _, group in groupby(sequences)] == [
            431, 362, 569, 689, 881, 399, 699, 738, 831, 688, 570, 727,
            484, 653, 475, 692, 315, 476, 335, 471, 450, 530, 395, 359,
        ]  # fmt: skip
        table = {
            row["sequence"]: int(row["frames"]) for row in get_dataset("biwi").manifest.table("sequences")
        }
        assert {one: complete.groups["sequence"].count(one) for one in table} == table

    def test_people_in_two_sequences(self, complete):
        pairs = set(zip(complete.groups["subject"], complete.groups["sequence"], strict=True))
        places = {who: sorted(s for one, s in pairs if one == who) for who, _ in pairs}
        assert len(places) == 20
        twice = {who: found for who, found in places.items() if len(found) > 1}
        expected = {"F02": ["02", "21"], "F03": ["03", "15"], "F05": ["05", "18"], "M01": ["07", "22"]}
        assert twice == expected

    def test_boxes_are_the_published_ones(self, complete, detected):
        boxes = complete.boxes["mtcnn"]
        for row, one in enumerate(complete.ids):
            expected = detected[one][1] if one in detected else [np.nan] * 4
            np.testing.assert_array_equal(boxes[row], expected)

    def test_angles_are_the_published_ones(self, complete, published, detected):
        raw = rotation_to_euler(complete.poses["depth"], "raw-xyz")
        # What the six digits of _pose.txt leave of an angle; at 75 degrees of yaw they leave least.
        assert euler_errors(raw, published["ypr"]).max() < 1e-3
        rows = complete.split("mtcnn-13219")
        expected = [detected[complete.ids[row]][0] for row in rows]
        assert euler_errors(raw[rows], expected).max() < 1e-3

    def test_zero_predictor(self, complete):
        rotations = complete.poses["depth"][complete.split("mtcnn-13219")]
        errors = euler_errors(np.zeros((len(rotations), 3)), rotation_to_euler(rotations, "raw-xyz"))
        np.testing.assert_allclose(errors.mean(axis=0), (24.08091, 18.89194, 8.19681), atol=6e-6)
        assert round(errors.mean(), 5) == 17.05655
        assert round(geodesic_distance(rotations, np.eye(3)).mean(), 5) == 33.68366

    def test_range_of_angles(self, complete):
        angles = rotation_to_euler(complete.poses["depth"][complete.split("mtcnn-13219")], "upm-xyz")
        expected = [(-76.84, -62.84, -56.41), (74.67, 77.81, 44.68)]
        np.testing.assert_allclose([angles.min(axis=0), angles.max(axis=0)], expected, atol=0.006)

    def test_head_centres_project_to_where_they_were_put(self, complete):
        pixels, distance = placed_centre(complete.ids)
        np.testing.assert_allclose(complete.source["centre_px"], pixels, atol=2e-3)
        boxes = complete.boxes["head"]
        size = np.array([200, 240]) * 517.679 / distance[:, None]
        np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], size, rtol=1e-5)

    def test_both_poses_differ_by_the_turn_between_the_cameras(self, complete):
        apart = geodesic_distance(complete.poses["rgb"], complete.poses["depth"])
        turn = np.degrees(np.arccos((np.trace(made.R) - 1) / 2))
        assert round(turn, 2) == 1.04
        np.testing.assert_allclose(apart, turn, atol=1e-4)
        np.testing.assert_array_equal(complete.rotation, complete.poses["depth"])

    def test_with_a_frame_renamed_it_is_not_the_release(self, archive, tmp_path):
        with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(tmp_path / "biwi.zip", "w") as other:
            for name in whole.namelist():
                other.writestr(name.replace("24/frame_00005", "24/frame_09999"), whole.read(name))
        with pytest.raises(InvalidData, match=r"split '(all|mtcnn-13219)': expected"):
            prepare("biwi", [tmp_path / "biwi.zip"], tmp_path / "biwi.h5")
        assert not (tmp_path / "biwi.h5").exists()

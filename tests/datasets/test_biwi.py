"""BIWI from a few drawn frames: what is read, wherever the release lies, and every refusal by name."""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from facebench.cli import facebench
from facebench.datasets import get_dataset, prepare
from facebench.datasets.biwi import read_camera, read_depth, read_pose
from facebench.errors import DataMissing, InvalidData
from facebench.formats import open_dataset
from facebench.geometry import geodesic_distance, rotation_to_euler
from tests.datasets import biwi_release as made

IDS = ["01/frame_00003", "01/frame_00004", "01/frame_00005", "12/frame_00003", "12/frame_00004"]


@pytest.fixture(scope="module")
def manifest():
    return get_dataset("biwi").manifest


@pytest.fixture
def files():
    """The files of a small release by path; a test may change them."""
    return made.small_release()


@pytest.fixture
def run(tmp_path):
    """Prepare from a source, and open the outcome."""

    def call(*sources, **options):
        target = tmp_path / "prepared" / "biwi.h5"
        done = prepare("biwi", sources, target, **{"partial": True, **options})
        return SimpleNamespace(dataset=open_dataset(target), notes=done.notes, bytes=target.read_bytes())

    return call


@pytest.fixture
def refused(run, files, tmp_path):
    """Prepare the changed files, expect a refusal, and see that nothing was left; return the message."""

    def call(*sources, kind=InvalidData, **options):
        source = sources or [made.write_folder(tmp_path / "raw", files)]
        with pytest.raises(kind) as error:
            run(*source, **options)
        place = tmp_path / "prepared"
        assert not place.exists() or list(place.iterdir()) == []
        return str(error.value)

    return call


@pytest.fixture
def found(run, files, tmp_path):
    return run(made.write_folder(tmp_path / "raw", files))


class TestContent:
    def test_faces_and_groups(self, found):
        dataset = found.dataset
        assert dataset.ids == IDS
        assert dataset.image_paths == [f"{one}_rgb.png" for one in IDS]
        assert (dataset.image_sizes == [640, 480]).all()
        assert dataset.groups["sequence"] == ["01"] * 3 + ["12"] * 2
        assert dataset.groups["subject"] == ["F01"] * 3 + ["M06"] * 2
        assert dataset.annotations == {}

    def test_images_are_the_releases_own(self, found, files):
        for row, one in enumerate(IDS):
            assert found.dataset.encoded_image(row).tobytes() == files[f"hpdb/{one}_rgb.png"]

    def test_pose_of_sequence_12(self, found):
        dataset = found.dataset
        face = dataset["12/frame_00003"]
        np.testing.assert_array_equal(face.rotation, made.F12)
        assert list(dataset.poses) == ["depth", "rgb"]
        expected = (9.327468425194075, -0.4049239861618869, -6.394386324258948)
        np.testing.assert_allclose(rotation_to_euler(face.rotation, "raw-xyz"), expected, atol=1e-12)
        np.testing.assert_allclose(
            rotation_to_euler(face.rotation, "mnn-yxz"), (-9.32768, -0.39957, -6.32874), atol=2e-5
        )
        source = dataset.pose_source[face.row]
        np.testing.assert_array_equal(source, [*made.F12.ravel(), *made.CENTRE12])

    def test_pose_in_the_frame_of_the_images(self, found):
        poses = found.dataset.poses
        np.testing.assert_allclose(poses["rgb"], made.R @ poses["depth"], atol=1e-15)
        np.testing.assert_allclose(geodesic_distance(poses["rgb"], poses["depth"]), 1.04, atol=0.005)

    def test_head_centre_in_the_image(self, found):
        dataset = found.dataset
        row = dataset["12/frame_00003"].row
        np.testing.assert_allclose(dataset.source["centre_px"][row], (336.03, 233.92), atol=0.005)
        np.testing.assert_array_equal(dataset.source["centre_mm"][row], made.CENTRE12)
        left, top, right, bottom = dataset.boxes["mtcnn"][row]
        assert (left, top, right, bottom) == (260, 128, 413, 326)

    def test_box_of_the_head(self, found, manifest):
        dataset = found.dataset
        row = dataset["12/frame_00003"].row
        box = dataset.boxes["head"][row]
        distance = (made.R @ made.CENTRE12 + made.T)[2]
        np.testing.assert_allclose((box[:2] + box[2:]) / 2, dataset.source["centre_px"][row], atol=1e-9)
        np.testing.assert_allclose(box[2:] - box[:2], np.array([200, 240]) * 517.679 / distance, rtol=1e-9)
        assert "200 x 240 mm" in manifest.boxes["head"]

    def test_a_frame_that_is_not_in_the_published_list_has_no_detected_box(self, run, files, tmp_path):
        for kind in ("rgb.png", "pose.txt"):
            files[f"hpdb/01/frame_00035_{kind}"] = files[f"hpdb/01/frame_00003_{kind}"]
        dataset = run(made.write_folder(tmp_path / "raw", files)).dataset
        boxes = dataset.boxes["mtcnn"]
        assert np.isnan(boxes[dataset["01/frame_00035"].row]).all()
        assert np.isfinite(np.delete(boxes, dataset["01/frame_00035"].row, axis=0)).all()

    def test_depth_is_a_path_and_may_be_absent(self, run, files, tmp_path):
        del files["hpdb/12/frame_00003_depth.bin"]
        done = run(made.write_folder(tmp_path / "raw", files), images="none")
        paths = done.dataset.paths["depth"]
        assert paths == ["" if one == "12/frame_00003" else f"{one}_depth.bin" for one in IDS]
        assert "no depth image of 1 of 5 frames: 12/frame_00003" in done.notes
        image = read_depth((tmp_path / "raw" / "hpdb" / paths[0]).read_bytes())
        np.testing.assert_array_equal(image, made.head_depth().astype(np.int16))

    def test_a_part_says_so_and_has_no_split_that_is_not_whole(self, found):
        assert list(found.dataset.splits) == ["all"]
        assert "a part of the release: 5 of 15678 faces" in found.notes
        assert any("mtcnn-13219, train-subjects, test-subjects" in note for note in found.notes)

    def test_each_sequence_has_its_own_calibration(self, run, files, tmp_path):
        files["hpdb/12/rgb.cal"] = made.camera(rotation=np.eye(3), translation=np.zeros(3))
        dataset = run(made.write_folder(tmp_path / "raw", files)).dataset
        np.testing.assert_array_equal(dataset.poses["rgb"][3:], dataset.poses["depth"][3:])
        assert (geodesic_distance(dataset.poses["rgb"][:3], dataset.poses["depth"][:3]) > 1).all()

    def test_the_depth_camera_need_not_be_there(self, run, files, tmp_path, found):
        del files["hpdb/01/depth.cal"], files["hpdb/12/depth.cal"]
        other = run(made.write_folder(tmp_path / "other", files)).dataset
        np.testing.assert_array_equal(other.poses["rgb"], found.dataset.poses["rgb"])


class TestLayouts:
    @pytest.mark.parametrize("folder", ["hpdb", "faces_0", "kinect_head_pose_db", "", "data/biwi/hpdb"])
    def test_folders_and_archives_give_the_same(self, run, tmp_path, folder):
        files = made.small_release(folder)
        first = run(made.write_folder(tmp_path / "raw", files))
        second = run(made.write_zip(tmp_path / "biwi.zip", files))
        assert first.bytes == second.bytes
        assert first.dataset.ids == IDS

    def test_the_folder_itself(self, run, files, tmp_path):
        root = made.write_folder(tmp_path / "raw", files)
        assert run(root / "hpdb").bytes == run(root).bytes

    def test_images_by_path(self, run, files, tmp_path):
        dataset = run(made.write_folder(tmp_path / "raw", files), images="none").dataset
        assert dataset.encoded_image(0).tobytes() == files["hpdb/01/frame_00003_rgb.png"]

    def test_the_copy_with_binary_poses_beside_it(self, run, files, tmp_path):
        files["db_annotations/01/frame_00003_pose.bin"] = b"\0" * 24
        assert run(made.write_folder(tmp_path / "raw", files)).dataset.ids == IDS

    def test_the_same_sequences_twice(self, refused, files):
        files.update(made.small_release("faces_0"))
        message = refused()
        assert "found sequences in 2 folders" in message
        assert "faces_0" in message
        assert "hpdb" in message

    def test_a_second_source_that_adds_nothing(self, refused, files, tmp_path):
        root = made.write_folder(tmp_path / "raw", files)
        (tmp_path / "idle").mkdir()
        message = refused(root, tmp_path / "idle", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'idle'}: nothing of BIWI")

    def test_something_else(self, refused, tmp_path, manifest):
        message = refused(made.write_folder(tmp_path / "raw", {"beach.png": b"x"}), kind=DataMissing)
        assert "no BIWI Kinect Head Pose Database release found" in message
        assert manifest.tree.strip() in message
        assert "facebench info biwi" in message

    def test_the_packed_archive(self, refused, tmp_path):
        (tmp_path / "kinect_head_pose_db.tgz").write_bytes(b"\x1f\x8b")
        message = refused(tmp_path, kind=DataMissing)
        assert f"({tmp_path / 'kinect_head_pose_db.tgz'}), or unpack it" in message


class TestCommands:
    def test_a_dataset_without_annotations_is_prepared_shown_and_verified(self, files, tmp_path):
        root = made.write_folder(tmp_path / "raw", files)
        home = ["--home", str(tmp_path / "home")]
        runner = CliRunner()
        done = runner.invoke(
            facebench, ["prepare", "biwi", "--source", str(root), "--partial", "--json", *home]
        )
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["faces"], found["annotations"], found["splits"]) == (5, [], {"all": 5})
        assert runner.invoke(facebench, ["verify", "biwi", *home]).exit_code == 0
        shown = runner.invoke(facebench, ["info", "biwi"])
        assert shown.exit_code == 0
        assert "non-commercial use: university research" in shown.stdout


class TestRefusals:
    def test_a_part_without_being_asked_for(self, refused):
        message = refused(partial=False)
        assert "expected 15678 faces, found 5" in message
        assert "01 has 3 of 499, 02 has 0 of 511" in message
        assert "--partial" in message

    @pytest.mark.parametrize(("absent", "left"), [("rgb.png", "pose.txt"), ("pose.txt", "rgb.png")])
    def test_a_frame_without_image_or_pose(self, refused, files, absent, left):
        del files[f"hpdb/12/frame_00004_{absent}"], files["hpdb/12/frame_00004_depth.bin"]
        message = refused()
        assert f"hpdb/12/frame_00004_{left}: has no frame_00004_{absent} beside it" in message

    def test_a_sequence_that_the_release_has_not(self, refused, files):
        for kind in ("rgb.png", "pose.txt"):
            files[f"hpdb/25/frame_00003_{kind}"] = files[f"hpdb/01/frame_00003_{kind}"]
        assert "the release has no sequence 25, only 01 to 24" in refused()

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "expected 4 rows of 3 numbers (rotation, head centre), found rows of nothing"),
            (made.pose()[:57], "expected 4 rows of 3 numbers (rotation, head centre), found rows of 3, 3"),
            (b"\xff\xfe" + made.pose(), "expected rows of numbers, found other text"),
            (made.pose().replace(b"906.864", b"far"), "expected rows of numbers, found other text"),
            (made.pose().replace(b"906.864", b"nan"), "expected finite numbers, found NaN or infinity"),
            (made.pose(rotation=2 * made.F12), "expected a rotation matrix in rows 1 to 3"),
            (made.pose(rotation=np.diag([1, 1, -1]) @ made.F12), "expected a rotation matrix in rows 1 to 3"),
            (made.pose(centre=-made.CENTRE12), "behind the RGB camera"),
        ],
    )
    def test_a_pose_that_is_none(self, refused, files, data, expected):
        files["hpdb/12/frame_00003_pose.txt"] = data
        message = refused()
        assert "1 fault found" in message
        assert "hpdb/12/frame_00003_pose.txt: " in message
        assert expected in message

    def test_all_bad_poses_are_named_at_once(self, refused, files):
        for one in IDS[1:4]:
            files[f"hpdb/{one}_pose.txt"] = b"nothing"
        message = refused()
        assert "3 faults found" in message
        assert all(f"hpdb/{one}_pose.txt" in message for one in IDS[1:4])

    def test_no_calibration(self, refused, files):
        del files["hpdb/12/rgb.cal"]
        assert "hpdb/12/rgb.cal: missing" in refused()

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "found rows of nothing"),
            (made.camera()[:-9], "found rows of 3, 3, 3, 4, 3, 3, 3, 3"),
            (made.camera().replace(b"517.679", b"x"), "expected rows of numbers, found other text"),
            (made.camera().replace(b"-13.2308", b"inf"), "expected finite numbers"),
            (made.camera(matrix=-made.K), "expected a camera matrix in rows 1 to 3"),
            (made.camera(rotation=np.ones((3, 3))), "expected a rotation matrix"),
        ],
    )
    def test_a_calibration_that_is_none(self, refused, files, data, expected):
        files["hpdb/12/rgb.cal"] = data
        message = refused()
        assert "hpdb/12/rgb.cal: " in message
        assert expected in message

    def test_a_depth_camera_that_is_not_the_frame_of_reference(self, refused, files):
        files["hpdb/01/depth.cal"] = made.camera()
        assert "hpdb/01/depth.cal: expected rotation 1 and translation 0" in refused()

    def test_an_image_that_was_cut_short(self, refused, files):
        name = "hpdb/12/frame_00003_rgb.png"
        files[name] = files[name][:-20]
        message = refused()
        assert name in message
        assert "cut short" in message

    def test_a_damaged_archive_member(self, refused, files, tmp_path):
        path = made.write_zip(tmp_path / "biwi.zip", files)
        data = path.read_bytes().replace(b"0.980639", b"0.980638", 1)
        path.write_bytes(data)
        assert "hpdb/01/frame_00003_pose.txt: cannot be read (Bad CRC-32" in refused(path)


class TestFiles:
    def test_a_camera(self):
        camera = read_camera(made.camera())
        np.testing.assert_array_equal(camera.matrix, made.K)
        np.testing.assert_array_equal(camera.rotation, made.R)
        np.testing.assert_array_equal(camera.translation, made.T)
        assert camera.size == (640, 480)
        np.testing.assert_allclose(camera.project([made.CENTRE12]), [(336.03, 233.92)], atol=0.005)

    def test_a_pose_with_other_line_ends(self):
        rotation, centre = read_pose(made.pose().replace(b"\n", b"\r\n"))
        np.testing.assert_array_equal(rotation, made.F12)
        np.testing.assert_array_equal(centre, made.CENTRE12)

    @pytest.mark.parametrize("fill", [0, 1000])
    def test_an_empty_and_a_full_depth_image(self, fill):
        image = np.full((480, 640), fill)
        found = read_depth(made.depth(image))
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, image)

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "expected a depth image of 640 x 480 pixels, found 0 bytes"),
            (struct.pack("<2i", 1 << 30, 1 << 30), "found 1073741824 x 1073741824"),
            (struct.pack("<2i", 640, 480), "cut short: 0 of 307200 pixels in 8 bytes"),
            (struct.pack("<4i", 640, 480, 0, 9), "cut short: 0 of 307200 pixels in 16 bytes"),
            (struct.pack("<4i", 640, 480, -5, 5), "expected a run within 307200 pixels, found -5"),
            (struct.pack("<4i", 640, 480, 0, 0), "expected a run within 307200 pixels, found 0"),
            (struct.pack("<4i", 640, 480, 307200, 1), "expected a run within 307200 pixels, found 307200"),
            (made.depth(made.head_depth())[:-100], "cut short"),
            (made.depth(made.head_depth()) + b"xx", "pixels of depth, found"),
        ],
    )
    def test_a_depth_image_that_is_none(self, data, expected):
        with pytest.raises(InvalidData, match=expected):
            read_depth(data)


class TestManifest:
    def test_people(self, manifest):
        table = manifest.table("sequences")
        assert [row["sequence"] for row in table] == [f"{number:02}" for number in range(1, 25)]
        # PROTOCOLS 1.7
        people = [
            "F01", "F02", "F03", "F04", "F05", "F06", "M01", "M02", "M03", "M04", "M05", "M06",
            "M07", "M08", "F03", "M09", "M10", "F05", "M11", "M12", "F02", "M01", "M13", "M14",
        ]  # fmt: skip
        assert [row["subject"] for row in table] == people
        assert len(set(people)) == 20
        assert sum(int(row["frames"]) for row in table) == manifest.faces == manifest.images == 15678

    def test_the_split_by_subjects_is_the_one_that_was_drawn(self, manifest):
        table = manifest.table("sequences")
        drawn = np.random.default_rng(0).permutation(sorted({row["subject"] for row in table})).tolist()
        parts = {part: {row["subject"] for row in table if row["part"] == part} for part in ("train", "test")}
        assert parts == {"train": set(drawn[:14]), "test": set(drawn[14:])}
        for part, people in parts.items():
            assert " ".join(sorted(people)) in manifest.splits[f"{part}-subjects"].what

    def test_the_detections(self, manifest):
        table = manifest.table("mtcnn")
        assert len(table) == len({(row["sequence"], row["frame"]) for row in table}) == 13219
        have = [sum(row["sequence"] == f"{number:02}" for row in table) for number in range(1, 25)]
        # PROTOCOLS 1.7
        assert have == [
            431, 362, 569, 689, 881, 399, 699, 738, 831, 688, 570, 727,
            484, 653, 475, 692, 315, 476, 335, 471, 450, 530, 395, 359,
        ]  # fmt: skip
        boxes = {row["sequence"]: row for row in reversed(table)}
        first = [int(boxes["01"][edge]) for edge in ("frame", "x_min", "y_min", "x_max", "y_max")]
        assert first == [3, 270, 177, 414, 355]

"""Every way in which a release can be wrong is told by file and by what was expected there."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.sparse import csc_array

from facebench.datasets import get_dataset, prepare
from facebench.errors import DataMissing, InvalidData, UsageError
from tests.datasets import torch7
from tests.datasets.helpers import STACK, change_mat, flip

ONE, TWO = "image90001", "image90002"


class TestSources:
    def test_none(self, refused):
        message = refused(kind=DataMissing)
        assert "no --source given" in message
        assert "AFLW2000-3D.zip" in message
        assert "facebench info aflw2000" in message

    def test_a_path_that_is_not_there(self, refused, tmp_path):
        message = refused(tmp_path / "AFLW2000-3D.zip", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'AFLW2000-3D.zip'}: no such file or folder")

    def test_a_folder_of_something_else(self, refused, tmp_path):
        (tmp_path / "holidays").mkdir()
        (tmp_path / "holidays" / "beach.jpg").write_bytes(b"x")
        message = refused(tmp_path / "holidays", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'holidays'}: no AFLW2000-3D release found")
        assert get_dataset("aflw2000").manifest.tree.strip() in message
        assert "facebench info aflw2000" in message
        assert "archive" not in message.splitlines()[0]

    def test_an_empty_folder(self, refused, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no AFLW2000-3D release found" in refused(tmp_path / "empty", kind=DataMissing)

    def test_a_folder_that_holds_only_the_archive(self, refused, release, tmp_path):
        (tmp_path / "downloads").mkdir()
        archive = shutil.make_archive(str(tmp_path / "downloads" / "AFLW2000-3D"), "zip", release)
        message = refused(tmp_path / "downloads", kind=DataMissing)
        assert f"give that as --source ({archive})" in message

    def test_the_reannotation_alone(self, refused, release):
        message = refused(release / STACK, kind=DataMissing)
        assert message.startswith(f"{release / STACK}: no AFLW2000-3D release found")

    def test_a_second_source_that_adds_nothing(self, refused, release, tmp_path):
        (tmp_path / "idle").mkdir()
        (tmp_path / "idle" / "readme.txt").write_text("hello", encoding="utf-8")
        message = refused(release, tmp_path / "idle", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'idle'}: nothing of AFLW2000-3D")
        assert "reannotated: AFLW2000-3D-Reannotated.pts68.npy" in message

    def test_a_second_reannotation(self, refused, release, tmp_path):
        shutil.copy(release / STACK, tmp_path / "other.npy")
        message = refused(release, tmp_path / "other.npy", kind=(DataMissing, InvalidData))
        assert str(tmp_path / "other.npy") in message

    def test_two_stacks_in_one_folder(self, refused, release):
        """Which one is meant is the user's to say, not a matter of the alphabet."""
        np.save(release / "AFLW2000-3D-Reannotated.old.npy", np.zeros((4, 2, 68)))
        message = refused(release)
        assert "AFLW2000-3D-Reannotated.old.npy" in message
        assert STACK in message

    def test_two_releases(self, refused, release):
        shutil.copytree(release / "AFLW2000", release / "backup")
        message = refused(release)
        assert str(release / "AFLW2000") in message
        assert str(release / "backup") in message
        assert "give the one to use as --source" in message

    def test_the_same_release_twice(self, refused, release):
        assert "in 2 folders" in refused(release, release)

    def test_an_unknown_dataset(self, release, tmp_path):
        with pytest.raises(UsageError, match=r"Unknown dataset 'aflw2001'. Known datasets: .*aflw2000"):
            prepare("aflw2001", [release], tmp_path / "x.h5")
        assert not (tmp_path / "x.h5").exists()


class TestArchives:
    @pytest.fixture
    def archive(self, release, tmp_path):
        return shutil.make_archive(str(tmp_path / "AFLW2000-3D"), "zip", release)

    def test_cut_short(self, refused, archive):
        os.truncate(archive, Path(archive).stat().st_size // 2)
        assert refused(archive).startswith(f"{archive}: not a complete zip archive")

    @pytest.mark.parametrize("name", [f"AFLW2000/{TWO}.jpg", f"AFLW2000/{TWO}.mat", STACK])
    def test_with_a_changed_byte(self, refused, archive, name):
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(name)
        flip(Path(archive), info.header_offset + 30 + len(name) + info.compress_size // 2)
        assert refused(archive).startswith(f"{archive}: {name}: cannot be read")

    def test_that_are_none(self, refused, tmp_path):
        (tmp_path / "AFLW2000-3D.zip").write_text("<html>Not found</html>", encoding="utf-8")
        assert "not a complete zip archive" in refused(tmp_path / "AFLW2000-3D.zip")


class TestPairs:
    @pytest.mark.parametrize(("gone", "other"), [("jpg", "mat"), ("mat", "jpg")])
    def test_a_file_without_its_other(self, refused, release, gone, other):
        (release / "AFLW2000" / f"{TWO}.{gone}").unlink()
        message = refused(release)
        assert f"AFLW2000/{TWO}.{other}: has no {TWO}.{gone} beside it" in message
        assert "1 fault found" in message

    def test_many_are_counted_and_ten_are_named(self, run, tmp_path):
        folder = tmp_path / "AFLW2000"
        folder.mkdir()
        for number in range(1, 14):
            (folder / f"image{number:05}.mat").write_bytes(b"x")
        with pytest.raises(InvalidData) as error:
            run(folder)
        assert "13 faults found" in str(error.value)
        assert "image00010.mat: has no image00010.jpg" in str(error.value)
        assert "image00011" not in str(error.value)
        assert "... and 3 more" in str(error.value)

    def test_another_number_of_faces_needs_consent(self, refused, release):
        message = refused(release, partial=False)
        assert "expected 2000 faces, found 4" in message
        assert (
            "absent: image00002, image00004, image00006, image00008, image00010 ... and 1995 more" in message
        )
        assert "--partial" in message

    def test_a_part_says_that_it_is_one(self, run, release):
        outcome = run(release)
        assert "a part of the release: 4 of 2000 faces" in outcome.notes
        assert "none of the 8 files belongs to the published release" in outcome.notes
        assert outcome.dataset.provenance["options"]["partial"] is True


class TestAnnotations:
    @pytest.mark.parametrize("key", ["Pose_Para", "pt3d_68", "pt2d", "roi"])
    def test_a_key_that_is_missing(self, refused, release, key):
        change_mat(release / "AFLW2000" / f"{TWO}.mat", **{key: None})
        assert f"  AFLW2000/{TWO}.mat: key '{key}': expected shape (" in refused(release)

    @pytest.mark.parametrize(
        ("changes", "expected", "found"),
        [
            ({"pt3d_68": np.zeros((3, 67))}, "(3, 68)", "(3, 67)"),
            ({"pt3d_68": np.zeros((68, 3))}, "(3, 68)", "(68, 3)"),
            ({"Pose_Para": np.zeros((1, 6))}, "(1, 7)", "(1, 6)"),
            ({"Pose_Para": np.zeros((7, 1))}, "(1, 7)", "(7, 1)"),
            ({"pt2d": np.zeros((2, 20))}, "(2, 21)", "(2, 20)"),
            ({"pt2d": np.zeros((2, 21, 2))}, "(2, 21)", "(2, 21, 2)"),
            ({"roi": np.zeros((0, 0))}, "(1, 4)", "(0, 0)"),
        ],
    )
    def test_an_array_of_another_shape(self, refused, release, changes, expected, found):
        change_mat(release / "AFLW2000" / f"{TWO}.mat", **changes)
        (key,) = changes
        message = refused(release)
        assert f"AFLW2000/{TWO}.mat: key '{key}': expected shape {expected}, found {found}" in message

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"Pose_Para": np.array([["1", 2, 3, 4, 5, 6, 7]], object)}, "object"),
            ({"Pose_Para": np.ones((1, 7), complex)}, "complex"),
        ],
        ids=["cells", "complex numbers"],
    )
    def test_an_array_of_another_kind(self, refused, release, changes, kind):
        """The shape is right, so the message must say what is not."""
        change_mat(release / "AFLW2000" / f"{TWO}.mat", **changes)
        message = refused(release)
        assert f"AFLW2000/{TWO}.mat: key 'Pose_Para': expected " in message
        assert kind in message

    def test_a_sparse_array(self, refused, release):
        change_mat(release / "AFLW2000" / f"{TWO}.mat", pt2d=csc_array(np.ones((2, 21))))
        assert f"AFLW2000/{TWO}.mat: key 'pt2d': expected " in refused(release)

    @pytest.mark.parametrize("key", ["Pose_Para", "pt3d_68", "pt2d"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_number_that_is_none(self, refused, release, key, value):
        path = release / "AFLW2000" / f"{TWO}.mat"
        array = loadmat(path)[key].astype(float)
        array[0, 3] = value
        change_mat(path, **{key: array})
        message = refused(release)
        assert f"AFLW2000/{TWO}.mat: key '{key}': expected finite numbers, found NaN or infinity" in message

    @pytest.mark.parametrize(
        "content",
        [b"", b"x" * 10, b"<html>Not found</html>" * 20, bytes(1000)],
        ids=["empty", "short", "a web page", "zeros"],
    )
    def test_a_file_that_is_no_matlab_file(self, refused, release, content):
        (release / "AFLW2000" / f"{TWO}.mat").write_bytes(content)
        assert f"AFLW2000/{TWO}.mat: not a readable MATLAB file" in refused(release)

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
    def test_a_file_that_was_cut_short(self, refused, release, share):
        path = release / "AFLW2000" / f"{TWO}.mat"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert f"AFLW2000/{TWO}.mat: " in refused(release)

    def test_a_file_of_a_later_matlab(self, refused, release):
        with h5py.File(release / "AFLW2000" / f"{TWO}.mat", "w") as file:
            file["Pose_Para"] = np.zeros((7, 1))
        assert f"AFLW2000/{TWO}.mat: not a readable MATLAB file" in refused(release)

    def test_all_faults_are_told_at_once(self, refused, release):
        folder = release / "AFLW2000"
        change_mat(folder / f"{ONE}.mat", roi=None, pt3d_68=np.zeros((3, 5)))
        (folder / f"{TWO}.mat").write_bytes(b"")
        message = refused(release)
        assert "3 faults found" in message
        for part in (f"{ONE}.mat: key 'roi'", f"{ONE}.mat: key 'pt3d_68'", f"{TWO}.mat: not a readable"):
            assert part in message

    def test_further_columns_of_pt2d_are_known_of_and_left_out(self, run, release):
        path = release / "AFLW2000" / f"{TWO}.mat"
        before = run(release).dataset.annotations["original"].visibility
        change_mat(path, pt2d=np.hstack([loadmat(path)["pt2d"], [[5.0, -1], [5, 452]]]))
        np.testing.assert_array_equal(run(release).dataset.annotations["original"].visibility, before)


class TestImages:
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.999])
    def test_cut_short(self, refused, release, share):
        path = release / "AFLW2000" / f"{TWO}.jpg"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert f"AFLW2000/{TWO}.jpg: " in refused(release)

    @pytest.mark.parametrize(
        "content", [b"<html>Not found</html>" * 50, b"\xff\xd8" + bytes(500), bytes(900)]
    )
    def test_that_are_none(self, refused, release, content):
        (release / "AFLW2000" / f"{TWO}.jpg").write_bytes(content)
        assert f"AFLW2000/{TWO}.jpg: expected an image" in refused(release)

    def test_another_size_is_no_fault(self, run, release):
        picture = cv2.imencode(".jpg", np.full((30, 40, 3), 90, np.uint8))[1]
        (release / "AFLW2000" / f"{TWO}.jpg").write_bytes(picture.tobytes())
        assert run(release).dataset.image_sizes.tolist()[1] == [40, 30]


class TestReannotation:
    @pytest.mark.parametrize(
        "shape", [(3, 2, 68), (5, 2, 68), (4, 68), (4, 3, 68), (4, 2, 67), (2, 68), (1, 4, 2, 68)], ids=str
    )
    def test_a_stack_of_another_shape(self, refused, release, shape):
        np.save(release / STACK, np.zeros(shape))
        message = refused(release)
        assert message.startswith(f"{release / STACK}: expected shape (4, 2, 68), one row for each face")
        assert f"found {shape}" in message

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_number_that_is_none(self, refused, release, points, value):
        points[2, 30, 1] = value
        np.save(release / STACK, points)
        message = refused(release)
        assert message.startswith(f"{release / STACK}: expected finite coordinates")
        assert "row 2" in message

    def test_a_pickle_is_not_loaded(self, refused, release, tmp_path):
        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "unpickled"),)

        np.save(release / STACK, np.array([Payload()] * 4, object))
        assert refused(release).startswith(f"{release / STACK}: not a readable .npy file")
        assert not (tmp_path / "unpickled").exists()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not numpy at all",
            b"\x93NUMPY\x01\x00",
            b"\x93NUMPY\x01\x00\x05\x00(((((",
            b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }".ljust(118),
        ],
        ids=["empty", "text", "cut", "open bracket", "a vast claim"],
    )
    def test_a_file_that_is_no_array(self, refused, release, content):
        (release / STACK).write_bytes(content)
        assert refused(release).startswith(f"{release / STACK}: ")

    @pytest.mark.parametrize("value", ["x", b"x", 1j, None], ids=["text", "bytes", "complex", "objects"])
    def test_an_array_of_another_kind(self, refused, release, value):
        np.save(release / STACK, np.full((4, 2, 68), value))
        assert refused(release).startswith(f"{release / STACK}: ")

    def test_an_archive_of_arrays_under_the_name_of_one(self, refused, release, points):
        with (release / STACK).open("wb") as file:
            np.savez(file, points=points)
        assert refused(release).startswith(f"{release / STACK}: ")

    @pytest.fixture
    def torch_folder(self, release, points):
        (release / STACK).unlink()
        folder = release / "LS3D-W"
        folder.mkdir()
        for row, one in enumerate(points):
            (folder / f"image{90001 + row}.t7").write_bytes(torch7.tensor(one))
        return folder

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (torch7.tensor(np.zeros((68, 2)))[:-1], "the file ends at byte"),
            (b"", "the file ends at byte 0"),
            (torch7.tensor(np.zeros((68, 2)), "Int"), "found 'torch.IntTensor'"),
            (torch7.tensor(np.zeros((67, 2))), "found (1, 67, 2)"),
            (torch7.tensor(np.full((68, 2), np.nan)), "NaN or infinity"),
            (torch7.tensor([1.0, 2.0], shape=(10**15, 2), strides=(0, 1)), "tensor of shape"),
        ],
        ids=["cut", "empty", "integers", "67 points", "nan", "a vast claim"],
    )
    def test_a_bad_torch_file_is_named(self, refused, release, torch_folder, data, message):
        (torch_folder / f"{TWO}.t7").write_bytes(data)
        told = refused(release)
        assert f"  LS3D-W/{TWO}.t7: " in told
        assert message in told
        assert "1 fault found" in told

    def test_faces_without_a_file_and_files_without_a_face(self, refused, release, torch_folder):
        (torch_folder / f"{TWO}.t7").rename(torch_folder / "image00077.t7")
        message = refused(release)
        assert f"  {TWO}.t7: missing; the release has this face" in message
        assert "  LS3D-W/image00077.t7: the release has no such face" in message

    def test_a_file_of_a_face_that_is_an_archive(self, refused, release, torch_folder, points):
        for path in torch_folder.iterdir():
            with path.with_suffix(".npy").open("wb") as file:
                np.savez(file, points=points[0])
            path.unlink()
        assert f"LS3D-W/{ONE}.npy: " in refused(release)


class TestLitter:
    """What macOS and Windows leave beside and inside a release changes nothing."""

    def add(self, folder, *names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\x00\x05\x16\x07Mac OS X")

    @pytest.mark.parametrize(
        "names",
        [
            (".DS_Store", "AFLW2000/.DS_Store", "AFLW2000/Thumbs.db"),
            ("__MACOSX/AFLW2000/._image90001.mat", "__MACOSX/._AFLW2000", f"__MACOSX/._{STACK}"),
            ("AFLW2000/._image90001.mat", "AFLW2000/._image90001.jpg"),
            (f"._{STACK}",),
        ],
        ids=["DS_Store", "MACOSX", "beside the files", "beside the stack"],
    )
    @pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
    def test_is_passed_over(self, run, release, tmp_path, names, packed):
        clean = run(release)
        self.add(release, *names)
        place = shutil.make_archive(str(tmp_path / "littered"), "zip", release) if packed else release
        assert run(place).bytes == clean.bytes

    def test_beside_a_release_that_lies_deeper(self, run, release, tmp_path):
        shutil.move(release, tmp_path / "data" / "release")
        self.add(tmp_path / "data" / "release", "__MACOSX/AFLW2000/image90001.mat")
        assert len(run(tmp_path / "data").dataset) == 4

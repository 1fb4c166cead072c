"""The release and its reannotation are found wherever they lie, and give the same file from anywhere."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest

from facebench.datasets import prepare
from facebench.errors import UsageError
from tests.datasets import torch7
from tests.datasets.helpers import FACES, STACK


def pack(folder, path, method=zipfile.ZIP_DEFLATED):
    """Pack a folder as other people's tools do: any order, with entries for folders."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


def as_parent(release, work):
    return [release]


def as_archive(release, work):
    return [pack(release, work / "all.zip")]


def as_stored_archive(release, work):
    return [pack(release, work / "all.zip", zipfile.ZIP_STORED)]


def as_two_sources(release, work):
    only = work / "only"
    shutil.copytree(release / "AFLW2000", only / "AFLW2000")
    return [only, release / STACK]


def as_two_sources_the_other_way_round(release, work):
    return as_two_sources(release, work)[::-1]


def as_archive_and_stack(release, work):
    only = work / "only"
    shutil.copytree(release / "AFLW2000", only / "AFLW2000")
    return [pack(only, work / "AFLW2000-3D.zip"), release / STACK]


def as_folder_itself(release, work):
    return [release / "AFLW2000", release / STACK]


def as_nested_folder(release, work):
    shutil.copytree(release, work / "data" / "faces" / "AFLW2000-3D")
    return [work / "data"]


def as_renamed_folder(release, work):
    shutil.copytree(release / "AFLW2000", work / "my faces (2)")
    return [work / "my faces (2)", release / STACK]


def as_folder_with_other_things(release, work):
    (release / "AFLW2000" / "Code").mkdir()
    (release / "AFLW2000" / "Code" / "demo.m").write_text("x = 1;", encoding="utf-8")
    (release / "readme.txt").write_text("hello", encoding="utf-8")
    (release / "AFLW2000" / "notes.mat").write_bytes(b"not of a face")
    return [release]


def as_folder_with_small_copies(release, work):
    """Other images of the same names, before and behind the release in the alphabet."""
    for name in ("AAA", "thumbnails"):
        (release / name).mkdir()
        for path in (release / "AFLW2000").glob("*.jpg"):
            (release / name / path.name).write_bytes(b"a small copy")
    return [release]


LAYOUTS = [
    as_parent,
    as_archive,
    as_stored_archive,
    as_two_sources,
    as_two_sources_the_other_way_round,
    as_archive_and_stack,
    as_folder_itself,
    as_nested_folder,
    as_renamed_folder,
    as_folder_with_other_things,
    as_folder_with_small_copies,
]


@pytest.fixture(scope="session")
def expected(four_faces, tmp_path_factory):
    """What the four faces give from the folder that they were drawn into."""
    path = tmp_path_factory.mktemp("expected") / "aflw2000.h5"
    prepare("aflw2000", [four_faces], path, partial=True)
    return path.read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__.removeprefix("as_"))
def test_the_faces_are_found(release, tmp_path, run, layout):
    found = run(*layout(release, tmp_path)).dataset
    assert found.ids == [f"image{90001 + number}" for number in range(FACES)]
    assert set(found.annotations) == {"original", "reannotated"}
    for row, name in enumerate(found.ids):
        assert found.encoded_image(row).tobytes() == (release / "AFLW2000" / f"{name}.jpg").read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__.removeprefix("as_"))
def test_the_same_release_gives_the_same_bytes(release, tmp_path, run, expected, layout):
    assert run(*layout(release, tmp_path)).bytes == expected


class TestReannotation:
    """The second labelling, in every form in which people have it."""

    @pytest.fixture
    def bare(self, release):
        """The release without a second labelling."""
        (release / STACK).unlink()
        return release

    def assert_found(self, outcome, points):
        annotation = outcome.dataset.annotation("reannotated")
        assert annotation.scheme == "ibug68"
        np.testing.assert_array_equal(annotation.points, points)
        assert (annotation.visibility == 0).all()
        assert not any("reannotated" in note for note in outcome.notes)

    @pytest.mark.parametrize("axes", [(0, 2, 1), (0, 1, 2)], ids=["2 by 68", "68 by 2"])
    @pytest.mark.parametrize("kind", ["<f4", "<f8", ">f8"])
    def test_one_stack(self, bare, run, points, tmp_path, axes, kind):
        stack = tmp_path / "points of mine.npy"
        np.save(stack, points.transpose(axes).astype(kind))
        self.assert_found(run(bare, stack), points)

    def test_a_stack_within_the_release(self, bare, run, points):
        (bare / "labels").mkdir()
        np.save(bare / "labels" / "aflw2000_reannotated.npy", points)
        self.assert_found(run(bare), points)

    def test_a_folder_of_numpy_files(self, bare, run, points, tmp_path):
        folder = tmp_path / "again"
        folder.mkdir()
        for row, one in enumerate(points):
            np.save(folder / f"image{90001 + row}.npy", one if row % 2 else one.T)
        self.assert_found(run(bare, folder), points)

    @pytest.mark.parametrize("kind", ["Float", "Double"])
    def test_a_folder_of_torch_files(self, bare, run, points, tmp_path, kind):
        """As LS3D-W has it: beside the images, which are not read again."""
        folder = tmp_path / "LS3D-W" / "AFLW2000-3D-Reannotated"
        folder.mkdir(parents=True)
        for row, one in enumerate(points):
            (folder / f"image{90001 + row}.t7").write_bytes(torch7.tensor(one, kind))
            (folder / f"image{90001 + row}.jpg").write_bytes(b"another copy of the image")
        self.assert_found(run(bare, tmp_path / "LS3D-W"), points)
        self.assert_found(run(tmp_path / "LS3D-W", bare), points)

    def test_torch_files_with_the_axes_the_other_way(self, bare, run, points, tmp_path):
        for row, one in enumerate(points):
            (bare / "AFLW2000" / f"image{90001 + row}.t7").write_bytes(torch7.tensor(one.T))
        self.assert_found(run(bare), points)

    def test_an_archive_of_torch_files(self, bare, run, points, tmp_path):
        (tmp_path / "t7").mkdir()
        for row, one in enumerate(points):
            (tmp_path / "t7" / f"image{90001 + row}.t7").write_bytes(torch7.tensor(one))
        self.assert_found(run(bare, pack(tmp_path / "t7", tmp_path / "LS3D-W.zip")), points)

    def test_none_is_told_with_what_it_is_for(self, bare, run):
        outcome = run(bare)
        assert set(outcome.dataset.annotations) == {"original"}
        (note,) = [note for note in outcome.notes if "reannotated" in note]
        assert "--source" in note
        assert "aflw2000/landmarks-reannotated" in note

    def test_its_files_are_hashed_apart_from_the_release(self, release, run):
        sources = run(release).dataset.provenance["sources"]
        assert sources["release"]["files"] == 2 * FACES
        assert sources["reannotated"]["files"] == 1
        assert sources["release"]["sha256"] != sources["reannotated"]["sha256"]


class TestImagesByPath:
    def test_need_an_unpacked_release(self, release, tmp_path, run):
        archive = pack(release, tmp_path / "all.zip")
        with pytest.raises(UsageError, match=r"all\.zip: '--images none' reads images by path"):
            run(archive, images="none")
        assert not (tmp_path / "prepared").exists()

    @pytest.mark.parametrize("inside", ["", "AFLW2000"], ids=["parent", "the folder itself"])
    def test_are_found_where_they_were(self, release, run, inside):
        found = run(release / inside, images="none").dataset
        for face in found:
            assert face.image.shape == (450, 450, 3)

    def test_the_file_says_so(self, release, run):
        found = run(release / "AFLW2000", images="none").dataset
        assert found.provenance["options"] == {"images": "none", "partial": True}
        assert found.provenance["image_root"] == str(release / "AFLW2000")
        assert "image_root" not in run(release).dataset.provenance

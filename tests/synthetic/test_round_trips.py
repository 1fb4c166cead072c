"""Rendered faces, written as the releases write theirs and prepared, come back as they were rendered."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebench.datasets.biwi import read_camera, read_depth, read_pose
from facebench.errors import UsageError
from facebench.geometry import VISIBILITY, geodesic_distance, get_scheme
from facebench.synthetic import trees
from facebench.synthetic.trees.biwi import DEPTH_CAMERA, RGB_FROM_DEPTH, Extrinsics, seen_by_depth_camera
from facebench.synthetic.trees.points import scheme_points
from tests.synthetic.round_trips import TRIPS, truth


@pytest.mark.parametrize("name", TRIPS)
def test_comes_back_as_it_was_rendered(releases, tmp_path, name):
    releases[name].check(tmp_path / f"{name}.h5")


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestWhatIsCompared:
    """The faces are such that every convention makes a difference."""

    def test_every_state_of_a_point_occurs(self, rendered):
        for scheme in ("ibug68", "aflw21", "cofw29"):
            _, states = truth(rendered, scheme)
            assert {VISIBILITY["visible"], VISIBILITY["hidden"]} <= set(np.unique(states)), scheme
        _, states = truth(rendered, "ibug68")
        assert VISIBILITY["occluded"] in states

    def test_the_heads_are_turned(self, rendered):
        assert max(geodesic_distance(face.rotation, np.eye(3)) for face in rendered) > 30

    def test_the_writers_have_the_points_of_each_scheme(self, rendered):
        for scheme in ("ibug68", "aflw19", "aflw21", "cofw29"):
            points, states = truth(rendered, scheme)
            for face, of_face, seen in zip(rendered, points, states, strict=True):
                found = scheme_points(face, scheme)
                np.testing.assert_allclose(found[0], of_face, rtol=0, atol=1e-9)
                np.testing.assert_array_equal(found[1], seen)

    def test_a_face_without_a_point_is_refused(self, rendered):
        face = rendered[0]
        few = {name: place for name, place in face.features.items() if name != "mouth_centre"}
        with pytest.raises(UsageError, match="lacks points of the scheme 'aflw21': mouth_centre"):
            scheme_points(replace(face, features=few), "aflw21")


@pytest.mark.parametrize("name", TRIPS)
class TestEveryWriter:
    def test_writes_the_same_bytes_again(self, releases, rendered, tmp_path, name):
        TRIPS[name].write(tmp_path / "again", rendered[:4])
        TRIPS[name].write(tmp_path / "more", iter(rendered[:4]))
        one, two = files(tmp_path / "again"), files(tmp_path / "more")
        assert list(one) == list(two)
        # SQLite and HDF5 keep no time, and MATLAB's head has none of ours.
        assert one == two

    def test_refuses_a_folder_with_other_files(self, rendered, tmp_path, name):
        (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(UsageError, match="holds other files"):
            TRIPS[name].write(tmp_path, rendered[:1])

    def test_looks_at_one_face_at_a_time(self, rendered, tmp_path, name):
        """Every face is written before the next one is made; only small tables wait for the end."""
        sizes = []

        def one_by_one():
            for face in rendered[:3]:
                yield face
                sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))

        TRIPS[name].write(tmp_path / "release", one_by_one())
        assert sizes == sorted(sizes)
        assert sizes[0] > 2000


class TestW300:
    def test_points_and_boxes_count_from_1(self, releases, rendered):
        from scipy.io import loadmat

        written = releases["300w"]
        one = next(row for row, name in enumerate(written.ids) if name.startswith("helen/testset/"))
        folder = written.sources[0]
        lines = (folder / f"{written.ids[one]}.pts").read_text().splitlines()
        assert lines[:3] == ["version: 1", "n_points:  68", "{"]
        first = [float(word) for word in lines[3].split()]
        np.testing.assert_allclose(first, rendered[one].points[0] + 1, rtol=0, atol=6e-7)
        rows = loadmat(folder / "Bounding Boxes" / "bounding_boxes_helen_testset.mat")["bounding_boxes"]
        box = rows[0, 0][0, 0]["bb_ground_truth"][0]
        np.testing.assert_allclose(box, rendered[one].box + 1, rtol=0, atol=6e-7)

    def test_ibug_has_rows_left_over_from_afw(self, releases):
        from scipy.io import loadmat

        written = releases["300w"]
        rows = loadmat(written.sources[0] / "Bounding Boxes" / "bounding_boxes_ibug.mat")["bounding_boxes"]
        names = [str(row[0, 0]["imgName"][0]) for row in rows[0]]
        stems = [
            one.rpartition("/")[2]
            for place in ("ibug/", "afw/")
            for one in written.ids
            if one.startswith(place)
        ]
        assert [name.rpartition(".")[0] for name in names] == stems


class TestAflw:
    def test_merlrav_cannot_express_points_beyond_the_border(self, rendered, tmp_path):
        points = rendered[0].points.copy()
        points[8] = (-3.0, 40.0)
        seen = rendered[0].visibility.copy()
        seen[8] = VISIBILITY["visible"]
        with pytest.raises(UsageError, match="MERL-RAV cannot express"):
            trees.write_aflw_tree(
                tmp_path / "release", [replace(rendered[0], points=points, visibility=seen)]
            )


class TestAflw2000:
    def test_images_of_another_size_are_refused(self, rendered, tmp_path):
        small = replace(rendered[0], image=rendered[0].image[:100, :100])
        with pytest.raises(UsageError, match="expected .* of 450 x 450 pixels"):
            trees.write_aflw2000_tree(tmp_path / "release", [small])


class TestBiwi:
    def test_files_say_what_the_loader_reads(self, releases):
        written = releases["biwi"]
        face = written.faces[0]
        folder = written.sources[0] / "hpdb"
        camera = read_camera((folder / "01" / "rgb.cal").read_bytes())
        np.testing.assert_allclose(camera.matrix, face.camera, rtol=1e-5)
        np.testing.assert_allclose(camera.rotation, RGB_FROM_DEPTH.rotation, atol=1e-9)
        np.testing.assert_allclose(camera.translation, RGB_FROM_DEPTH.translation, atol=1e-9)
        assert camera.size == (640, 480)
        rotation, centre = read_pose((folder / f"{written.ids[0]}_pose.txt").read_bytes())
        np.testing.assert_allclose(camera.rotation @ rotation, face.rotation, rtol=0, atol=3e-6)
        np.testing.assert_allclose(camera.see(centre[None])[0], face.centre, rtol=0, atol=0.006)
        assert geodesic_distance(rotation, face.rotation) > 2

    def test_depth_comes_back_as_rendered_where_the_cameras_are_one(self, rendered, tmp_path):
        itself = Extrinsics(np.eye(3), np.zeros(3))
        depth = np.zeros((480, 640), np.float32)
        depth[10:460, 90:540] = rendered[0].depth
        face = replace(rendered[0], camera=DEPTH_CAMERA, depth=depth)
        (one,) = trees.write_biwi_tree(tmp_path / "release", [face], itself)
        found = read_depth((tmp_path / "release" / "hpdb" / f"{one}_depth.bin").read_bytes())
        np.testing.assert_array_equal(found, np.round(depth))

    def test_nothing_is_seen_of_nothing(self, rendered):
        nothing = np.zeros_like(rendered[0].depth)
        assert not seen_by_depth_camera(nothing, rendered[0].camera, RGB_FROM_DEPTH).any()

    def test_every_camera_is_a_sequence(self, rendered, tmp_path):
        face = replace(rendered[0], depth=np.zeros_like(rendered[0].depth))

        def cameras(count):
            for row in range(count):
                yield replace(face, camera=face.camera * [[1 + row / 100], [1 + row / 100], [1]])

        ids = trees.write_biwi_tree(tmp_path / "two", [*cameras(2), *cameras(2)])
        assert ids == ["01/frame_00003", "02/frame_00003", "01/frame_00004", "02/frame_00004"]
        with pytest.raises(UsageError, match="more than 24 cameras"):
            trees.write_biwi_tree(tmp_path / "many", cameras(25))


@pytest.mark.parametrize("scheme", ["ibug68", "cofw29"])
def test_mean_face_has_the_labels_of_the_published_file(tmp_path, scheme):
    path = trees.write_mean_face(tmp_path, scheme)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="|"))
    assert [int(row[0]) for row in rows] == list(get_scheme(scheme).upm_labels)
    tip, chin = (next(row for row in rows if row[0] == label) for label in ("17", "24"))
    assert float(tip[3]) > float(chin[3])
    assert float(tip[2]) > float(chin[2])

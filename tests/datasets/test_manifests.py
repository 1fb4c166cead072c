"""Manifests hold the facts of datasets: complete, consistent, and refused by key where they are not."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from facebench.datasets import dataset_names, get_dataset, load_manifest, manifest_folder
from facebench.datasets.manifest import Split
from facebench.datasets.splits import split_rows
from facebench.errors import InvalidData
from facebench.formats import ids_sha256
from facebench.geometry import scheme_names
from tests.datasets.helpers import MANIFEST


@pytest.fixture(scope="module")
def aflw2000():
    return get_dataset("aflw2000").manifest


class TestOfEveryDataset:
    def test_there_is_one_for_each_and_each_is_for_one(self):
        files = {path.stem for path in manifest_folder().glob("*.toml")}
        assert files == set(dataset_names())
        assert {path.stem for path in manifest_folder().glob("*.sha256")} <= files

    @pytest.mark.parametrize("name", dataset_names())
    def test_facts_agree_with_each_other(self, name):
        manifest = get_dataset(name).manifest
        assert manifest.name == name
        assert {one.scheme for one in manifest.annotations.values()} <= set(scheme_names())
        assert manifest.splits["all"].count == manifest.faces
        for split in manifest.splits.values():
            assert split.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", split.sha256)
            assert split.ids is None or (len(split.ids) == split.count == len(set(split.ids)))
            assert split.ids is None or split.sha256 in (None, ids_sha256(split.ids))
            assert set(split.exclude_splits) <= set(manifest.splits)
        for digest in manifest.file_hashes.values():
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
        for citation in manifest.citations:
            assert citation.bibtex.strip().startswith("@")
            assert f"{{{citation.key}," in citation.bibtex

    @pytest.mark.parametrize("name", dataset_names())
    def test_a_user_learns_how_to_obtain_it_and_what_is_allowed(self, name):
        manifest = get_dataset(name).manifest
        assert manifest.archives or manifest.seed is not None
        assert all(archive.obtain for archive in manifest.archives)
        assert manifest.licence.summary
        assert manifest.licence.text.strip()


class TestOfAflw2000:
    def test_lists_4000_files_of_2000_faces(self, aflw2000):
        names = aflw2000.file_hashes
        assert len(names) == 4000
        assert len(aflw2000.published_ids) == aflw2000.faces == aflw2000.images == 2000
        for one in aflw2000.published_ids:
            assert {f"AFLW2000/{one}.jpg", f"AFLW2000/{one}.mat"} <= set(names)
        assert ids_sha256(aflw2000.published_ids) == aflw2000.splits["all"].sha256

    def test_valid_is_all_but_the_31_faces_of_the_fault(self, aflw2000):
        (beyond,) = [fault for fault in aflw2000.faults if "99 degrees" in fault.what]
        assert beyond.count == len(beyond.ids) == len(set(beyond.ids)) == 31
        assert set(beyond.ids) < aflw2000.published_ids
        rest = aflw2000.published_ids - set(beyond.ids)
        assert (len(rest), ids_sha256(rest)) == (1969, aflw2000.splits["valid"].sha256)

    def test_the_faces_with_other_canonical_angles_are_all_outside_valid(self, aflw2000):
        (beyond,) = [fault for fault in aflw2000.faults if "99 degrees" in fault.what]
        (turned,) = [fault for fault in aflw2000.faults if "not canonical" in fault.what]
        assert len(turned.ids) == turned.count == 10
        assert set(turned.ids) < set(beyond.ids)

    @pytest.mark.parametrize(
        ("reading", "counts"),
        [("raw", (1312, 383, 305)), ("canonical", (1314, 383, 303)), ("aflw", (1306, 462, 232))],
    )
    def test_bins_of_yaw_have_the_published_counts(self, aflw2000, reading, counts):
        names = [f"yaw-{reading}-{part}" for part in ("0-30", "30-60", "60-90")]
        assert tuple(aflw2000.splits[name].count for name in names) == counts
        assert sum(counts) == 2000

    def test_the_first_bin_of_aflw_is_what_the_other_two_leave(self, aflw2000):
        middle, far = (set(aflw2000.splits[f"yaw-aflw-{part}"].ids) for part in ("30-60", "60-90"))
        assert not middle & far
        near = aflw2000.published_ids - middle - far
        assert ids_sha256(near) == aflw2000.splits["yaw-aflw-0-30"].sha256

    def test_fault_counts_are_those_of_their_lists(self, aflw2000):
        listed = [fault for fault in aflw2000.faults if fault.ids]
        assert len(listed) >= 4
        for fault in listed:
            assert fault.count == len(fault.ids), fault.what
            assert set(fault.ids) <= aflw2000.published_ids


class TestSplits:
    def test_a_list_that_is_not_the_published_one_is_refused_by_name(self, tmp_path):
        (tmp_path / "thirds.toml").write_text(MANIFEST, encoding="utf-8")
        manifest = load_manifest(tmp_path / "thirds.toml")
        assert split_rows(["left", "right"], manifest, {}, partial=False)["all"].tolist() == [0, 1]
        with pytest.raises(
            InvalidData, match=r"split 'all': expected 2 faces .* hashing to e1722f3dcd04.* found 2 hashing"
        ):
            split_rows(["left", "wrong"], manifest, {}, partial=False)
        assert split_rows(["left"], manifest, {}, partial=True)["all"].tolist() == [0]

    def test_lists_and_exclusions(self):
        split = Split(what="", count=0)
        manifest = SimpleNamespace(
            published_ids={"a", "b", "c", "d"},
            splits={
                "all": split,
                "some": Split(what="", count=0, ids=("d", "b", "z")),
                "rest": Split(what="", count=0, exclude_splits=("some",)),
                "rule": split,
                "both": Split(what="", count=0, union_of=("some", "rule")),
                "absent": Split(what="", count=0, ids=("z",)),
                "union with it": Split(what="", count=0, union_of=("some", "absent")),
            },
        )
        rows = split_rows(["a", "b", "c", "d", "e"], manifest, {"rule": np.array([4])}, partial=True)
        assert {name: list(values) for name, values in rows.items()} == {
            "all": [0, 1, 2, 3, 4],
            "some": [1, 3],
            "rest": [0, 2],
            "rule": [4],
            "both": [1, 3, 4],
        }

    @pytest.fixture
    def manifest(self, tmp_path):
        """Make a manifest with the facts of some splits."""

        def call(splits):
            (tmp_path / "thirds.toml").write_text(
                re.sub(r"(?s)\[splits\..*", splits, MANIFEST), encoding="utf-8"
            )
            return load_manifest(tmp_path / "thirds.toml")

        return call

    @pytest.mark.parametrize("partial", [False, True])
    def test_a_split_that_follows_from_nothing_is_not_all_faces(self, manifest, partial):
        loose = manifest('[splits.all]\nwhat = "all"\ncount = 2\n[splits.front]\nwhat = "some"\ncount = 2\n')
        with pytest.raises(
            InvalidData, match="thirds: nothing says which faces are in the split 'front': it needs 'ids'"
        ):
            split_rows(["left", "right"], loose, {}, partial=partial)
        found = split_rows(["left", "right"], loose, {"front": np.array([0, 1])}, partial=partial)
        assert list(found) == ["all", "front"]

    def test_a_computed_split_that_the_manifest_lacks_is_named(self, manifest):
        bare = manifest('[splits.all]\nwhat = "all"\ncount = 1\n')
        with pytest.raises(InvalidData, match="computes a split 'frnt', the manifest has only all"):
            split_rows(["left"], bare, {"frnt": np.array([0])}, partial=True)

    def test_hashes_that_are_asked_for_are_told_all_at_once(self, manifest):
        text = "".join(f'[splits.{one}]\nwhat = "x"\ncount = 1\nsha256 = "?"\n' for one in ("all", "some"))
        asking, rows = manifest(text), {"some": np.array([0])}
        with pytest.raises(InvalidData) as error:
            split_rows(["left"], asking, rows, partial=False)
        for name in ("all", "some"):
            assert f'\n  [splits.{name}] sha256 = "{ids_sha256(["left"])}"\n' in str(error.value)
        assert list(split_rows(["left"], asking, rows, partial=True)) == ["all", "some"]
        with pytest.raises(InvalidData, match="split 'all': expected 1 faces, found 2 hashing to"):
            split_rows(["left", "right"], asking, rows, partial=False)


class TestOfSomebodyElse:
    @pytest.fixture
    def load(self, tmp_path):
        def call(text, hashes=None):
            path = tmp_path / "thirds.toml"
            path.write_text(text, encoding="utf-8")
            if hashes is not None:
                path.with_suffix(".sha256").write_text(hashes, encoding="utf-8")
            return load_manifest(path)

        return call

    @pytest.fixture
    def refused(self, load, tmp_path):
        def call(*words):
            with pytest.raises(InvalidData) as error:
                load(*words)
            assert str(error.value).startswith(str(tmp_path / "thirds."))
            return str(error.value)

        return call

    def test_good(self, load):
        manifest = load(MANIFEST, f"{'0' * 64}  thirds/a b.png\n")
        assert manifest.title == "Thirds"
        assert manifest.file_hashes == {"thirds/a b.png": "0" * 64}
        assert manifest.published_ids == {"a b"}

    def test_without_a_number_of_images(self, load):
        assert load(MANIFEST.replace("images = 1\n", "")).images is None

    def test_without_hashes(self, load):
        assert load(MANIFEST).file_hashes == {}

    @pytest.mark.parametrize("key", ["name", "title", "homepage", "faces", "tree", "pose", "boxes", "faults"])
    def test_a_missing_key_is_named(self, refused, key):
        message = refused(re.sub(rf"(?m)^{key} = .*\n", "", MANIFEST, count=1))
        assert f"\n  {key}: Field required" in message
        assert message.count("\n") == 1

    @pytest.mark.parametrize(
        ("old", "new", "key"),
        [
            ('title = "Thirds"', 'title = "Thirds"\ncolour = "red"', "colour"),
            ('summary = "free"', 'summary = "free"\nfree = true', "licence.free"),
            ('what = "points"', 'what = "points"\nunit = "px"', "annotations.points.unit"),
            ("count = 2", 'count = 2\nhash = "x"', "splits.all.hash"),
        ],
    )
    def test_an_unknown_key_is_named(self, refused, old, new, key):
        assert f"\n  {key}: Extra inputs are not permitted" in refused(MANIFEST.replace(old, new))

    @pytest.mark.parametrize(
        ("old", "new", "key"),
        [
            ("faces = 2", 'faces = "two"', "faces"),
            ("redistribution = true", 'redistribution = "perhaps"', "licence.redistribution"),
            ("count = 2", "count = 2.5", "splits.all.count"),
            ('what = "every face"\n', "", "splits.all.what"),
        ],
    )
    def test_a_value_of_another_kind_is_named(self, refused, old, new, key):
        assert f"\n  {key}: " in refused(MANIFEST.replace(old, new))

    def test_every_fault_is_named(self, refused):
        message = refused('colour = "red"\n' + MANIFEST.replace("faces = 2", "").replace('pose = "none"', ""))
        for key in ("colour", "faces", "pose"):
            assert f"\n  {key}: " in message

    @pytest.mark.parametrize("key", ["union_of", "exclude_splits"])
    def test_a_split_that_builds_on_an_absent_one(self, load, key):
        text = f'{MANIFEST}[splits.more]\nwhat = "more"\ncount = 2\n{key} = ["all", "some"]\n'
        with pytest.raises(InvalidData, match="split 'more' builds on a split 'some', which is not there"):
            load(text, f"{'0' * 64}  one.png\n")

    def test_text_that_is_no_toml(self, refused):
        assert "not valid TOML" in refused(MANIFEST + "\n[[[")

    @pytest.mark.parametrize("hashes", ["nonsense\n", f"{'0' * 64} one-space.png\n", "\n"])
    def test_hashes_that_are_not_of_sha256sum(self, refused, hashes):
        assert "thirds.sha256" in refused(MANIFEST, hashes)

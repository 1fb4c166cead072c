from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from facebench.errors import UsageError
from facebench.geometry import carry, convert, correspondences, get_scheme, scheme_names, schemes

# PROTOCOLS 1.2: (index in aflw21, index in ibug68) of the points that both releases define alike.
SAME_IN_AFLW21_AND_IBUG68 = (
    *((0, 17), (1, 19), (2, 21), (3, 22), (4, 24), (5, 26)),  # brows
    *((6, 36), (8, 39), (9, 42), (11, 45)),  # corners of the eyes
    *((13, 31), (14, 30), (15, 35)),  # nose
    *((17, 48), (19, 54), (20, 8)),  # corners of the mouth, chin
)
AFLW21_EARS_AND_CENTRES = {7, 10, 12, 16, 18}
SWAPPED = {"left": "right", "right": "left"}


def mirrored(name: str) -> str:
    """Name of the mirror image: the sides swapped, and the jaw counted from its other end."""
    if jaw := re.fullmatch(r"jaw_(\d\d)", name):
        return f"jaw_{16 - int(jaw[1]):02d}"
    return "_".join(SWAPPED.get(word, word) for word in name.split("_"))


every_scheme = pytest.mark.parametrize(
    "scheme", [get_scheme(name) for name in scheme_names()], ids=scheme_names()
)


@pytest.mark.parametrize(("name", "count"), [("ibug68", 68), ("aflw21", 21)])
def test_scheme_has_as_many_points_as_its_name_says(name, count):
    scheme = get_scheme(name)
    assert len(scheme) == len(scheme.points) == len(scheme.parts) == len(scheme.flip) == count


def test_every_scheme_is_known_by_its_own_name():
    assert [get_scheme(name).name for name in scheme_names()] == scheme_names()


@every_scheme
def test_names_of_points_are_unique(scheme):
    assert len(set(scheme.points)) == len(scheme)


@every_scheme
def test_index_finds_each_point_by_name(scheme):
    assert [scheme.index(point) for point in scheme.points] == list(range(len(scheme)))


@every_scheme
def test_flipping_twice_changes_nothing(scheme):
    flip = np.array(scheme.flip)
    np.testing.assert_array_equal(flip[flip], np.arange(len(scheme)))


@every_scheme
def test_flip_swaps_left_and_right_in_names(scheme):
    assert [scheme.points[i] for i in scheme.flip] == [mirrored(point) for point in scheme.points]


@every_scheme
def test_flip_swaps_left_and_right_parts(scheme):
    assert [scheme.parts[i] for i in scheme.flip] == [mirrored(part) for part in scheme.parts]


@every_scheme
def test_parts_share_out_all_points(scheme):
    indices = np.concatenate([scheme.part(name) for name in dict.fromkeys(scheme.parts)])
    np.testing.assert_array_equal(np.sort(indices), np.arange(len(scheme)))


# PROTOCOLS 1.1: the ranges of the 68 points, with both ends.
@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        ("jaw", 0, 16),
        ("left_brow", 17, 21),
        ("right_brow", 22, 26),
        ("nose", 27, 35),
        ("left_eye", 36, 41),
        ("right_eye", 42, 47),
        ("mouth", 48, 67),
    ],
)
def test_ibug68_parts_are_the_published_ranges(part, first, last):
    np.testing.assert_array_equal(get_scheme("ibug68").part(part), np.arange(first, last + 1))


# PROTOCOLS 1.1: the points of the 68 that other data sets share, by 0-based index.
@pytest.mark.parametrize(
    ("point", "index"),
    [
        ("chin", 8),
        ("left_brow_outer", 17),
        ("right_brow_outer", 26),
        ("nose_tip", 30),
        ("nose_base_centre", 33),
        ("left_eye_outer", 36),
        ("left_eye_inner", 39),
        ("right_eye_inner", 42),
        ("right_eye_outer", 45),
        ("mouth_left", 48),
        ("upper_lip_top", 51),
        ("mouth_right", 54),
        ("lower_lip_bottom", 57),
        ("inner_lip_left", 60),
        ("inner_lip_top_centre", 62),
        ("inner_lip_right", 64),
        ("inner_lip_bottom_centre", 66),
    ],
)
def test_ibug68_points_are_where_the_release_has_them(point, index):
    assert get_scheme("ibug68").index(point) == index


def test_exact_correspondences_of_aflw21_are_the_sixteen_published_pairs():
    assert correspondences("aflw21", "ibug68") == SAME_IN_AFLW21_AND_IBUG68


def test_ears_and_centres_have_no_exact_counterpart():
    matched = {source for source, _ in correspondences("aflw21", "ibug68")}
    assert set(range(21)) - matched == AFLW21_EARS_AND_CENTRES


def test_correspondences_read_the_same_both_ways():
    back = {(source, target) for target, source in correspondences("ibug68", "aflw21")}
    assert back == set(SAME_IN_AFLW21_AND_IBUG68)


@every_scheme
def test_a_scheme_corresponds_to_itself_point_by_point(scheme):
    assert correspondences(scheme.name, scheme.name) == tuple((i, i) for i in range(len(scheme)))


def test_correspondences_and_flip_commute():
    source, target = get_scheme("aflw21"), get_scheme("ibug68")
    flipped = {(source.flip[i], target.flip[j]) for i, j in SAME_IN_AFLW21_AND_IBUG68}
    assert flipped == set(SAME_IN_AFLW21_AND_IBUG68)


def test_carry_moves_shared_points_and_fills_the_rest():
    points = np.arange(2 * 21 * 2, dtype=float).reshape(2, 21, 2)
    carried = carry(points, "aflw21", "ibug68", fill=np.nan)
    assert carried.shape == (2, 68, 2)
    for source, target in SAME_IN_AFLW21_AND_IBUG68:
        np.testing.assert_array_equal(carried[:, target], points[:, source])
    others = np.setdiff1d(np.arange(68), [target for _, target in SAME_IN_AFLW21_AND_IBUG68])
    assert np.isnan(carried[:, others]).all()


def test_carry_keeps_type_and_takes_one_value_per_point():
    visibility = np.full((3, 68), 2, np.uint8)
    carried = carry(visibility, "ibug68", "aflw21", fill=0)
    assert carried.dtype == np.uint8
    expected = [0 if i in AFLW21_EARS_AND_CENTRES else 2 for i in range(21)]
    np.testing.assert_array_equal(carried, [expected] * 3)


def test_carry_leaves_its_input_alone():
    points = np.zeros((1, 21, 2))
    carry(points, "aflw21", "aflw21", fill=np.nan)[:] = 1.0
    np.testing.assert_array_equal(points, 0.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: get_scheme("wflw98"),
        lambda: correspondences("wflw98", "ibug68"),
        lambda: carry(np.zeros((1, 98)), "wflw98", "ibug68", fill=0.0),
        lambda: carry(np.zeros((1, 68)), "ibug68", "wflw98", fill=0.0),
    ],
    ids=["get_scheme", "correspondences", "carry from", "carry to"],
)
def test_unknown_scheme_is_refused_with_the_known_ones(ask):
    with pytest.raises(UsageError, match=r"'wflw98'.*aflw21.*ibug68"):
        ask()


class TestConvert:
    """Points of one scheme as those of another."""

    points = np.random.default_rng(0).uniform(0, 100, (3, 68, 2))

    @pytest.mark.parametrize(
        ("target", "exact", "approximate"), [("cofw29", 16, 27), ("aflw21", 16, 21), ("aflw19", 16, 19)]
    )
    def test_exact_points_are_carried_and_the_rest_approximated(self, target, exact, approximate):
        for mapping, count in (("exact", exact), ("approximate", approximate)):
            found = convert(self.points, "ibug68", target, mapping)
            assert np.isfinite(found).all(axis=(0, 2)).sum() == count
        np.testing.assert_array_equal(
            convert(self.points, "ibug68", target), carry(self.points, "ibug68", target, np.nan)
        )

    def test_approximations_of_68_points(self):
        """PROTOCOLS 1.2 and 1.5, by the 0-based indices given there."""
        cofw, aflw = (
            convert(self.points, "ibug68", target, "approximate") for target in ("cofw29", "aflw21")
        )
        means = {
            4: [19],
            6: [24],
            12: [37, 38],
            13: [40, 41],
            14: [43, 44],
            15: [46, 47],
            21: [33],
            25: [62],
            26: [66],
        }
        means |= {16: range(36, 42), 17: range(42, 48)}
        for point, near in means.items():
            np.testing.assert_allclose(cofw[:, point], self.points[:, list(near)].mean(axis=1))
        for point, near in {
            7: range(36, 42),
            10: range(42, 48),
            18: range(60, 68),
            12: [2],
            16: [14],
        }.items():
            np.testing.assert_allclose(aflw[:, point], self.points[:, list(near)].mean(axis=1))

    def test_to_68_points_only_single_points_are_approximated(self):
        cofw = np.random.default_rng(1).uniform(0, 100, (2, 29, 2))
        found = convert(cofw, "cofw29", "ibug68", "approximate")
        exact = convert(cofw, "cofw29", "ibug68")
        further = np.flatnonzero(np.isfinite(found[0, :, 0]) & ~np.isfinite(exact[0, :, 0]))
        assert further.tolist() == [19, 24, 33, 62, 66]

    def test_to_the_same_scheme_is_nothing(self):
        assert convert(self.points, "ibug68", "ibug68", "approximate") is self.points

    def test_an_unknown_mapping_is_refused(self):
        with pytest.raises(UsageError, match="Unknown mapping 'near'. Known mappings: exact, approximate"):
            convert(self.points, "ibug68", "aflw21", "near")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of somebody else that brings a scheme ``eyes``, for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    caches = (schemes._folders, schemes.get_scheme)

    def call(table: str | None, package: str = "lookers") -> None:
        info = tmp_path / "lookers-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lookers\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[facebench.schemes]\neyes = {package}\nibug68 = lookers\n")
        (tmp_path / "lookers").mkdir()
        (tmp_path / "lookers" / "__init__.py").touch()
        if table is not None:
            (tmp_path / "lookers" / "eyes.csv").write_text(table)
        for cached in caches:
            cached.cache_clear()

    yield call
    sys.modules.pop("lookers", None)
    for cached in caches:
        cached.cache_clear()


EYES = "index,name,part,flip\n0,left_eye_outer,left_eye,1\n1,right_eye_outer,right_eye,0\n2,brow,brow,2\n"


def test_a_package_brings_a_scheme_of_its_own(install):
    install(EYES)
    assert "eyes" in scheme_names()
    scheme = get_scheme("eyes")
    assert (scheme.flip, scheme.upm_labels) == ((1, 0, 2), (0, 0, 0))
    assert correspondences("eyes", "ibug68") == ((0, 36), (1, 45))


def test_a_package_cannot_replace_a_scheme(install):
    install(EYES)
    assert len(get_scheme("ibug68")) == 68


@pytest.mark.parametrize(
    ("table", "package", "expected"),
    [
        (None, "lookers", "eyes.csv"),
        (EYES, "absent", "the package 'absent' that brings it cannot be loaded: No module named 'absent'"),
        ("", "lookers", "expected a line for each point, found none"),
        (EYES.replace(",flip", ""), "lookers", "point 0 has no 'flip'"),
        (EYES.replace("0,left", "1,left"), "lookers", "expected index 0, counting from 0, found '1'"),
        (EYES.replace("right_eye_outer", "brow"), "lookers", "found 'brow' twice"),
        (EYES.replace("brow,2", "brow,0"), "lookers", "the mirror image of point 2 is 0"),
        (EYES.replace("brow,2", "brow,9"), "lookers", "the mirror image of point 2 is 9"),
        (EYES.replace("brow,2", "brow,two"), "lookers", "two"),
    ],
)
def test_a_scheme_that_is_no_use_is_named(install, table, package, expected):
    install(table, package)
    with pytest.raises(UsageError, match="landmark scheme 'eyes'") as caught:
        get_scheme("eyes")
    assert expected in str(caught.value)
    assert len(get_scheme("ibug68")) == 68

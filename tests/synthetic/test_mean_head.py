from __future__ import annotations

import numpy as np
import pytest

from facebench.errors import UsageError
from facebench.geometry import euler_to_rotation, get_scheme
from facebench.synthetic import head_surface, mean_head, project, to_chart


@pytest.mark.parametrize("scheme", ["ibug68", "aflw21"])
def test_mean_head_is_exactly_symmetric(scheme):
    head = mean_head(scheme)
    assert head.shape == (len(get_scheme(scheme)), 3)
    np.testing.assert_array_equal(head[list(get_scheme(scheme).flip)] * [-1, 1, 1], head)


def test_a_scheme_with_points_that_the_head_lacks_is_refused_with_their_names():
    with pytest.raises(
        UsageError, match=r"lacks points of the scheme 'cofw29': left_brow_top_centre, .* more"
    ):
        mean_head("cofw29")


def test_points_of_the_same_name_are_the_same_point():
    ibug, aflw = get_scheme("ibug68"), get_scheme("aflw21")
    shared = [name for name in aflw.points if name in ibug.points]
    assert len(shared) == 16
    for name in shared:
        np.testing.assert_array_equal(
            mean_head("aflw21")[aflw.index(name)], mean_head("ibug68")[ibug.index(name)]
        )


def test_mean_head_has_human_proportions_and_faces_the_camera():
    head, scheme = mean_head(), get_scheme("ibug68")
    left, right = (head[scheme.part(f"{side}_eye")].mean(axis=0) for side in ("left", "right"))
    assert right[0] - left[0] == pytest.approx(63, abs=1.5)
    assert np.ptp(head[:, 0]) == pytest.approx(140, abs=5)
    assert head[:, 2].argmin() == scheme.index("nose_tip")
    assert head[:, 1].argmax() == scheme.index("chin")
    brows = head[np.concatenate([scheme.part("left_brow"), scheme.part("right_brow")]), 1]
    nose, mouth = head[scheme.index("nose_tip"), 1], head[scheme.part("mouth"), 1]
    assert brows.max() < left[1] < nose < mouth.min()


def test_surface_is_closed_symmetric_and_passes_through_the_face():
    surface, head = head_surface(), mean_head()
    assert np.isfinite(surface.points).all()
    assert ((surface.points * surface.normals).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-5)
    grid = surface.points.reshape(*surface.hair.shape, 3)
    np.testing.assert_allclose(grid[:, ::-1] * [-1, 1, 1], grid, atol=1.5)
    # The two ends of the jaw line lie under the hair.
    bare = np.delete(np.arange(68), [0, 16])
    column, row = np.round(to_chart(head[bare])).astype(int).T
    assert np.linalg.norm(grid[row, column] - head[bare], axis=1).max() < 1.5


def test_project_is_scaled_and_orthographic():
    points = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, -50.0]])
    np.testing.assert_array_equal(project(points, np.eye(3), 2.0, (10, 20)), [[12, 24], [12, 24]])


@pytest.mark.parametrize(("yaw", "far", "near"), [(60, "left", "right"), (-60, "right", "left")])
def test_far_side_is_hidden_and_near_side_visible(yaw, far, near):
    scheme = get_scheme("aflw21")
    seen = head_surface().visible(mean_head("aflw21"), euler_to_rotation([yaw, 0, 0], "raw-xyz"))
    assert not seen[[scheme.index(f"{far}_eye_{part}") for part in ("outer", "inner")]].any()
    assert seen[scheme.part(f"{near}_eye")].all()
    assert (seen[scheme.index(f"{far}_ear")], seen[scheme.index(f"{near}_ear")]) == (False, True)


def test_everything_shows_from_the_front_and_nothing_from_behind():
    head = mean_head("aflw21")
    assert head_surface().visible(head, np.eye(3)).all()
    # Ears show from both sides, and the neck that would hide the chin is no part of the surface.
    parts = get_scheme("aflw21").parts
    face = [i for i, part in enumerate(parts) if part not in ("left_ear", "right_ear", "jaw")]
    assert not head_surface().visible(head[face], euler_to_rotation([180, 0, 0], "raw-xyz")).any()

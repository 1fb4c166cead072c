"""The round trips notice when a loader gets one convention wrong.

Every case changes one thing in a loader: a constant, or some text of one function.  Then what is prepared
must no longer equal what was rendered.  A case whose text a loader no longer has fails; give it the new text.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import pytest

from facebench.datasets import aflw, aflw2000, aflw_labels, biwi, cofw, mean_face, pts, w300
from facebench.geometry.posit import _posit


@dataclass(frozen=True)
class Constant:
    """A constant of a module with another value."""

    module: ModuleType
    name: str
    value: Any

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert getattr(self.module, self.name) != self.value
        monkeypatch.setattr(self.module, self.name, self.value)


@dataclass(frozen=True)
class Text:
    """A function with some of its text, which must be there once, replaced."""

    function: Callable[..., Any]
    old: str
    new: str

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        function = self.function
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        where = f"{function.__module__}.{function.__qualname__}"
        assert source.count(self.old) == 1, f"{where} no longer has {self.old!r} once"
        names = dict(function.__globals__)
        flags = __future__.annotations.compiler_flag
        exec(compile(source.replace(self.old, self.new), where, "exec", flags), names)
        # In place, so that it is changed wherever it has been imported to.
        monkeypatch.setattr(function, "__code__", names[function.__name__].__code__)


CASES = {
    "300w": {
        "pixels counted from 0": Constant(w300, "INDEX_BASE", 0.0),
        "pixels counted from 2": Constant(w300, "INDEX_BASE", 2.0),
        "y before x": Text(pts.read_pts, "[float(x), float(y)]", "[float(y), float(x)]"),
        "official boxes counted from 0": Text(
            w300.read, "{name: values - INDEX_BASE for", "{name: values for"
        ),
        "the two official boxes exchanged": Constant(
            w300, "BOX_KEYS", {"detector": "bb_ground_truth", "dataset": "bb_detector"}
        ),
        "official boxes by position": Text(
            w300._read_boxes, "found[key][row[one]] = box", "found[key][len(seen) % len(row)] = box"
        ),
        "points said to be visible": Text(w300.read, 'VISIBILITY["unknown"]', 'VISIBILITY["visible"]'),
        "mean face with y down": Text(
            mean_face.read_mean_face,
            "[float(cell) for cell in cells[1:]]",
            "[float(cell) * sign for cell, sign in zip(cells[1:], (1, -1, 1))]",
        ),
        "mean face with z into the scene": Text(
            mean_face.read_mean_face,
            "[float(cell) for cell in cells[1:]]",
            "[float(cell) * sign for cell, sign in zip(cells[1:], (1, 1, -1))]",
        ),
        "mean face in the order of its file": Text(
            mean_face.read_mean_face,
            "found[label] if label <= LAST_SHARED_LABEL else outside for label in labels",
            "found[label] if label <= LAST_SHARED_LABEL else outside for label in sorted(labels)",
        ),
        "pose transposed": Text(
            _posit, "u @ vt @ FRONTAL.T", "(u @ vt @ FRONTAL.T).transpose(0, 2, 1)"
        ),
    },
    "aflw": {
        "angles in the order of raw-xyz": Text(aflw._content, '"aflw-yxz"', '"raw-xyz"'),
        "signs of yaw and roll of mnn-yxz": Text(aflw._content, '"aflw-yxz"', '"mnn-yxz"'),
        "degrees instead of radians": Text(aflw._content, "np.degrees(pose)", "pose"),
        "yaw and roll exchanged": Constant(
            aflw, "TABLES", {**aflw.TABLES, "FacePose": ("face_id", "roll", "pitch", "yaw")}
        ),
        "features numbered from 0": Text(
            aflw._read_database, "points[face][one - 1]", "points[face][one % POINTS]"
        ),
        "y before x": Text(aflw._read_database, "[one - 1] = xy", "[one - 1] = xy[::-1]"),
        "pixels counted from 1": Text(aflw._read_database, "[one - 1] = xy", "[one - 1] = xy - 1"),
        "absent points said to be visible": Text(
            aflw._content, "np.where(absent, VISIBILITY", "np.where(~absent, VISIBILITY"
        ),
        "width and height taken for a corner": Text(
            aflw._content, "rectangles[:, :2] + rectangles[:, 2:]", "rectangles[:, 2:]"
        ),
        "boxes of CCL as x1, y1, x2, y2": Text(
            aflw_labels.read_ccl, 'values["bbox"][:, [0, 2, 1, 3]]', 'values["bbox"]'
        ),
        "permutation of CCL counted from 0": Text(
            aflw_labels._read_ccl_mat, "astype(np.int64) - 1", "astype(np.int64) % count"
        ),
        "points of CCL in pairs": Text(
            aflw_labels.read_ccl,
            '[values["data"][:, :19], values["data"][:, 19:]]',
            '[values["data"][:, ::2], values["data"][:, 1::2]]',
        ),
        "points of CCL, y before x": Text(
            aflw_labels.read_ccl,
            '[values["data"][:, :19], values["data"][:, 19:]]',
            '[values["data"][:, 19:], values["data"][:, :19]]',
        ),
        "mask of CCL inverted": Text(aflw_labels.read_ccl, "np.greater(", "np.less_equal("),
        "positive points of MERL-RAV occluded": Text(
            aflw_labels.decode_signs, "np.select([hidden, occluded]", "np.select([hidden, ~occluded]"
        ),
        "occluded points of MERL-RAV keep their sign": Text(
            aflw_labels.decode_signs, "np.abs(stored)", "stored"
        ),
        "hidden points of MERL-RAV at (1, 1)": Text(
            aflw_labels.decode_signs, "(stored == -1).all(axis=2)", "(stored == 0).all(axis=2)"
        ),
        "points of MERL-RAV counted from 1": Text(
            aflw_labels.decode_signs, "np.abs(stored)", "np.abs(stored) - 1"
        ),
    },
    "aflw2000": {
        "yaw before pitch": Text(aflw2000.read, "pitch_yaw_roll[:, [1, 0, 2]]", "pitch_yaw_roll"),
        "angles in the order of mnn-yxz": Text(
            aflw2000.read, 'euler_to_rotation(euler, "raw-xyz")', 'euler_to_rotation(euler, "mnn-yxz")'
        ),
        "sign of yaw of upm-xyz": Text(
            aflw2000.read, 'euler_to_rotation(euler, "raw-xyz")', 'euler_to_rotation(euler, "upm-xyz")'
        ),
        "degrees instead of radians": Text(
            aflw2000.read, 'np.degrees(found["Pose_Para"][:, :3])', 'found["Pose_Para"][:, :3]'
        ),
        "pose transposed": Text(
            aflw2000.read,
            'euler_to_rotation(euler, "raw-xyz")',
            'euler_to_rotation(euler, "raw-xyz").transpose(0, 2, 1)',
        ),
        "y before x": Text(aflw2000._original, '["pt3d_68"][:, :2]', '["pt3d_68"][:, 1::-1]'),
        "pixels counted from 1": Text(
            aflw2000._original, 'found["pt3d_68"][:, :2]', '(found["pt3d_68"][:, :2] - 1)'
        ),
        "y counted from below": Text(
            aflw2000._original,
            'found["pt3d_68"][:, :2]',
            '(np.array([[0], [451]]) + np.array([[1], [-1]]) * found["pt3d_68"][:, :2])',
        ),
        "mask of pt2d inverted": Text(aflw2000._original, "[:, 0] >= 0", "[:, 0] < 0"),
        "reannotated points, y before x": Text(
            aflw2000._as_points, "values.transpose(0, 2, 1)", "values[:, ::-1].transpose(0, 2, 1)"
        ),
    },
    "cofw": {
        "pixels counted from 0": Constant(cofw, "FIRST_PIXEL", 0),
        "points of COFW-68 counted from 0": Text(cofw._read_cofw68, "found - FIRST_PIXEL", "found"),
        "boxes counted from 0": Text(cofw._corner_boxes, "boxes[:, :2] - FIRST_PIXEL", "boxes[:, :2]"),
        "y before x": Text(
            cofw._read_part,
            "[numbers[:, :POINTS], numbers[:, POINTS : 2 * POINTS]]",
            "[numbers[:, POINTS : 2 * POINTS], numbers[:, :POINTS]]",
        ),
        "points in pairs": Text(
            cofw._read_part,
            "[numbers[:, :POINTS], numbers[:, POINTS : 2 * POINTS]]",
            "[numbers[:, : 2 * POINTS : 2], numbers[:, 1 : 2 * POINTS : 2]]",
        ),
        "1 said to be visible": Text(cofw._states, "occluded != 0", "occluded == 0"),
        "width and height taken for a corner": Text(
            cofw._corner_boxes, "first + boxes[:, 2:]", "boxes[:, 2:]"
        ),
        "images not transposed": Text(
            cofw._encode, "reference)[()].T", "reference)[()].transpose(1, 2, 0)"
        ),
        "red for blue": Text(cofw._encode, "pixels[:, :, ::-1]", "pixels"),
        "mean face with y down": Text(
            mean_face.read_mean_face,
            "[float(cell) for cell in cells[1:]]",
            "[float(cell) * sign for cell, sign in zip(cells[1:], (1, -1, 1))]",
        ),
    },
    "biwi": {
        "matrix of the pose transposed": Text(biwi.read_pose, "return values[:3],", "return values[:3].T,"),
        "camera turned the other way": Text(
            biwi.read, "camera.rotation @ rotations[rows]", "camera.rotation.T @ rotations[rows]"
        ),
        "camera applied on the right": Text(
            biwi.read, "camera.rotation @ rotations[rows]", "rotations[rows] @ camera.rotation"
        ),
        "camera not applied": Text(
            biwi.read, "camera.rotation @ rotations[rows]", "rotations[rows]"
        ),
        "the two frames exchanged": Text(
            biwi.read, '{"depth": rotations, "rgb": in_rgb}', '{"depth": in_rgb, "rgb": rotations}'
        ),
        "rotation of rgb.cal transposed": Text(
            biwi.read_camera, "np.array(rows[-5:-2])", "np.array(rows[-5:-2]).T"
        ),
        "head centre turned the other way": Text(biwi.Camera.see, "self.rotation.T", "self.rotation"),
        "translation of rgb.cal taken off": Text(
            biwi.Camera.see, "+ self.translation", "- self.translation"
        ),
        "translation before rotation": Text(
            biwi.Camera.see,
            "np.asarray(points, float) @ self.rotation.T + self.translation",
            "(np.asarray(points, float) + self.translation) @ self.rotation.T",
        ),
        "head centre in pixels, y before x": Text(
            biwi.Camera.project, "seen[:, :2] / seen[:, 2:]", "seen[:, 1::-1] / seen[:, 2:]"
        ),
        "box of the head lying on its side": Constant(biwi, "HEAD_MM", biwi.HEAD_MM[::-1]),
        "depth image by columns": Text(
            biwi.read_depth,
            "depth.reshape(DEPTH_HEIGHT, DEPTH_WIDTH)",
            "depth.reshape(DEPTH_WIDTH, DEPTH_HEIGHT).T.copy()",
        ),
        "depths with the high byte first": Text(biwi.read_depth, '"<u2"', '">u2"'),
        "full pixels before the empty ones": Text(
            biwi.read_depth, "depth[pixel - full : pixel]", "depth[pixel - full - empty : pixel - empty]"
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "what"), [(name, what) for name, cases in CASES.items() for what in cases])
def test_notices(releases, tmp_path, monkeypatch, name, what):
    CASES[name][what].apply(monkeypatch)
    with pytest.raises(AssertionError):
        releases[name].check(tmp_path / f"{name}.h5")


@pytest.mark.parametrize("name", CASES)
def test_notices_nothing_when_text_stays_as_it_is(releases, tmp_path, monkeypatch, name):
    """It is the change that is noticed, not that a function was compiled again."""
    functions = {case.function: case.old for case in CASES[name].values() if isinstance(case, Text)}
    for function, text in functions.items():
        Text(function, text, text).apply(monkeypatch)
    releases[name].check(tmp_path / f"{name}.h5")

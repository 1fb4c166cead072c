"""One drawn face in the format of each release, and what comes back when facebench prepares it.

The releases are written by the writers of the tests and read by the modules that read the genuine ones:
``make_gallery.py`` draws what they return, and the records below stand on the page of the gallery.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from scipy.io import loadmat, savemat

sys.path.insert(0, str(Path(__file__).parents[2]))

from facebench.datasets import prepare
from facebench.formats import open_dataset
from facebench.formats.reader import PreparedDataset
from facebench.geometry import convert, euler_to_rotation, get_scheme, tight_box
from facebench.synthetic import draw_aflw2000_tree, draw_face, head_surface, mean_head, project
from tests.datasets import aflw_release, biwi_release, w300_tree
from tests.datasets.test_cofw import write_mat

SIZE = 450
SEED = 19


@dataclass
class Sample:
    """A face of one release.

    Attributes
    ----------
    dataset : the prepared file; its row ``row`` is the face.
    records : excerpts of the release's files, as they stand there.
    rotation, scale, centre : how the head is drawn, in pixels of the image.
    cover : (n, 2) outline of the thing before the face, if there is one.
    true : points as they were drawn, by annotation set.
    """

    dataset: PreparedDataset
    records: dict[str, str]
    rotation: np.ndarray
    scale: float
    centre: tuple[float, float]
    cover: np.ndarray | None = None
    row: int = 0
    true: dict[str, np.ndarray] = field(default_factory=dict)


def _jpeg(rotation: np.ndarray, scale: float, centre: tuple[float, float]) -> bytes:
    picture = draw_face(rotation, scale, centre, np.random.default_rng(SEED), SIZE)
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    line = outline.astype(np.float32)
    return np.array([cv2.pointPolygonTest(line, (float(x), float(y)), False) >= 0 for x, y in points])


def _block(centre: tuple[float, float], sides: tuple[float, float], degrees: float) -> np.ndarray:
    return cv2.boxPoints((centre, sides, degrees)).astype(float)


def _read(name: str, folder: Path) -> PreparedDataset:
    return open_dataset(prepare(name, [folder], folder.parent / f"{name}.h5", partial=True).path)


def _lines(text: str, *wanted: slice) -> str:
    lines = text.splitlines()
    return "\n...\n".join("\n".join(lines[one]) for one in wanted)


def mean_face(scheme: str) -> str:
    """The mean head as a file ``label|x|y|z``, whose y points up and whose z points to the viewer."""
    labels = get_scheme(scheme).upm_labels
    model = mean_head(scheme) if scheme != "cofw29" else head29()
    rows = zip(labels, model * (1, -1, -1), strict=True)
    return "".join(f"{label}|{x:.4f}|{y:.4f}|{z:.4f}\n" for label, (x, y, z) in rows)


def w300(folder: Path) -> Sample:
    one, scale, centre = "lfpw/testset/image_0001", 2.4, (225.0, 172.0)
    rotation = euler_to_rotation([9, 2, 3], "mnn-yxz")
    points = project(mean_head(), rotation, scale, centre)
    root = folder / "300w"
    (root / one).parent.mkdir(parents=True)
    text = w300_tree.pts(points + 1, head=True)
    (root / f"{one}.pts").write_bytes(text)
    (root / f"{one}.png").write_bytes(_jpeg(rotation, scale, centre))
    tight = tight_box(np.round(points + 1, 6)[None])
    row = {
        "imgName": "image_0001.png",
        "bb_detector": np.round(np.add(tight, [21.4, 18.2, -12.6, -9.8]), 2),
        "bb_ground_truth": tight,
    }
    w300_tree.write_boxes(root, "lfpw/testset", [row])
    (root / "mean_face_3D_68.txt").write_text(mean_face("ibug68"), encoding="utf-8")
    boxes = "\n".join(
        f"{key:16s} {'  '.join(f'{value:.6f}' for value in row[key][0])}"
        for key in ("bb_detector", "bb_ground_truth")
    )
    records = {
        "lfpw/testset/image_0001.pts": _lines(text.decode(), slice(0, 6), slice(-2, None)),
        "bounding_boxes_lfpw_testset.mat": f"imgName          {row['imgName']}\n{boxes}",
    }
    return Sample(_read("300w", root), records, rotation, scale, centre, true={"ibug68": points})


def aflw(folder: Path) -> Sample:
    scale, centre = 2.0, (262.0, 188.0)
    pose = (0.7, 0.07, -0.12)  # yaw, pitch, roll in radians
    rotation = euler_to_rotation(np.degrees(pose), "aflw-yxz")
    cover = _block((168, 396), (150, 66), -8)
    root = folder / "aflw"
    path = "0/image90001.jpg"
    (root / "flickr" / "0").mkdir(parents=True)
    (root / "flickr" / path).write_bytes(_jpeg(rotation, scale, centre))
    surface = head_surface()

    head, few = mean_head(), mean_head("aflw21")
    flat, flat21 = project(head, rotation, scale, centre), project(few, rotation, scale, centre)
    seen, seen21 = surface.visible(head, rotation), surface.visible(few, rotation)
    seen21 &= ~_inside(flat21, cover)
    points21 = {int(i) + 1: tuple(np.round(flat21[i], 2).tolist()) for i in np.flatnonzero(seen21)}
    x, y, x2, y2 = tight_box(flat21[None])[0]
    side = round(max(x2 - x, y2 - y) * 1.06)
    corner = [round((x + x2 - side) / 2), round((y + y2 - side) / 2) + 4]
    face = {"id": 90001, "path": path, "rect": (*corner, side, side), "pose": pose, "points": points21}
    base = aflw_release.write_database(root / "aflw.sqlite", [face])

    covered = _inside(flat, cover)
    stored = np.round(np.where(covered[:, None], -flat, flat), 3)
    stored[~seen] = -1
    pts = root / "merl_rav_labels" / "lefthalf" / "testset" / "image90001.pts"
    aflw_release.write_pts(pts, stored)
    names = get_scheme("aflw19").points
    of19 = [get_scheme("aflw21").index(name) for name in names]
    ccl = {
        "path": path,
        "rect": face["rect"],
        "points19": np.round(flat21[of19], 2),
        "mask": seen21[of19],
    }
    aflw_release.write_ccl(root / "AFLWinfo_release.mat", [ccl])

    with closing(sqlite3.connect(base)) as db:

        def rows(table: str, columns: str, only: str = "") -> str:
            found = db.execute(f"SELECT {columns} FROM {table} {only}").fetchall()
            text = "\n".join("|".join(map(str, row)) for row in found)
            return f"{columns.replace(', ', '|')}\n{text}"

        records = {
            "FaceRect": rows("FaceRect", "face_id, x, y, w, h"),
            "FacePose": rows("FacePose", "face_id, roll, pitch, yaw"),
            "FeatureCoords": rows("FeatureCoords", "face_id, feature_id, x, y", "WHERE feature_id > 11"),
        }
    lines = pts.read_text(encoding="utf-8").splitlines()
    kinds = {"visible": seen & ~covered, "occluded": seen & covered, "hidden": ~seen}
    chosen = {name: int(np.flatnonzero(which)[0]) for name, which in kinds.items()}
    records["lefthalf/testset/image90001.pts"] = "\n".join(
        f"{lines[row + 3]:20s}  line {row + 4}, point {row + 1}: {name}"
        for name, row in sorted(chosen.items(), key=lambda one: one[1])
    )
    return Sample(
        _read("aflw", root), records, rotation, scale, centre, cover,
        true={"aflw21": flat21, "aflw19": flat21[of19], "merlrav68": flat},
    )  # fmt: skip


def aflw2000(folder: Path) -> Sample:
    root, row = folder / "aflw2000", 2
    drawn = draw_aflw2000_tree(root, faces=row + 1, seed=11)
    name = drawn.ids[row]
    values = loadmat(root / "AFLW2000" / f"{name}.mat")
    pose, flat, solid = values["Pose_Para"][0], values["pt2d"], values["pt3d_68"]
    scale = 1000 * float(pose[6])
    centre = (float(pose[3]), SIZE + 1 - float(pose[4]))

    def table(array: np.ndarray, columns: slice, digits: int = 2) -> str:
        width = 9
        return "\n".join("".join(f"{v:{width}.{digits}f}" for v in line[columns]) + "  ..." for line in array)

    gone = int(np.flatnonzero(flat[0] < 0)[0])
    first = slice(max(gone - 2, 0), gone + 3)
    records = {
        f"{name}.mat": "\n".join(
            [
                "Pose_Para (1 x 7)",
                "".join(f"{v:11.6f}" for v in pose),
                "pt3d_68 (3 x 68), columns 1 to 5",
                table(solid, slice(0, 5)),
                f"pt2d (2 x 21), columns {first.start + 1} to {first.stop}",
                table(flat, first),
                "roi (1 x 4)",
                "".join(f"{v:6d}" for v in values["roi"][0]),
            ]
        )
    }
    sample = Sample(_read("aflw2000", root), records, drawn.rotation[row], scale, centre, row=row)
    sample.true = {"original": drawn.points[row], "pt2d": flat.T}
    return sample


def head29() -> np.ndarray:
    """The 29 points of COFW on the mean head; what the head has no point for is laid out around others."""
    near = convert(mean_head()[None], "ibug68", "cofw29", "approximate")[0]
    scheme = get_scheme("cofw29")
    for side in ("left", "right"):
        top = scheme.index(f"{side}_brow_top_centre")
        near[scheme.index(f"{side}_brow_bottom_centre")] = near[top] + (0, 5, -1)
        near[top] -= (0, 3, 0)
    return near


def cofw(folder: Path) -> Sample:
    scale, centre = 2.05, (222.0, 186.0)
    rotation = euler_to_rotation([-7, 3, -4], "mnn-yxz")
    cover = _block((136, 178), (96, 150), 16)
    flat29, flat68 = (project(model, rotation, scale, centre) for model in (head29(), mean_head()))
    root = folder / "cofw"
    picture = draw_face(rotation, scale, centre, np.random.default_rng(SEED), SIZE)
    x, y, x2, y2 = tight_box(flat29[None])[0]
    box = np.round([x - 14, y - 22, x2 - x + 30, y2 - y + 31])
    points, occluded = np.round(flat29, 3), _inside(flat29, cover)
    # The first face of the part; written as facebench counts, from 0: the writer adds the 1.
    path = write_mat(root / "COFW_test_color.mat", "test", [picture], points[None], occluded[None], box[None])
    labels = root / "COFW68_Data" / "test_annotations" / "1_points.mat"
    labels.parent.mkdir(parents=True)
    covered = _inside(flat68, cover)
    savemat(labels, {"Points": np.round(flat68, 3) + 1, "Occ": covered[None].astype(np.uint8)})
    x, y, x2, y2 = tight_box(flat68[None])[0]
    box68 = np.round([x - 3, y - 2, x2 - x + 8, y2 - y + 7])
    # The file has a row for each of the 507 test faces; only the first is a face here.
    savemat(root / "COFW68_Data" / "cofw68_test_bboxes.mat", {"bboxes": np.tile(box68, (507, 1))})
    (root / "mean_face_3D_29.txt").write_text(mean_face("cofw29"), encoding="utf-8")

    import h5py

    with h5py.File(path) as file:
        phis, corners = file["phisT"][:, 0], file["bboxesT"][:, 0]

    def some(first: int, digits: int) -> str:
        last = first + 28
        shown = [f"{v:.{digits}f}" for v in (*phis[first - 1 : first + 3], phis[last - 1])]
        return f"{first:2d} to {last:2d}:  {'  '.join(shown[:4])}  ...  {shown[4]}"

    values = loadmat(labels)
    rows = "\n".join(
        "  ".join(f"{v:.3f}" for v in values["Points"][row]) + f"     {values['Occ'][0, row]}"
        for row in (0, 17, 36)
    )
    records = {
        "phisT": "\n".join([some(1, 3), some(30, 3), some(59, 0)]),
        "bboxesT": "  ".join(f"{v:g}" for v in corners),
        "cofw68_test_bboxes.mat": "  ".join(f"{v:g}" for v in box68),
        "1_points.mat": f"Points, rows 1, 18, 37   Occ\n{rows}",
    }
    sample = Sample(_read("cofw", root), records, rotation, scale, centre, cover)
    sample.true = {"cofw29": flat29, "cofw68": flat68, "occluded29": occluded, "occluded68": covered}
    return sample


def biwi(folder: Path) -> Sample:
    rotation = euler_to_rotation([24, 13, -7], "raw-xyz")
    middle = np.array([52.4, 38.6, 884.2])
    between = euler_to_rotation([0.62, 0.83, -0.24], "raw-xyz")
    matrix = np.array([[520.0, 0, 320], [0, 520, 240], [0, 0, 1]])
    files = {
        "01/frame_00003_pose.txt": biwi_release.pose(rotation, middle),
        "01/rgb.cal": biwi_release.camera(matrix, between, np.array([-24.2, 5.6, -12.8])),
        "01/depth.cal": biwi_release.depth_camera(),
        "01/frame_00003_rgb.png": biwi_release.png(),
        "01/frame_00003_depth.bin": biwi_release.depth(biwi_release.head_depth()),
    }
    root = biwi_release.write_folder(folder / "biwi", {f"hpdb/{name}": data for name, data in files.items()})
    records = {name: files[name].decode().rstrip() for name in ("01/frame_00003_pose.txt", "01/rgb.cal")}
    records = {name: "\n".join(map(str.rstrip, text.split("\n"))) for name, text in records.items()}
    dataset = _read("biwi", root)
    # Six digits of the file decide, and the RGB camera sees the head turned by R F.
    seen = dataset.poses["rgb"][0]
    distance = float((between @ middle + [-24.2, 5.6, -12.8])[2])
    return Sample(
        dataset, records, seen, 520 / distance, tuple(dataset.source["centre_px"][0]),
        true={"rotation": rotation, "middle": middle},
    )  # fmt: skip


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    "300w": w300,
    "aflw": aflw,
    "aflw2000": aflw2000,
    "cofw": cofw,
    "biwi": biwi,
}

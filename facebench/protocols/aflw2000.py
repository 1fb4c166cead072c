"""The protocols of AFLW2000-3D (PROTOCOLS 2.2, 3.5)."""

from __future__ import annotations

from facebench.protocols.protocol import ALL, BALANCED, LandmarkProtocol, PoseProtocol, pose_board

__all__ = ["PROTOCOLS"]

# The yaw of Pose_Para as stored: the default labels of 3DDFA's own evaluation.
BINS = {
    "yaw 0-30°": "yaw-raw-0-30",
    "yaw 30-60°": "yaw-raw-30-60",
    "yaw 60-90°": "yaw-raw-60-90",
}

LANDMARK_SOURCES = (
    "cleardusk/3DDFA benchmark_aflw2000.py: normaliser, bins, balanced mean",
    "pcr-upm/images_framework: AUC and FR at 6 %",
    "Bulat and Tzimiropoulos, ICCV 2017: AUC at 7 %",
)


def _landmarks(annotation: str, title: str, description: str) -> LandmarkProtocol:
    return LandmarkProtocol(
        name=f"aflw2000/landmarks-{annotation}",
        version=1,
        title=title,
        dataset="aflw2000",
        faces="all",
        bins=BINS,
        board=(
            ("nme/box-sqrt", BALANCED),
            *(("nme/box-sqrt", split) for split in BINS.values()),
            ("nme/box-sqrt", ALL),
            ("auc7/box-sqrt", ALL),
            ("fr7/box-sqrt", ALL),
        ),
        description=description,
        sources=LANDMARK_SOURCES,
        uncertain=(
            "Whether points of the release count from 0 or from 1: they come from MATLAB, and nobody "
            "subtracts 1.",
            "Whether published values are the balanced mean, where a table does not say so; the 2.58 of "
            "MNN+ORB is taken to be.",
        ),
        annotation=annotation,
        scheme="ibug68",
        normalisers={
            "box-sqrt": (6, 7),
            **dict.fromkeys(
                ("box-height", "box-diagonal", "box-max", "corners", "pupils6", "pupils-corners"), ()
            ),
        },
    )


PROTOCOLS = (
    PoseProtocol(
        name="aflw2000/pose",
        version=1,
        title="Head pose",
        dataset="aflw2000",
        faces="valid",
        bins=BINS,
        board=(*pose_board("raw-xyz"), ("maev", ALL)),
        description=(
            "Rotation of the 1969 faces whose three angles in Pose_Para are all within 99 degrees. The MAE "
            "is the mean absolute error of yaw, pitch and roll, wrapped at 180 degrees, in the convention "
            "raw-xyz that Hopenet, FSA-Net and 6DRepNet report. The same errors read in another convention "
            "give another number: 'facebench score' prints mnn-yxz too."
        ),
        sources=(
            "natanielruiz/deep-head-pose, shamangary/FSA-Net, thohemp/6DRepNet: faces and angles",
            "pcr-upm/images_framework: wrapping",
            "Cao et al. 2021 (TriNet): MAEV",
        ),
        uncertain=(
            "Which crop of the images is behind the 3.83 of MNN, and whether its authors measured it in "
            "these angles: the paper says neither, and the crop alone moves the MAE by 0.2 degrees.",
        ),
        convention="raw-xyz",
        also=("mnn-yxz",),
    ),
    _landmarks(
        "original",
        "68 points, original labels",
        "All 68 points of the fitted 3D face model that the release labels, of all 2000 faces, visible or "
        "not. The error is normalised by sqrt(w h) of the tight box of the true points.",
    ),
    _landmarks(
        "reannotated",
        "68 points, reannotated labels (LS3D-W)",
        "All 68 points as reannotated in LS3D-W, of all 2000 faces, visible or not. The error is normalised "
        "by sqrt(w h) of the tight box of the true points. The yaw bins are those of the original release.",
    ),
)

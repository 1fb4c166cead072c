"""The protocols of AFLW and MERL-RAV (PROTOCOLS 1.2, 1.9, 2.5, 3.4)."""

from __future__ import annotations

from dataclasses import replace

from facebench.protocols.protocol import (
    ALL,
    BALANCED,
    LandmarkProtocol,
    PoseProtocol,
    VisibilityProtocol,
    pose_board,
)

__all__ = ["PROTOCOLS"]

YAW_BINS, CONVENTION = (30, 60, 90), "aflw-yxz"
VIEWS = {view: f"merlrav-test-{view}" for view in ("frontal", "left", "lefthalf", "right", "righthalf")}
UPM_LIST = (
    "UPM's papers (MNN, 3DDE, DCFE) test on a list of 4828 faces that is not published as face ids. This "
    "protocol takes the published list of CCL; numbers on the two lists are shown apart.",
)


AFLW21 = LandmarkProtocol(
    name="aflw/landmarks-aflw21",
    version=1,
    title="21 points",
    dataset="aflw",
    faces="aflw19-test",
    yaw_bins=YAW_BINS,
    yaw_convention=CONVENTION,
    clusters="image",
    board=(
        ("nme/box-height@dataset", ALL),
        ("auc4/box-height@dataset", ALL),
        ("fr4/box-height@dataset", ALL),
        ("nme/box-height@dataset", BALANCED),
        ("nme/box-sqrt", ALL),
    ),
    description=(
        "The points that are annotated, which are the visible ones of the 21, of the test faces of CCL. "
        "Normalised by the height of AFLW's square face rectangle."
    ),
    sources=("pcr-upm/images_framework: annotated points, box height, AUC and FR at 4 %, bins of yaw",),
    uncertain=UPM_LIST,
    annotation="aflw21",
    scheme="aflw21",
    normalisers={"box-height@dataset": (4,), "box-sqrt": (), "box-sqrt@dataset": ()},
)

POSE = PoseProtocol(
    name="aflw/pose",
    version=1,
    title="Head pose",
    dataset="aflw",
    faces="aflw19-test",
    yaw_bins=YAW_BINS,
    yaw_convention=CONVENTION,
    clusters="image",
    board=(*pose_board("mnn-yxz"), ("mae/mnn-yxz", BALANCED)),
    description=(
        "The rotation that AFLW's own POSIT found for the annotated points of the test faces of CCL. It is "
        "coarse and not checked by hand. mnn-yxz differs from AFLW's own convention only in signs, so the "
        "MAE is the same in both."
    ),
    sources=("Koestinger et al. 2011 (AFLW): the poses", "pcr-upm/images_framework: convention, wrapping"),
    uncertain=UPM_LIST,
    convention="mnn-yxz",
    also=("raw-xyz",),
)

PROTOCOLS = (
    AFLW21,
    replace(
        AFLW21,
        name="aflw/landmarks-aflw21-all",
        title="21 points, every face",
        faces="all",
        board=(("nme/box-sqrt", BALANCED), ("nme/box-sqrt", ALL), ("nme/box-height@dataset", ALL)),
        description=(
            "The points that are annotated, which are the visible ones of the 21, of every face: for "
            "methods that were not trained on AFLW. Normalised by sqrt(w h) of the tight box of the "
            "annotated points; the balanced mean is over three bins of yaw."
        ),
        sources=("cleardusk/3DDFA benchmark_aflw.py: normaliser, bins, balanced mean",),
        uncertain=(
            "3DDFA scores 21,080 crops of its own and takes jaw points for the ears; here every face with a "
            "rectangle is scored.",
        ),
        normalisers={"box-sqrt": (), "box-height@dataset": (4,)},
    ),
    LandmarkProtocol(
        name="aflw/landmarks-aflw19",
        version=1,
        title="19 points (CCL)",
        dataset="aflw",
        faces="aflw19-test",
        subsets={"frontal": "aflw19-frontal"},
        clusters="image",
        board=(
            ("nme/box-sqrt@dataset", ALL),
            ("nme/box-sqrt@dataset", "aflw19-frontal"),
            ("nme/box-sqrt@dataset/visible", ALL),
            ("auc7/box-sqrt@dataset", ALL),
            ("fr7/box-sqrt@dataset", ALL),
            ("nme/box-diagonal@dataset", ALL),
        ),
        description=(
            "The 19 points without the ears that CCL completed, of its 4386 test faces; 'frontal' are "
            "those with all points visible. Normalised by the size of AFLW's square face rectangle. The "
            "error is over all annotated points, visible or not, as in HRNet; over the visible ones, as in "
            "SAN, it is given too."
        ),
        sources=(
            "Zhu et al., CVPR 2016 (CCL): points, faces, normaliser",
            "HRNet lib/core/evaluation.py: all points; SAN common_eval.py: visible points",
        ),
        uncertain=(
            "The number of frontal faces (1314 is quoted).",
            "Which normaliser the tables mean that call theirs 'diag': their numbers fit the size of the "
            "box.",
        ),
        annotation="aflw19",
        scheme="aflw19",
        normalisers={"box-sqrt@dataset": (7,), "box-diagonal@dataset": (), "box-height@dataset": ()},
        apart=("visible",),
    ),
    LandmarkProtocol(
        name="aflw/landmarks-merlrav68",
        version=1,
        title="68 points (MERL-RAV)",
        dataset="aflw",
        faces="merlrav-test",
        subsets=VIEWS,
        clusters="image",
        board=(
            ("nme/box-sqrt", ALL),
            ("nme/box-sqrt/visible", ALL),
            ("nme/box-sqrt/occluded", ALL),
            ("auc7/box-sqrt", ALL),
            ("fr7/box-sqrt", ALL),
            *(("nme/box-sqrt", split) for split in VIEWS.values()),
        ),
        description=(
            "The points of MERL-RAV that have a position, visible or occluded; points that the head itself "
            "hides have none and do not count. Normalised by sqrt(w h) of the tight box of these points."
        ),
        sources=("abhi1kumar/LUVLi: faces, normaliser, AUC at 7 %",),
        uncertain=(
            "LUVLi and SPIGA divide the sum of errors by 68 even where points are missing; 'facebench "
            "explain' shows that number.",
            "Some labels match no published face rectangle, so a few faces of the list are absent.",
        ),
        annotation="merlrav68",
        scheme="ibug68",
        normalisers={"box-sqrt": (7,), "box-height": ()},
        apart=("visible", "occluded"),
    ),
    VisibilityProtocol(
        name="aflw/visibility-merlrav68",
        version=1,
        title="Visibility of 68 points (MERL-RAV)",
        dataset="aflw",
        faces="merlrav-test",
        clusters="image",
        board=(("ap", ALL), ("recall80", ALL), ("f1", ALL), ("precision", ALL), ("recall", ALL)),
        description=(
            "Which of the points cannot be seen: the positive class are points that are occluded by "
            "something, and those that the head itself hides. All points of all faces are pooled."
        ),
        sources=("facebench: no evaluation of these labels as a ranking is published",),
        annotation="merlrav68",
        scheme="ibug68",
        positive=("occluded", "hidden"),
    ),
    POSE,
    replace(
        POSE,
        name="aflw/pose-all",
        title="Head pose, every face",
        faces="all",
        description=POSE.description.replace(
            "the test faces of CCL.", "every face: for methods that were not trained on AFLW."
        ),
        uncertain=(),
    ),
)

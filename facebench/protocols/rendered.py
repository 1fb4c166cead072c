"""The protocols of the rendered heads: facebench's own."""

from __future__ import annotations

from facebench.protocols.protocol import (
    ALL,
    BALANCED,
    LandmarkProtocol,
    PoseProtocol,
    VisibilityProtocol,
    pose_board,
)

__all__ = ["PROTOCOLS"]

YAW_BINS = (30, 60, 90)
SOURCES = ("facebench: a dataset of its own, with the truth known by construction",)

PROTOCOLS = (
    PoseProtocol(
        name="rendered/pose",
        version=1,
        title="Head pose",
        dataset="rendered",
        faces="test",
        yaw_bins=YAW_BINS,
        board=(*pose_board("raw-xyz"), ("geodesic", BALANCED)),
        description=(
            "The rotation with which each test face was rendered, in the frame of the camera, in the "
            "convention raw-xyz of AFLW2000-3D."
        ),
        sources=SOURCES,
        convention="raw-xyz",
        also=("mnn-yxz",),
    ),
    LandmarkProtocol(
        name="rendered/landmarks",
        version=1,
        title="68 points",
        dataset="rendered",
        faces="test",
        yaw_bins=YAW_BINS,
        board=(
            ("nme/box-sqrt", BALANCED),
            ("nme/box-sqrt", ALL),
            ("nme/box-sqrt/visible", ALL),
            ("nme/box-sqrt/occluded", ALL),
            ("auc7/box-sqrt", ALL),
            ("fr7/box-sqrt", ALL),
        ),
        description=(
            "All 68 points of the test faces, visible or not, normalised by sqrt(w h) of their tight box, "
            "as the 68 points of AFLW2000-3D are. The balanced mean is over three bins of yaw."
        ),
        sources=SOURCES,
        annotation="truth",
        scheme="ibug68",
        normalisers={"box-sqrt": (7,), "corners": (), "box-height": ()},
        apart=("visible", "occluded"),
    ),
    VisibilityProtocol(
        name="rendered/visibility",
        version=1,
        title="Visibility of 68 points",
        dataset="rendered",
        faces="test",
        board=(("ap", ALL), ("recall80", ALL), ("f1", ALL), ("precision", ALL), ("recall", ALL)),
        description=(
            "Which of the points cannot be seen, because an object or the head itself is before them: the "
            "positive class. All points of all test faces are pooled."
        ),
        sources=SOURCES,
        annotation="truth",
        scheme="ibug68",
        positive=("occluded", "hidden"),
    ),
)

"""The protocols of COFW and COFW-68 (PROTOCOLS 1.5, 1.6, 3.2, 4)."""

from __future__ import annotations

from facebench.protocols.protocol import ALL, LandmarkProtocol, PoseProtocol, VisibilityProtocol, pose_board

__all__ = ["PROTOCOLS"]


def _visibility(
    scheme: str, annotation: str, faces: str, title: str, sources: tuple[str, ...]
) -> VisibilityProtocol:
    return VisibilityProtocol(
        name=f"cofw/visibility-{annotation}",
        version=1,
        title=title,
        dataset="cofw",
        faces=faces,
        board=(
            ("recall80", ALL),
            ("ap", ALL),
            ("f1", ALL),
            ("precision", ALL),
            ("recall", ALL),
        ),
        description=(
            "Which of the points are occluded: the class 'occluded' is the positive one, and all points of "
            "all 507 test faces are pooled. The recall is the largest at any threshold whose precision is "
            "at least 80 %. Predictions that are only 0 and 1 have one operating point, and no such number."
        ),
        sources=sources,
        uncertain=(
            "How the papers read recall at 80 % precision off their curves: at the best threshold, as "
            "here, by interpolation (recall80-interpolated), or at one threshold that was fixed beforehand.",
        ),
        annotation=annotation,
        scheme=scheme,
        positive=("occluded",),
    )


PROTOCOLS = (
    LandmarkProtocol(
        name="cofw/landmarks-cofw29",
        version=1,
        title="29 points",
        dataset="cofw",
        faces="test",
        board=(
            ("nme/pupils-contour", ALL),
            ("auc8/pupils-contour", ALL),
            ("fr8/pupils-contour", ALL),
            ("nme/pupils-annotated", ALL),
            ("fr10/pupils-annotated", ALL),
            ("nme/corners", ALL),
            ("fr10/corners", ALL),
        ),
        description=(
            "All 29 points of the 507 test faces, occluded ones included. Four normalisers are in use, two "
            "of them by the same authors, and published tables mix them: the headline is the distance of "
            "the means of the 4 contour points of each eye."
        ),
        sources=(
            "pcr-upm/images_framework: pupils-contour, AUC and FR at 8 %",
            "bobetocalo/faces_framework: pupils-part",
            "Burgos-Artizzu et al., ICCV 2013 (RCPR), and STAR: pupils-annotated, FR at 10 %",
            "HRNet, mmpose: corners",
        ),
        uncertain=(
            "Which of pupils-contour and pupils-part the published NME of MNN and its predecessors used.",
        ),
        annotation="cofw29",
        scheme="cofw29",
        normalisers={
            "pupils-contour": (8,),
            "pupils-part": (8,),
            "pupils-annotated": (8, 10),
            "corners": (8, 10),
            "box-sqrt": (),
        },
        apart=("visible", "occluded"),
    ),
    LandmarkProtocol(
        name="cofw/landmarks-cofw68",
        version=1,
        title="68 points (COFW-68)",
        dataset="cofw",
        faces="cofw68",
        board=(
            ("nme/pupils6", ALL),
            ("nme/pupils6/visible", ALL),
            ("fr10/pupils6", ALL),
            ("nme/corners", ALL),
            ("nme/box-sqrt", ALL),
            ("auc7/box-sqrt", ALL),
            ("fr7/box-sqrt", ALL),
        ),
        description=(
            "All 68 points of the 507 test faces as annotated anew for COFW-68, normalised by the distance "
            "of the means of the 6 points of each eye. The success rate at 10 % of the benchmark is 100 % "
            "less FR@10."
        ),
        sources=(
            "golnazghiasi/cofw68-benchmark: pupils6, success at 10 %, visible points",
            "LUVLi, SPIGA: corners, sqrt(w h) of the box of the true points, AUC at 7 %",
        ),
        annotation="cofw68",
        scheme="ibug68",
        normalisers={"pupils6": (10,), "corners": (8, 10), "box-sqrt": (7,), "pupils-corners": ()},
        apart=("visible", "occluded"),
    ),
    _visibility(
        "cofw29",
        "cofw29",
        "test",
        "Occlusion of 29 points",
        (
            "Burgos-Artizzu, Perona and Dollar, ICCV 2013 (RCPR): positive class, pooling, 80 % precision",
            "Valle et al., TPAMI (MNN), and the methods it lists: recall at 80 % precision",
        ),
    ),
    _visibility(
        "ibug68",
        "cofw68",
        "cofw68",
        "Occlusion of 68 points (COFW-68)",
        ("golnazghiasi/cofw68-benchmark: precision and recall at each method's own operating point",),
    ),
    PoseProtocol(
        name="cofw/pose-mnn",
        version=1,
        title="Head pose, POSIT by the recipe of MNN",
        dataset="cofw",
        faces="test",
        board=pose_board("mnn-yxz"),
        description=(
            "Rotation that POSIT finds for the annotated points and a mean 3D face as the MNN code does. "
            "It is a computation from labels, also from those of occluded points. Angles are read as "
            "mnn-yxz."
        ),
        sources=("bobetocalo/faces_framework ModernPosit: the recipe",),
        convention="mnn-yxz",
        also=("raw-xyz",),
        pose="mnn",
    ),
)

"""The protocols of 300W (PROTOCOLS 2.4, 3.2, 3.3, 3.6)."""

from __future__ import annotations

from facebench.protocols.protocol import ALL, LandmarkProtocol, PoseProtocol, pose_board

__all__ = ["PROTOCOLS"]

CONVENTION = "mnn-yxz"
PUBLIC = {"common": "common", "challenging": "challenging", "Helen": "helen", "LFPW": "lfpw"}
PRIVATE = {"indoor": "indoor", "outdoor": "outdoor"}

# Recipe of the ground truth, and what it is.
RECIPES = {
    "mnn": "as the MNN code does: of the points as they are, with a camera derived from the box",
    "spiga": "as SPIGA does: of the points rounded to whole pixels of a crop of 256 x 256",
}


def _pose(recipe: str, faces: str, subsets: dict[str, str], where: str) -> PoseProtocol:
    name = "300w/pose" if faces == "full" else f"300w/pose-{faces}"
    return PoseProtocol(
        name=f"{name}-{recipe}",
        version=1,
        title=f"Head pose, {where}, POSIT by the recipe of {recipe.upper()}",
        dataset="300w",
        faces=faces,
        subsets=subsets,
        board=(
            *pose_board(CONVENTION),
            *((f"mae/{CONVENTION}", split) for split in list(subsets.values())[:2]),
        ),
        description=(
            f"Rotation that POSIT finds for the annotated points and a mean 3D face, {RECIPES[recipe]}. It "
            "is a computation from labels, not a measurement of a head. Angles are read as mnn-yxz."
        ),
        sources=(
            "bobetocalo/faces_framework ModernPosit and andresprados/SPIGA: the two recipes",
            "pcr-upm/images_framework: wrapping and convention",
        ),
        uncertain=(
            "Whether the published 1.56 of MNN was measured against exactly this ground truth: the two "
            "recipes differ by about 0.2 degrees on a face, and by 0.01 in the MAE of a method.",
        ),
        convention=CONVENTION,
        also=("raw-xyz",),
        pose=recipe,
    )


PROTOCOLS = (
    LandmarkProtocol(
        name="300w/landmarks",
        version=1,
        title="68 points, public test set",
        dataset="300w",
        faces="full",
        subsets=PUBLIC,
        board=(
            ("nme/corners", ALL),
            ("nme/corners", "common"),
            ("nme/corners", "challenging"),
            ("auc8/corners", ALL),
            ("fr8/corners", ALL),
            ("nme/pupils6", ALL),
            ("nme/pupils6", "common"),
            ("nme/pupils6", "challenging"),
            ("nme/pupils-corners", ALL),
            ("nme/pupils-corners", "common"),
            ("nme/pupils-corners", "challenging"),
            ("auc8/pupils-corners", ALL),
            ("fr8/pupils-corners", ALL),
        ),
        description=(
            "All 68 points of the 689 faces of the public test set: common (the test parts of Helen and "
            "LFPW, 554) and challenging (iBUG, 135). 'All faces' is the mean over the 689 faces, not over "
            "the two parts. The headline is normalised by the distance of the outer eye corners; the "
            "distance of the pupils is given too, in the two definitions that are in use."
        ),
        sources=(
            "HRNet, mmpose, PIPNet, STAR and SPIGA: corners",
            "andresprados/SPIGA and the 300W inter-pupil papers: pupils6, AUC and FR at 8 %",
            "pcr-upm/images_framework: pupils-corners, AUC and FR at 8 %",
        ),
        annotation="ibug68",
        scheme="ibug68",
        normalisers={
            "corners": (8, 10),
            "pupils6": (8,),
            "pupils-corners": (8,),
            "box-sqrt": (7,),
            "box-height": (),
            "box-diagonal": (),
        },
    ),
    LandmarkProtocol(
        name="300w/landmarks-private",
        version=1,
        title="68 points, private test set",
        dataset="300w",
        faces="private",
        subsets=PRIVATE,
        board=(
            ("nme/corners", ALL),
            ("nme/corners", "indoor"),
            ("nme/corners", "outdoor"),
            ("auc8/corners", ALL),
            ("fr8/corners", ALL),
            ("nme/box-sqrt", ALL),
            ("auc7/box-sqrt", ALL),
            ("fr7/box-sqrt", ALL),
        ),
        description=(
            "All 68 points of the 600 faces of the challenge's own test set, indoor (300) and outdoor (300), "
            "normalised by the distance of the outer eye corners, and by the box of the true points."
        ),
        sources=(
            "pcr-upm/images_framework and andresprados/SPIGA: corners, AUC and FR at 8 %",
            "LUVLi and SPIGA: sqrt(w h) of the box of the true points, AUC at 7 %",
        ),
        annotation="ibug68",
        scheme="ibug68",
        normalisers={
            "corners": (8, 10),
            "box-sqrt": (7, 8),
            "pupils6": (),
            "pupils-corners": (),
            "box-height": (),
            "box-diagonal": (),
        },
    ),
    *(
        _pose(recipe, faces, subsets, where)
        for faces, subsets, where in (
            ("full", PUBLIC, "public test set"),
            ("private", PRIVATE, "private test set"),
        )
        for recipe in RECIPES
    ),
)

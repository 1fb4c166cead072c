"""The protocols of BIWI (PROTOCOLS 2.3, 2.6)."""

from __future__ import annotations

from facebench.protocols.protocol import ALL, BALANCED, PoseProtocol, pose_board

__all__ = ["PROTOCOLS"]

MTCNN = "shamangary/FSA-Net, opal and img2pose: the list of 13,219 frames"


def _pose(
    name: str,
    title: str,
    faces: str,
    description: str,
    sources: tuple[str, ...],
    pose: str = "depth",
    uncertain: tuple[str, ...] = (),
) -> PoseProtocol:
    return PoseProtocol(
        name=name,
        version=1,
        title=title,
        dataset="biwi",
        faces=faces,
        yaw_bins=(30, 60, 90),
        clusters="subject",
        board=(
            *pose_board("raw-xyz"),
            ("maev", ALL),
            ("mae/raw-xyz", BALANCED),
            ("mae/raw-xyz/aligned-left", ALL),
            ("geodesic/aligned-left", ALL),
        ),
        description=(
            f"{description} The MAE is in the convention raw-xyz. Intervals resample people, not frames: "
            "neighbouring frames are nearly the same. Aligned values remove one constant rotation per "
            "sequence."
        ),
        sources=sources,
        uncertain=uncertain,
        convention="raw-xyz",
        also=("mnn-yxz",),
        pose=pose,
        align_by="sequence",
    )


PROTOCOLS = (
    _pose(
        "biwi/pose",
        "Head pose, 13,219 frames",
        "mtcnn-13219",
        "The rotation of the head in the frame of the depth camera, for the frames in which MTCNN finds a "
        "face: the usual protocol of methods that were trained on other data.",
        (
            "natanielruiz/deep-head-pose, thohemp/6DRepNet: angles",
            MTCNN,
            "pcr-upm/opal: alignment by sequence",
        ),
        uncertain=("Which list of frames is behind the published 3.66 of MNN: this one or all frames.",),
    ),
    _pose(
        "biwi/pose-rgb",
        "Head pose in the RGB camera, 13,219 frames",
        "mtcnn-13219",
        "The rotation of the head as the RGB camera sees it, about one degree away from the one in the "
        "frame of the depth camera.",
        ("opentrack/neuralnet-tracker-traincode: the extrinsics", MTCNN),
        pose="rgb",
    ),
    _pose(
        "biwi/pose-all",
        "Head pose, all frames",
        "all",
        "The rotation of the head in the frame of the depth camera, for all 15,678 frames, also those in "
        "which no detector finds a face.",
        ("pcr-upm/opal: all frames (its list has one less)",),
    ),
    _pose(
        "biwi/pose-test-subjects",
        "Head pose, people unseen in training",
        "test-subjects",
        "The rotation of the head in the frame of the depth camera, for all frames of 6 people whose other "
        "recordings are not in 'train-subjects' either: for methods that are trained on BIWI. The usual "
        "split by sequences is unpublished and has people on both sides.",
        ("facebench: the split",),
    ),
)

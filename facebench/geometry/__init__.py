"""Landmark schemes, rotations and boxes: arrays in, arrays out.

Conventions
-----------
Pixels are 0-based, x to the right, y down, (0, 0) the centre of the top-left pixel.  Boxes are
``x_min, y_min, x_max, y_max``.  A rotation is a matrix ``R_cam`` that maps head axes to OpenCV camera
axes (x right, y down, z into the scene); a frontal upright face is the identity.  Euler angles are
always ``(yaw, pitch, roll)`` in degrees together with the name of their convention.  Left and right
are those of the image.
"""

from facebench.geometry.boxes import box_size, place_in_box, relative_to_box, tight_box
from facebench.geometry.posit import RECIPES, posit, posit_mnn, posit_spiga
from facebench.geometry.rotations import (
    CONVENTIONS,
    EulerConvention,
    canonical_euler,
    euler_to_rotation,
    geodesic_distance,
    mean_rotation,
    not_rotations,
    rotation_to_euler,
)
from facebench.geometry.schemes import (
    MAPPINGS,
    VISIBILITY,
    Scheme,
    carry,
    convert,
    correspondences,
    get_scheme,
    scheme_names,
)

__all__ = [
    "CONVENTIONS",
    "MAPPINGS",
    "RECIPES",
    "VISIBILITY",
    "EulerConvention",
    "Scheme",
    "box_size",
    "canonical_euler",
    "carry",
    "convert",
    "correspondences",
    "euler_to_rotation",
    "geodesic_distance",
    "get_scheme",
    "scheme_names",
    "mean_rotation",
    "not_rotations",
    "place_in_box",
    "posit",
    "posit_mnn",
    "posit_spiga",
    "relative_to_box",
    "rotation_to_euler",
    "tight_box",
]

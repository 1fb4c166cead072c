"""Drawn heads with exact ground truth, and raw trees in a release's own layout.

A mean head of our own is posed, drawn and written exactly as a benchmark's release would hold it,
so that everything from reading to scoring can run, and be checked against known truth, without
anyone's data.  Head axes are those of ``R_cam``: x to the right of the image, y down, z into the
scene; millimetres.
"""

from facebench.synthetic.aflw2000 import DrawnFaces, write_aflw2000_tree
from facebench.synthetic.drawing import draw_face, project
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.surface import HeadSurface, head_surface, to_chart

__all__ = [
    "DrawnFaces",
    "HeadSurface",
    "draw_face",
    "head_surface",
    "mean_head",
    "project",
    "to_chart",
    "write_aflw2000_tree",
]

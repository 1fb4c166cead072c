"""Heads with exact ground truth, and raw trees in a release's own layout.

Random heads are rendered as textured meshes before a perspective camera (:func:`render_face`), and written
exactly as the releases of five benchmarks would hold them (:mod:`facebench.synthetic.trees`), so that
everything from reading to scoring can run, and be checked against known truth, without anyone's data.  A
plainer mean head is drawn for small releases (:func:`draw_face`).  Head axes are those of ``R_cam``: x to the
right of the image, y down, z into the scene; millimetres.
"""

from facebench.synthetic.aflw2000 import DrawnFaces, draw_aflw2000_tree
from facebench.synthetic.drawing import draw_face, project
from facebench.synthetic.faces import RenderedFace, render_face, render_faces
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.surface import HeadSurface, head_surface, to_chart

__all__ = [
    "DrawnFaces",
    "HeadSurface",
    "RenderedFace",
    "draw_face",
    "head_surface",
    "mean_head",
    "project",
    "render_face",
    "render_faces",
    "to_chart",
    "draw_aflw2000_tree",
]

"""Rendered faces as the files of a release: its layout, formats, conventions and index base.

One module for each release writes what the module of the same name in ``facebench.datasets`` reads.  Neither
uses the other, so that what comes back through ``prepare`` tells whether both follow the published
conventions.  Every writer takes any iterable of :class:`facebench.synthetic.faces.RenderedFace`, looks at one
face at a time, and returns the ids that facebench gives to the faces, in the order of the faces.
"""

from facebench.synthetic.trees.aflw import write_aflw_tree
from facebench.synthetic.trees.aflw2000 import write_aflw2000_tree
from facebench.synthetic.trees.biwi import write_biwi_tree
from facebench.synthetic.trees.cofw import write_cofw_tree
from facebench.synthetic.trees.mean_face import write_mean_face
from facebench.synthetic.trees.w300 import write_300w_tree

__all__ = [
    "write_300w_tree",
    "write_aflw2000_tree",
    "write_aflw_tree",
    "write_biwi_tree",
    "write_cofw_tree",
    "write_mean_face",
]

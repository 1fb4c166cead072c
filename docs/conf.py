"""Configuration of the documentation.  Build it with ``sphinx-build -W -b html docs docs/_build/html``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import facebench  # noqa: E402

project = "facebench"
author = "The facebench developers"
copyright = author
version = release = facebench.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "facebench_docstrings",
    "facebench_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "generated", "examples"]
default_role = "code"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Conventions"]

# Everything a page needs lies beside it: no font, script or formula is fetched from elsewhere.
html_theme = "furo"
html_title = f"facebench {release}"
html_static_path = ["_static"]
html_css_files = ["facebench.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b57a4", "color-brand-content": "#0b57a4"},
    "dark_css_variables": {"color-brand-primary": "#8ab8f0", "color-brand-content": "#8ab8f0"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"

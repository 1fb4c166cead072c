"""Templates of pages, read in one way everywhere."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["template_environment"]


def template_environment(package: str, folder: str = "templates", *, escape: bool = True) -> Environment:
    """Return what reads the templates of a package: a name that is not there is an error, not nothing.

    Parameters
    ----------
    escape : show all that is filled in as text of HTML; without it, the templates escape for themselves.
    """
    return Environment(
        loader=PackageLoader(package, folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=escape,
    )

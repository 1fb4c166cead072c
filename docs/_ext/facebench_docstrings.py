"""Read the docstrings of facebench the way they are written.

They follow numpydoc's sections, but say in one line what an argument is (``points : (N, K, 2) pixels``)
where numpydoc expects a type there; and they cite the page "Facts and sources" as ``PROTOCOLS 3.2``.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

RULE = re.compile(r"-{3,}")
ENTRY = re.compile(r"(?P<names>[\w*]+(?:, [\w*]+)*) : (?P<what>.+)")
CITED = re.compile(r"PROTOCOLS (?P<sections>\d+(?:\.\d+)?(?:(?:, | and )\d+(?:\.\d+)?)*)")


def link_citations(text: str) -> str:
    """Turn ``PROTOCOLS 3.1, 3.2`` into links; one to a section that does not exist fails the build."""

    def links(match: re.Match[str]) -> str:
        def link(section: re.Match[str]) -> str:
            return f":ref:`{section[0]} <protocols-{section[0].replace('.', '-')}>`"

        return "PROTOCOLS " + re.sub(r"\d+(?:\.\d+)?", link, match["sections"])

    return CITED.sub(links, text)


def said(returned: list[str]) -> list[str]:
    """Return the field that says what a function returns; two empty lines end the section before it."""
    return ["", "", ":returns: " + " ".join(returned), ""] if returned else []


def described(names: str, what: list[str], section: str) -> list[str]:
    """Return the description of arguments below their names; attributes get one each."""
    below = [f"    {line.strip()}" for line in what]
    if section != "Attributes":
        return [names, *below]
    return [line for name in names.split(", ") for line in (name, *below)]


def rewrite(lines: list[str]) -> list[str]:
    """Move what stands behind a colon below the name, and say what a function returns as a sentence."""
    made: list[str] = []
    section, returned = "", []
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        entry = ENTRY.fullmatch(line)
        if position < len(lines) and line.strip() and RULE.fullmatch(lines[position].strip()):
            made += said(returned)
            section, returned = line.strip(), []
            if section != "Returns":
                made += [line, lines[position]]
            position += 1
        elif section == "Returns":
            returned += [line.strip()] if line.strip() else []
        elif section in ("Parameters", "Attributes", "Raises") and entry:
            what = [entry["what"]]
            while position < len(lines) and lines[position].startswith(" "):
                what.append(lines[position])
                position += 1
            made += described(entry["names"], what, section)
        elif section in ("Parameters", "Attributes", "Raises") and line.strip():
            # Prose behind the section: two empty lines tell Napoleon that it is over.
            made += ["", "", line]
            section = ""
        else:
            made.append(line)
    return made + said(returned)


class Docstrings:
    """The two steps around Napoleon, which takes the text before a colon in an attribute for a type."""

    def __init__(self) -> None:
        self.attributes: dict[str, list[str]] = {}

    def before(
        self, app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
    ) -> None:
        lines[:] = [link_citations(line) for line in rewrite(lines)]
        if what in ("attribute", "data", "property"):
            self.attributes[name] = list(lines)

    def after(
        self, app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
    ) -> None:
        lines[:] = self.attributes.pop(name, lines)


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:
    """Leave out what named tuples and pydantic document by themselves."""
    counts = (getattr(obj, "__doc__", None) or "").startswith("Alias for field")
    return True if counts or name == "model_config" else None


def setup(app: Sphinx) -> dict[str, bool]:
    # Napoleon listens with priority 500.
    docstrings = Docstrings()
    app.connect("autodoc-process-docstring", docstrings.before, priority=400)
    app.connect("autodoc-process-docstring", docstrings.after, priority=600)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

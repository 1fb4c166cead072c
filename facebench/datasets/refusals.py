"""What every dataset says of sources that do not hold what it looks for."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.datasets.manifest import Manifest
from facebench.datasets.sources import Source
from facebench.errors import DataMissing, name_some

PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz")

__all__ = ["archive_hint", "no_release", "not_used"]


def archive_hint(sources: Sequence[Source]) -> str:
    """Say so when an archive lies inside a source, where it is not looked into."""
    inside = [source.where(name) for source in sources for name in source if name.lower().endswith(PACKED)]
    if not inside:
        return ""
    return f" There is an archive in it: give that as --source ({name_some(inside)}), or unpack it."


def no_release(sources: Sequence[Source], manifest: Manifest, expected: str) -> DataMissing:
    """Return the error for sources of which none holds the release."""
    looked = ", ".join(str(source.path) for source in sources)
    return DataMissing(
        f"{looked}: no {manifest.title} release found: expected {expected}.{archive_hint(sources)}\n"
        f"The release looks like this:\n{manifest.tree.rstrip()}\n"
        f"'facebench info {manifest.name}' says how to obtain it."
    )


def not_used(source: Source, manifest: Manifest) -> DataMissing:
    """Return the error for a source that adds nothing to the others."""
    roles = "\n".join(f"  {role}: {what}" for role, what in manifest.sources.items())
    return DataMissing(
        f"{source.path}: nothing of {manifest.title} in it that the other sources have not given already."
        f"{archive_hint([source])}\nExpected one of:\n{roles}"
    )

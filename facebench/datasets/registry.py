"""Which datasets there are: the built-in ones, and those of installed packages.

A package adds a dataset without changing facebench by an entry point in the group
``facebench.datasets`` whose value is a :class:`Dataset`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from facebench.datasets.manifest import Manifest, load_manifest, manifest_folder
from facebench.datasets.sources import Source
from facebench.errors import UsageError
from facebench.formats import Content, Progress

__all__ = ["Dataset", "Release", "dataset_names", "get_dataset"]

# The module of a dataset bears its name, unless that is no name for a module, or it stands elsewhere.
MODULES = {"300w": "facebench.datasets.w300", "rendered": "facebench.synthetic.rendered"}


@dataclass(frozen=True)
class Release:
    """What a dataset's module found in the sources.

    Attributes
    ----------
    files : for each role of the manifest's ``sources``, the source and the names of its files.
    notes : what a user should know about this preparation: absent parts, odd files.
    image_root : the folder that the paths of the images start from; None where they are in an archive.
    """

    content: Content
    files: dict[str, tuple[Source, list[str]]]
    notes: list[str]
    image_root: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """A benchmark: its manifest, and the function that reads its release.

    Attributes
    ----------
    read : called with the opened sources, the manifest, whether a part of the release will do, and a
        progress wrapper.
    make : instead of ``read``, for a dataset that is made on the spot: called with the number of faces, the
        seed, the manifest, how many processes may work at it and a progress wrapper.
    folder : where the manifest is, if not among facebench's own.
    """

    name: str
    read: Callable[[Sequence[Source], Manifest, bool, Progress], Release] | None = None
    folder: Path | None = None
    make: Callable[[int, int, Manifest, int, Progress], Release] | None = None

    @property
    def manifest(self) -> Manifest:
        return load_manifest((self.folder or manifest_folder()) / f"{self.name}.toml")


@cache
def _installed() -> dict[str, EntryPoint | None]:
    """Return the datasets by name: None for those built in, else where a package has its own."""
    built_in = (path.stem for path in manifest_folder().glob("*.toml"))
    found: dict[str, EntryPoint | None] = dict.fromkeys(built_in)
    for point in entry_points(group="facebench.datasets"):
        found.setdefault(point.name, point)
    return found


def dataset_names() -> list[str]:
    """Return the names of all datasets, sorted."""
    return sorted(_installed())


def get_dataset(name: str) -> Dataset:
    """Return a dataset by name.

    Raises
    ------
    UsageError : there is none of that name, or the package that brings it is broken; the others still work.
    """
    if name not in _installed():
        msg = f"Unknown dataset '{name}'. Known datasets: {', '.join(dataset_names())}."
        raise UsageError(msg)
    point = _installed()[name]
    if point is None:
        return cast("Dataset", import_module(MODULES.get(name, f"facebench.datasets.{name}")).DATASET)
    try:
        return cast("Dataset", point.load())
    except Exception as error:
        msg = f"dataset '{name}': the package that brings it ({point.value}) cannot be loaded: {error}."
        raise UsageError(msg) from error

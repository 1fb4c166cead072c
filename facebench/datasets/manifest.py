"""The manifest of a dataset: every fact about it that is not code, validated.

A manifest is ``manifests/<dataset>.toml``; beside it may lie ``<dataset>.sha256``, the hashes of the files
of the release in the format of ``sha256sum``.
"""

from __future__ import annotations

import csv
import re
import sys
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facebench.errors import InvalidData

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HASH_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>\S.*)")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")

__all__ = ["Archive", "Manifest", "Split", "load_manifest", "manifest_folder"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(Strict):
    summary: str
    text: str
    redistribution: bool


class Citation(Strict):
    key: str
    what: str
    bibtex: str


class Archive(Strict):
    """A file that the owners publish; ``sha256`` and ``md5`` are of the file as they packed it.

    ``direct`` says that the licence allows to fetch it from ``url``, or from one of ``mirrors``, as it is.
    """

    file: str
    obtain: str
    url: str | None = None
    mirrors: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    direct: bool = False

    @model_validator(mode="after")
    def _can_be_fetched(self) -> Archive:
        if not self.direct:
            return self
        if not FILE_NAME.fullmatch(self.file):
            msg = f"file '{self.file}' is direct, and must be a name that a file can have"
            raise ValueError(msg)
        wrong = [
            url for url in (self.url or "", *self.mirrors) if not url.startswith(("http://", "https://"))
        ]
        if wrong:
            msg = f"file '{self.file}' is direct, and needs addresses of http or https, not '{wrong[0]}'"
            raise ValueError(msg)
        return self


class AnnotationFacts(Strict):
    scheme: str
    what: str
    index_base: str
    visibility: str


class Split(Strict):
    """A list of faces: a rule in words, its size, and the hash of its ids (where those are known).

    ``ids`` lists the faces, ``union_of`` the splits it consists of, or ``exclude_splits`` those whose faces
    are left out of all of them.  Where the dataset's module computes the list by the rule, none is given.
    Either way the outcome is checked against the count and the hash; ``"?"`` for the hash asks for it.
    """

    what: str
    count: int
    sha256: str | None = None
    ids: tuple[str, ...] | None = None
    exclude_splits: tuple[str, ...] = ()
    union_of: tuple[str, ...] = ()


class Fault(Strict):
    """Something known to be wrong or odd in the release, and what facebench does about it."""

    what: str
    handling: str
    count: int | None = None
    ids: tuple[str, ...] = ()


class Manifest(Strict):
    """Everything there is to know about a dataset.

    ``images`` is what the owners state, left out where they state none.  It is shown and not checked, since
    of some releases there are copies with a few more or less.  ``seed`` is that of a dataset which is made on
    the spot; with ``faces`` it makes the published one.  ``open`` says that nothing is published: the faces
    and splits are those that somebody brings, and the counts here are 0.  ``tables`` names the CSV files
    beside the manifest that hold what is too long for it.
    """

    name: str
    title: str
    summary: str
    homepage: str
    images: int | None = None
    faces: int
    seed: int | None = None
    open: bool = False
    licence: Licence
    citations: tuple[Citation, ...]
    archives: tuple[Archive, ...]
    tree: str
    sources: dict[str, str]
    pose: str
    boxes: dict[str, str]
    source: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, AnnotationFacts]
    splits: dict[str, Split]
    faults: tuple[Fault, ...]
    tables: dict[str, str] = Field(default_factory=dict)
    folder: Path = Field(default=Path(), repr=False)
    file_hashes: dict[str, str] = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _has_published_ids(self) -> Manifest:
        excluding = [name for name, split in self.splits.items() if split.exclude_splits]
        if excluding and not self.file_hashes:
            msg = f"split '{excluding[0]}' excludes others, which needs the file {self.name}.sha256"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _splits_build_on_splits(self) -> Manifest:
        for name, split in self.splits.items():
            for other in (*split.union_of, *split.exclude_splits):
                if other not in self.splits:
                    msg = f"split '{name}' builds on a split '{other}', which is not there"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _counts_what_is_published(self) -> Manifest:
        counts = [self.faces, *(split.count for split in self.splits.values())]
        if self.open and (any(counts) or self.file_hashes or self.seed is not None):
            msg = "an open dataset has no published faces: expected counts of 0, no seed, no hashes"
            raise ValueError(msg)
        return self

    @property
    def bibtex(self) -> str:
        """All citations."""
        return "\n\n".join(one.bibtex.strip() for one in self.citations)

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table beside the manifest, by column name."""
        with (self.folder / self.tables[name]).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def published_ids(self) -> frozenset[str]:
        """Names, without folder and ending, of the files of the published release."""
        names = (name.rpartition("/")[2] for name in self.file_hashes)
        return frozenset(name.rpartition(".")[0] for name in names)


def manifest_folder() -> Path:
    """Return the folder of the manifests, in an installed wheel or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "manifests"
    return installed if installed.is_dir() else package.parent / "manifests"


@cache
def load_manifest(path: Path) -> Manifest:
    """Read and validate a manifest.

    Raises
    ------
    InvalidData : names the file and every key that is missing, unknown or of the wrong type.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        values["folder"] = path.parent
        hashes = path.with_suffix(".sha256")
        if hashes.is_file():
            values["file_hashes"] = _read_hashes(hashes)
        return Manifest.model_validate(values)
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        msg = "\n".join([f"{path}: not a valid manifest:", *faults])
        raise InvalidData(msg) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: not valid TOML ({error})."
        raise InvalidData(msg) from error


def _read_hashes(path: Path) -> dict[str, str]:
    """Read the output of ``sha256sum``: the hash of each file by its path."""
    lines = [HASH_LINE.fullmatch(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wrong = [str(number) for number, line in enumerate(lines, start=1) if line is None]
    if wrong or not lines:
        msg = f"{path}: expected lines of sha256sum, found others in line {', '.join(wrong[:5]) or 1}."
        raise InvalidData(msg)
    return {line["name"]: line["digest"] for line in lines if line is not None}

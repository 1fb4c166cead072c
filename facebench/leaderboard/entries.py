"""Leaderboard entries: one JSON file per method, each claim in it reported, rescored or reproduced.

An entry lies at ``entries/<dataset>/<slug of the method>.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facebench.errors import FacebenchError, Faults, UsageError
from facebench.formats import write_text
from facebench.protocols import Result, get_protocol

__all__ = [
    "Entry",
    "Reported",
    "Scored",
    "Superseded",
    "Value",
    "add_result",
    "entry_path",
    "load_entries",
    "slug",
]

# Digits kept of a computed number: far beyond what is shown, and the same on every machine.
DECIMALS = 6
# Characters of a file name that are kept of a method's.
LONGEST = 120


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Value(Strict):
    """A published number: metric key, group of faces, value in the unit of the metric."""

    metric: str
    group: str = "all"
    value: float


class Superseded(Strict):
    """A headline that once stood in a row, kept when another took its place: the errata page shows it.

    Attributes
    ----------
    because : why it changed, in a sentence.
    signature : of a computed number; says by which version of what.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    signature: str | None = None
    because: Annotated[str, Field(min_length=1)]


class Reported(Strict):
    """Numbers that somebody published.

    Attributes
    ----------
    protocol : the protocol they belong to; checked to exist.
    source : where they were read.
    apart : why they cannot be compared with the others of the protocol; they are then shown apart.
    ranked : whether the row takes part in the ranking; false for a reference that is not a method.
    notes : what a reader must know, shown as footnotes.
    superseded : headlines that stood here before, latest first.
    """

    status: Literal["reported"]
    protocol: str
    values: Annotated[list[Value], Field(min_length=1)]
    training_data: str | None = None
    source: str
    apart: str | None = None
    ranked: bool = True
    notes: list[str] = Field(default_factory=list)
    superseded: list[Superseded] = Field(default_factory=list)

    @model_validator(mode="after")
    def _known(self) -> Reported:
        protocol = get_protocol(self.protocol)
        known = {metric.key for metric in protocol.metrics}
        for one in self.values:
            if self.apart is None and one.metric not in known:
                msg = f"{self.protocol} has no metric '{one.metric}'; known: {', '.join(sorted(known))}"
                raise ValueError(msg)
            if one.group not in protocol.groups:
                msg = f"{self.protocol} has no group '{one.group}'; known: {', '.join(protocol.groups)}"
                raise ValueError(msg)
        return self


class Scored(Strict):
    """Numbers that facebench computed.

    Attributes
    ----------
    status : ``rescored`` from a predictions file, or ``reproduced`` by a model that anyone can run.
    command : for a reproduced result, what makes its predictions.
    result : the scores with intervals, signature and hashes of the inputs.
    superseded : headlines that stood here before, latest first.
    """

    status: Literal["rescored", "reproduced"]
    result: Result
    training_data: str | None = None
    source: str | None = None
    command: str | None = None
    notes: list[str] = Field(default_factory=list)
    superseded: list[Superseded] = Field(default_factory=list)

    @property
    def protocol(self) -> str:
        return self.result.protocol

    @model_validator(mode="after")
    def _known(self) -> Scored:
        get_protocol(self.protocol)
        if self.status == "reproduced" and not self.command:
            msg = "a reproduced result needs 'command': what makes its predictions"
            raise ValueError(msg)
        return self


class Entry(Strict):
    """One method on the leaderboards of one dataset."""

    format: Literal["facebench-entry"] = "facebench-entry"
    version: Literal[1] = 1
    dataset: str
    method: Annotated[str, Field(min_length=1)]
    year: Annotated[int, Field(ge=1990, le=2100)] | None = None
    paper: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    results: Annotated[list[Annotated[Reported | Scored, Field(discriminator="status")]], Field(min_length=1)]


def slug(method: str) -> str:
    """Return the file name of a method's entry: lower case, words joined by hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", method.lower().replace("+", " plus ")).strip("-") or "unnamed"
    if len(name) > LONGEST:  # file systems end names at 255 bytes
        name = f"{name[:LONGEST]}-{hashlib.sha256(method.encode()).hexdigest()[:8]}"
    return name


def load_entries(folder: Path, dataset: str) -> list[Entry]:
    """Read and validate all entries of a dataset, in order of their file names.

    Raises
    ------
    InvalidData : names every file and key that is wrong.
    """
    faults = Faults(f"{folder / 'entries' / dataset}")
    entries = []
    for path in sorted((folder / "entries" / dataset).glob("*.json")):
        try:
            entry = Entry.model_validate_json(path.read_bytes())
        except ValidationError as error:
            for one in error.errors():
                where = ".".join(str(part) for part in one["loc"]) or "file"
                faults.add(f"{path.name}: {where}", one["msg"])
            continue
        except UsageError as error:
            faults.add(path.name, str(error))
            continue
        if entry.dataset != dataset:
            faults.add(f"{path.name}: dataset", f"expected '{dataset}', found '{entry.dataset}'")
        if path.stem != slug(entry.method):
            faults.add(path.name, f"expected the name '{slug(entry.method)}.json' for '{entry.method}'")
        entries.append(entry)
    faults.raise_if_any("Entries are described in CONTRIBUTING.md under 'Adding a result'.")
    return entries


def entry_path(folder: Path, entry: Entry) -> Path:
    """Return where the entry lies below a folder of leaderboards."""
    return folder / "entries" / entry.dataset / f"{slug(entry.method)}.json"


def add_result(folder: Path, entry: Entry, because: str | None = None) -> Path:
    """Add the results of an entry to the file of its method.

    A computed result replaces an earlier one of the same protocol and status; everything else that the file
    holds is kept, and facts that the new entry leaves out (year, paper, url) stay.  A headline that changes
    is kept as superseded.

    Parameters
    ----------
    because : why a headline changes; needed where the predictions are the same as before, so that the way
        of computing it must have changed.

    Returns
    -------
    the path of the file.

    Raises
    ------
    UsageError : a headline changes, and nothing says why.
    """
    path = entry_path(folder, entry)
    if path.exists():
        old = next(one for one in load_entries(folder, entry.dataset) if slug(one.method) == path.stem)
        before = [one for one in old.results if isinstance(one, Scored)]
        added = [_replacing(before, one, because) for one in entry.results]
        replaced = {(one.protocol, one.status) for one in added if isinstance(one, Scored)}
        kept = [one for one in old.results if (one.protocol, one.status) not in replaced]
        facts = {name: getattr(entry, name) or getattr(old, name) for name in ("year", "paper", "url")}
        entry = entry.model_copy(update={"method": old.method, "results": kept + added, **facts})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be made ({error.strerror}). Choose another --dir."
        raise FacebenchError(msg) from error
    write_text(path, render_entry(entry))
    return path


def _replacing(before: list[Scored], new: Reported | Scored, because: str | None) -> Reported | Scored:
    """Return a result that remembers the headline of the one that it replaces, where that was another."""
    places = [(one.protocol, one.status) for one in before]
    if (new.protocol, new.status) not in places or isinstance(new, Reported):
        return new
    old = before[places.index((new.protocol, new.status))]
    was, now = old.result.headline, new.result.headline
    kept = old.superseded
    if _rounded(was.value) != _rounded(now.value):
        same = old.result.inputs.get("predictions") == new.result.inputs.get("predictions")
        if same and not because:
            msg = (
                f"{new.protocol}: the same predictions of '{new.result.method}' scored {_shown(was.value)}, "
                f"and now score {_shown(now.value)}. Say why with --because; the old value stays on the "
                "errata page."
            )
            raise UsageError(msg)
        reason = because or "Other predictions of the same method."
        signature = old.result.signature
        gone = Superseded(value=was.value, low=was.low, high=was.high, signature=signature, because=reason)
        kept = [gone, *kept]
    return new.model_copy(update={"superseded": kept})


def _shown(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3f}"


def render_entry(entry: Entry) -> str:
    """Return the text of an entry's file: sorted by nothing, indented, with rounded numbers."""
    values = entry.model_dump(mode="json", exclude_none=True)
    for result in values["results"]:
        if not result["superseded"]:
            del result["superseded"]
    return json.dumps(_rounded(values), indent=1, ensure_ascii=False) + "\n"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value

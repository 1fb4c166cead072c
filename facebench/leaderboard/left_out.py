"""Published values that stand on no leaderboard, with the reason: ``left-out.csv``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facebench.errors import Faults

__all__ = ["LeftOut", "read_left_out"]

Text = Annotated[str, Field(min_length=1)]


class LeftOut(BaseModel):
    """A published value, and why it is on no leaderboard.

    Attributes
    ----------
    what : what it was measured on, as its source words it.
    value : as it was printed.
    """

    model_config = ConfigDict(extra="forbid")

    dataset: Text
    method: Text
    year: str
    what: Text
    metric: Text
    value: Text
    source: Text
    reason: Text


def read_left_out(folder: Path) -> list[LeftOut]:
    """Read the values left out, in the order of the file; none where there is no such file.

    Raises
    ------
    InvalidData : names every line that is wrong.
    """
    path = folder / "left-out.csv"
    if not path.is_file():
        return []
    faults = Faults(str(path))
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in (reader := csv.DictReader(file)):
            try:
                found.append(LeftOut.model_validate(line))
            except ValidationError as error:
                for one in error.errors():
                    place = ".".join(str(part) for part in one["loc"])
                    faults.add(f"line {reader.line_num}: {place}", one["msg"])
    faults.raise_if_any(f"Its columns are {', '.join(LeftOut.model_fields)}.")
    return found

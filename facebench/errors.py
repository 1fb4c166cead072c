"""Errors that a user can act on, each with the exit code the command line gives for it.

A message names the file, the key or id, what was expected, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

__all__ = [
    "DataMissing",
    "FacebenchError",
    "Faults",
    "InvalidData",
    "UsageError",
    "name_some",
    "whole_number",
]


class FacebenchError(Exception):
    """Base of every error that facebench raises on purpose."""

    exit_code = 1


class InvalidData(FacebenchError):
    """A file is there but its content is wrong, or a check failed (exit code 1)."""


class UsageError(FacebenchError):
    """The request itself is wrong: an unknown name, or options that do not fit (exit code 2)."""

    exit_code = 2


class DataMissing(FacebenchError):
    """Something the user has to provide is not there (exit code 3)."""

    exit_code = 3


class Faults:
    """Collect what is wrong while reading, then raise it as one message.

    Stopping at the first bad file makes people repair a release one run at a time.
    """

    SHOWN = 10

    def __init__(self, heading: str) -> None:
        self.heading = heading
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def raise_if_any(self, advice: str) -> None:
        """Raise :class:`InvalidData` naming up to ten faults, or return when there are none."""
        if not self.found:
            return
        lines = [f"{self.heading}: {len(self.found)} fault{'s' * (len(self.found) > 1)} found."]
        lines += [f"  {fault}" for fault in self.found[: self.SHOWN]]
        if len(self.found) > self.SHOWN:
            lines.append(f"  ... and {len(self.found) - self.SHOWN} more")
        raise InvalidData("\n".join([*lines, advice]))


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds, or raise :class:`UsageError` that says what was expected."""
    # NumPy's integers are integers, True is not.
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        limit = f"of at least {least}" if most is None else f"from {least} to {most}"
        msg = f"{name} is {value!r}; expected a whole number {limit}."
        raise UsageError(msg)
    return int(value)  # type: ignore[call-overload]


def name_some(names: Iterable[object], shown: int = 5) -> str:
    """Join the first names for a message: ``"a, b, c ... and 12 more"``."""
    every = [str(name) for name in names]
    rest = len(every) - shown
    return ", ".join(every[:shown]) + (f" ... and {rest} more" if rest > 0 else "")

"""How long work shows how far it is, without knowing who looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = ["Progress", "no_progress"]

T = TypeVar("T")

#: Wraps an iterable to show how far a long step is; called with the iterable, its length and a title.
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


def no_progress(items: Iterable[T], total: int, title: str) -> Iterable[T]:
    """Show nothing."""
    return items

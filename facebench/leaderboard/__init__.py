"""Leaderboards: validated entries, and the pages generated from them."""

from facebench.leaderboard.entries import (
    Entry,
    Reported,
    Scored,
    Value,
    add_result,
    load_entries,
    slug,
)
from facebench.leaderboard.render import check_pages, render_pages
from facebench.leaderboard.ties import add_errors

__all__ = [
    "Entry",
    "Reported",
    "Scored",
    "Value",
    "add_errors",
    "add_result",
    "check_pages",
    "load_entries",
    "render_pages",
    "slug",
]

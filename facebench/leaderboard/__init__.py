"""Leaderboards: validated entries, and the pages generated from them."""

from facebench.leaderboard.entries import (
    Entry,
    Reported,
    Scored,
    Superseded,
    Value,
    add_result,
    load_entries,
    slug,
)
from facebench.leaderboard.exports import EXPORTS
from facebench.leaderboard.lint import lint_entries
from facebench.leaderboard.markdown import check_pages, render_pages, render_table
from facebench.leaderboard.tables import build_boards
from facebench.leaderboard.ties import add_errors

__all__ = [
    "EXPORTS",
    "Entry",
    "Reported",
    "Scored",
    "Superseded",
    "Value",
    "add_errors",
    "add_result",
    "build_boards",
    "check_pages",
    "lint_entries",
    "load_entries",
    "render_pages",
    "render_table",
    "slug",
]

"""The floors of the house: a room uses only what stands below it, and only the command line prints."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import facebench

PACKAGE = Path(facebench.__file__).parent

#: Rooms from the ground up; those on one floor do not know each other.
FLOORS = [
    {"errors", "templates"},
    {"geometry"},
    {"metrics"},
    {"formats"},
    {"datasets"},
    {"synthetic"},
    {"protocols"},
    {"report", "mnn"},
    {"leaderboard"},
    {"cli"},
]
# Datasets know no metric, and neither do the files.
FORBIDDEN = {
    ("formats", "metrics"),
    ("datasets", "metrics"),
    ("synthetic", "metrics"),
    ("protocols", "synthetic"),
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def imported_rooms(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("facebench.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_below_it(path):
    room = room_of(path)
    for other in imported_rooms(path) - {room}:
        assert floor_of(other) < floor_of(room), f"{room} imports {other}"
        assert (room, other) not in FORBIDDEN


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) != "cli"], ids=lambda p: p.stem)
def test_only_the_command_line_prints_or_exits(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit", "input"}
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"sys.exit", "os._exit"}


def test_every_room_has_a_floor():
    assert {room_of(path) for path in MODULES} | {"errors", "templates"} == set().union(*FLOORS)

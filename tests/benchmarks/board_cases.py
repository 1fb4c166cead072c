"""Leaderboards of 10,000 entries: against reading the files as JSON, and writing the same bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks.measuring import Case

ENTRIES = 10_000


def board_cases() -> Iterator[Case]:
    """Render pages and site of 10,000 entries of one leaderboard."""
    from facebench.leaderboard import render_pages
    from facebench.leaderboard.site import render_site, write_site

    with tempfile.TemporaryDirectory() as folder:
        boards, site = Path(folder) / "boards", Path(folder) / "site"
        files = _draw_entries(boards)
        yield Case(
            f"pages of {ENTRIES} entries",
            "json.loads of the files",
            lambda: render_pages(boards),
            lambda: [json.loads(path.read_bytes()) for path in files],
            aim=10,
            pairs=3,
        )
        texts = [(Path(folder) / "copy" / name, text) for name, text in render_site(boards)]

        def copy() -> None:
            shutil.rmtree(Path(folder) / "copy", ignore_errors=True)
            for path in dict.fromkeys(path.parent for path, _ in texts):
                path.mkdir(parents=True, exist_ok=True)
            for path, text in texts:
                path.write_text(text, encoding="utf-8")

        what = f"site of {ENTRIES} entries, {len(texts)} files"
        yield Case(what, "writing the same texts", lambda: write_site(boards, site), copy, aim=10, pairs=3)


def _draw_entries(boards: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    folder = boards / "entries" / "aflw2000"
    folder.mkdir(parents=True)
    files = []
    for number in range(ENTRIES):
        yaw, pitch, roll = (round(float(value), 2) for value in rng.uniform(2, 20, 3))
        values = {"mae": (yaw + pitch + roll) / 3, "mae-yaw": yaw, "mae-pitch": pitch, "mae-roll": roll}
        claim = {
            "status": "reported",
            "protocol": "aflw2000/pose",
            "values": [
                {"metric": f"{name}/raw-xyz", "value": round(value, 2)} for name, value in values.items()
            ],
            "source": f"table {number % 9} of the paper",
            "training_data": ("300W-LP", "AFLW", "another set")[number % 3],
            "notes": ["The box is not stated."],
        }
        entry = {
            "dataset": "aflw2000",
            "method": f"Method {number}",
            "year": 2010 + number % 15,
            "results": [claim],
        }
        files.append(folder / f"method-{number}.json")
        files[-1].write_text(json.dumps(entry), encoding="utf-8")
    return files

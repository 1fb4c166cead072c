"""What the documentation shows is what the commands print, on genuine data too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["index.md", "tutorial.md", "footguns.md"]


def test_the_examples_on_genuine_data_print_what_the_pages_show(real_data, two_dasl, tmp_path):
    for path in (
        real_data / "raw" / "AFLW2000-3D.zip",
        real_data / "raw" / "AFLW2000-3D-Reannotated.pts68.npy",
        two_dasl,
    ):
        (tmp_path / path.name).symlink_to(path)
    done = subprocess.run(
        [
            sys.executable,
            DOCS / "check_examples.py",
            "--data",
            tmp_path,
            *(str(DOCS / page) for page in PAGES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""A real headless Chromium for tests of pages."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Browser:
    """Opens pages; ``folder`` keeps its profiles and pictures."""

    command: str
    folder: Path
    opened: int = 0

    def picture(
        self, address: str, width: int = 1280, height: int = 1200, dark: bool = False
    ) -> tuple[Path, str]:
        """Return a picture of a page, and what the browser said about it."""
        target = self.folder / f"{self.opened}.png"
        scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        done = self._run(address, [f"--window-size={width},{height}", f"--screenshot={target}", *scheme])
        return target, done.stderr

    def dom(self, address: str, width: int = 1280) -> tuple[str, str]:
        """Return a page's HTML once its scripts have run, and what the browser said about it."""
        done = self._run(address, [f"--window-size={width},1200", "--virtual-time-budget=4000", "--dump-dom"])
        return done.stdout, done.stderr

    def _run(self, address: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        self.opened += 1
        command = [
            self.command, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", "--v=0", f"--user-data-dir={self.folder / f'profile-{self.opened}'}",
            *words, address,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def find_browser(folder: Path) -> Browser:
    """Return a browser that works here; the test is skipped where there is none."""
    command = next(filter(None, map(shutil.which, NAMES)), None)
    if command is None:
        pytest.skip("no Chromium is installed")
    browser = Browser(command, folder)
    # Whether it runs here at all is asked with a page of its own, so that a page it cannot show fails.
    blank = folder / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>", encoding="utf-8")
    try:
        ready = browser.picture(blank.as_uri(), 600)[0].is_file()
    except subprocess.TimeoutExpired:
        ready = False
    if not ready:
        pytest.skip("Chromium does not run on this machine")
    return browser

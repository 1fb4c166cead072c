"""What a page says of itself in a real browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser

# What a page says of itself: its width, what it loaded, and the contrast of its words with the paper, but for
# those in the fields of the confusion matrix.
QUESTIONS = """
<script>
for (const one of document.querySelectorAll("details")) one.open = true;
const linear = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = luminance(getComputedStyle(document.body).backgroundColor);
const words = [];
for (const one of document.querySelectorAll("svg text, p, td, th, h1, h2, h3, figcaption, summary, code")) {
  const style = getComputedStyle(one), ink = luminance(one.closest("svg") ? style.fill : style.color);
  const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  if (!(one.getAttribute("style") || "").includes("var(--on)")) words.push([one.textContent, contrast]);
}
addEventListener("load", () => {
  const answer = parent.document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify({
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    window: innerWidth, page: document.documentElement.scrollWidth, words: words,
    loaded: performance.getEntriesByType("resource").map((one) => one.name),
  });
  parent.document.body.append(answer);
});
</script>
"""


@pytest.fixture
def ask(browser: Browser, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return what asks a page, with all that it holds unfolded."""

    def asked(path: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
        text = path.read_text(encoding="utf-8")
        open_page, found = re.subn('<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        assert found == 1, "a page of its own allows no script"
        # In a frame, since a window is never narrower than 500 pixels.
        inside = html.escape(open_page.replace("</body>", QUESTIONS + "</body>"))
        style = f"border: 0; color-scheme: {'dark' if dark else 'light'}"
        frame = f'<iframe style="{style}" width="{width}" height="900" srcdoc="{inside}"></iframe>'
        asking = tmp_path / "asking.html"
        asking.write_text(f"<!doctype html><body>{frame}", encoding="utf-8")
        said, _ = browser.dom(asking.as_uri())
        return json.loads(html.unescape(re.search('<pre id="answer">(.*?)</pre>', said, re.DOTALL)[1]))

    return asked

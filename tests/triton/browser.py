"""Opens a page in headless Chromium at several widths and says what can be seen there."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import FOREVER

QUIET = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
LOOK = """
function look(frame) {
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const shown = [...page.querySelectorAll('svg')].filter(svg => svg.getClientRects().length);
  const outside = [], sizes = [];
  for (const svg of shown) for (const text of svg.querySelectorAll('text')) {
    const box = text.getBoundingClientRect(), frame = svg.getBoundingClientRect();
    sizes.push(parseFloat(view.getComputedStyle(text).fontSize) * frame.width / svg.viewBox.baseVal.width);
    if (box.left < frame.left - 1 || box.right > frame.right + 1) outside.push(text.textContent);
  }
  const tops = [...page.querySelectorAll('figure')].map(figure => figure.getBoundingClientRect().top);
  return {
    overflow: root.scrollWidth - frame.clientWidth, plots: shown.map(svg => svg.getAttribute('aria-label')),
    outside: outside, smallest_text: Math.min(...sizes), plots_beside: new Set(tops).size < tops.length,
    loaded: view.performance.getEntriesByType('resource').length,
    ground: view.getComputedStyle(page.body).backgroundColor.match(/\\d+/g).map(Number),
  };
}
onload = () => {
  const found = [...document.querySelectorAll('iframe')].map(look);
  document.body.textContent = JSON.stringify(found);
};
"""


def looked_at(page: str, folder: Path, *, widths: tuple[int, ...], dark: bool = False) -> list[dict[str, Any]]:
    """What a browser shows of a page, for each width of its window in pixels. Skips the test without Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    frames = "".join(f'<iframe style="width:{w}px;border:0" srcdoc="{html.escape(page)}"></iframe>' for w in widths)
    outer = folder / "frames.html"
    outer.write_text(f"<meta charset=utf-8><script>{LOOK}</script><body>{frames}</body>", encoding="utf-8")
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", *QUIET.split(), "--window-size=1400,900"),
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        *("--dump-dom", outer.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FOREVER, check=True)
    seen = re.search("<body>(.*)</body>", done.stdout, re.DOTALL)
    assert seen, done.stdout[-2000:] + done.stderr
    return list(json.loads(html.unescape(seen[1])))

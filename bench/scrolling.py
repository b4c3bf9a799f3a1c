"""Measures how smoothly the dashboard's customer table scrolls in Chromium: milliseconds between frames.

``python -m bench.scrolling [CUSTOMERS]``, 100,000 by default. Each run also measures the page without
scrolling, because only the difference matters.
"""

import sys
import tempfile
from pathlib import Path
from statistics import quantiles
from typing import Any

from playwright.sync_api import Page

from tests.processes import run, serving
from tests.web import chromium
from tests.web.chromium import DESKTOP, PHONE
from tests.web.watch import Watch

CUSTOMERS = 100_000
SECONDS = 8
SPEEDS = (0, 120, 400)
"""Scroll speeds in pixels per frame. 400 is as fast as a user can fling the list."""

_SCROLL = """([speed, seconds]) => new Promise((resolve) => {
  const frames = [];
  let awaited = 0, most = 0;
  const began = performance.now();
  let before = began;
  requestAnimationFrame(function frame(now) {
    frames.push(now - before);
    before = now;
    const rows = [...document.querySelectorAll("[data-row]")];
    most = Math.max(most, rows.length);
    const seen = rows.filter((row) => {
      const { top, bottom } = row.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    if (seen.some((row) => !row.querySelector("a"))) awaited += 1;
    if (now - began > seconds * 1000) return resolve({ frames: frames.slice(1), awaited, most });
    if (speed) scrollBy({ top: speed, behavior: "instant" });
    requestAnimationFrame(frame);
  });
})"""


def measured(page: Page, speed: int) -> Any:
    """Scroll for some seconds, and return the measurements.

    `frames` are the times between frames, `awaited` is the number of frames in which a visible row was still
    empty, and `most` is the highest number of rows in the document.
    """
    page.goto("/apps/demo/customers")
    page.locator("[data-row] a").first.wait_for()
    page.wait_for_timeout(500)
    return page.evaluate(_SCROLL, [speed, SECONDS])


def main() -> None:
    executable = chromium.find()
    if executable is None:
        sys.exit(f"Chromium is not installed ({chromium.INSTALL}).")
    customers = sys.argv[1] if sys.argv[1:] else str(CUSTOMERS)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        key = run(folder, "keys", "create", "--kind", "secret").stdout.strip()
        run(folder, "demo", "--customers", customers, "--licenses-per-customer", "1").check_returncode()
        with serving(folder) as server, chromium.launched(executable) as browser:
            print(f"{customers} customers; milliseconds per frame: median, 95 %, 99 %, longest")
            for name, screen in (("desktop", DESKTOP), ("phone", PHONE)):
                watch = Watch()
                with chromium.opened(browser, server.url, watch, key=key, screen=screen) as page:
                    for speed in SPEEDS:
                        found = measured(page, speed)
                        frames = found["frames"]
                        half, most, nearly_all = (quantiles(frames, n=100)[at] for at in (49, 94, 98))
                        print(
                            f"{name:8} {speed:4} px a frame: {half:5.1f} {most:5.1f} {nearly_all:5.1f} "
                            f"{max(frames):6.1f}   {found['awaited']} of {len(frames)} frames awaited a row, "
                            f"at most {found['most']} rows in the document"
                        )
                watch.check()


if __name__ == "__main__":
    main()

"""Takes the pictures of a report that the documents show: wide and light, narrow and dark.

Run: ``python docs/report_pictures.py report.html`` (needs Chromium).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent / "pictures"
VIEWS = (("report-light.jpg", "light", 1000, 2350), ("report-phone-dark.jpg", "dark", 390, 2350))


def main() -> None:
    """Write both pictures."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path)
        for name, scheme, width, height in VIEWS:
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
            page.goto(Path(sys.argv[1]).resolve().as_uri())
            page.screenshot(path=FOLDER / name, type="jpeg", quality=60)
        browser.close()


if __name__ == "__main__":
    main()

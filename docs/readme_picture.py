"""The picture in README: the page of results in a window of 1366 x 768, as Chromium shows it.

rppbench report --output leaderboards --to build/report
python docs/readme_picture.py build/report                 # writes docs/page.png

Needs Chromium (or Google Chrome), `playwright` and Pillow. The picture has 64 colours, so that it
is small.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("page.png")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
WINDOW = {"width": 1366, "height": 768}
TASK = "cross-dataset"


def screenshot(site: Path) -> bytes:
    """The page of the task as a PNG file; the first page if the task has none of its own."""
    page = site / f"{TASK}.html"
    address = (page if page.exists() else site / "index.html").as_uri()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        window = browser.new_page(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
        window.goto(address, timeout=300_000)  # ms; a busy machine draws the plots slowly
        content = window.screenshot()
        browser.close()
    return content


def main() -> None:
    """Write the picture."""
    site = Path(sys.argv[1]).resolve()
    image = Image.open(io.BytesIO(screenshot(site))).convert("RGB")
    image.quantize(64, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

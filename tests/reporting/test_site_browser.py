"""The site in Chromium: sorting, filters, row details, colours, small screens, the keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.records import records

from rppbench.leaderboard.build import build_with_variants
from rppbench.reporting.site import write

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(build_with_variants(records()), tmp_path_factory.mktemp("site"))


@pytest.fixture
def page(browser: Browser, site: Path) -> Iterator[Page]:
    """The site in a new window; console messages, errors and network requests fail the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    shown = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    shown.on("console", lambda message: messages.append(message.text))
    shown.on("pageerror", lambda error: messages.append(str(error)))
    shown.on("request", lambda request: requests.append(request.url))
    shown.goto(site.as_uri())
    yield shown
    folder = os.environ.get("RPPBENCH_SCREENSHOTS")
    if folder:
        name = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        shown.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    context.close()
    assert messages == []
    assert requests == [site.as_uri()]


def methods(page: Page, part: int = 0) -> list[str]:
    names = page.locator(".table-part").nth(part).locator("tbody.entry:visible .name button")
    return names.all_inner_texts()


def test_a_click_sorts_and_a_second_click_reverses_the_order(page: Page) -> None:
    birds = page.locator(".table-part").first.get_by_role("columnheader", name="Birds")
    birds.get_by_role("button").click()
    assert birds.get_attribute("aria-sort") == "descending"
    assert methods(page) == ["RPP-SAPL", "CoOp", "POMP", "CLIP"]
    birds.get_by_role("button").click()
    assert birds.get_attribute("aria-sort") == "ascending"
    assert methods(page) == ["CLIP", "POMP", "CoOp", "RPP-SAPL"]
    maps = page.locator(".table-part").first.get_by_role("columnheader", name="Maps")
    maps.get_by_role("button").click()
    maps.get_by_role("button").click()
    assert methods(page) == ["POMP", "CoOp", "RPP-SAPL", "CLIP"], "without a number: last"
    assert birds.get_attribute("aria-sort") is None


def test_the_keyboard_sorts_and_opens(page: Page) -> None:
    page.locator(".table-part").first.locator("thead button").first.focus()
    page.keyboard.press("Enter")
    assert methods(page) == ["CLIP", "CoOp", "POMP", "RPP-SAPL"]
    page.locator("tbody.entry .name button").first.focus()
    page.keyboard.press("Space")
    assert page.locator(".detail").count() == 1
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_row_opens_to_its_records_and_closes(page: Page) -> None:
    button = page.get_by_role("button", name="RPP-SAPL").first
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    opened = page.locator(f"#{button.get_attribute('aria-controls')}")
    titles = opened.locator("h3").all_inner_texts()
    assert titles == ["Options", "Cells", "Cost", "Training log", "Environment"]
    assert "rpp-1" in opened.inner_text()
    page.locator(".table-part").first.locator("thead button").nth(1).click()
    following = "b => b.closest('tbody').rows[1].classList.contains('detail')"
    assert button.evaluate(following), "sorting keeps it below its row"
    button.click()
    assert page.locator(".detail").count() == 0


def test_filters_hide_rows_and_tables_and_count_the_others(page: Page) -> None:
    count = page.get_by_role("status")
    assert count.inner_text() == "5 rows in 2 tables"
    page.get_by_label("Task").select_option("few-shot")
    assert count.inner_text() == "1 row in 1 table"
    assert page.locator(".table-part:visible").count() == 1
    page.get_by_label("Task").select_option("")
    page.get_by_label("Backbone").select_option("demo")
    assert count.inner_text() == "4 rows in 1 table"
    page.get_by_label("Recipe").select_option("rpp-1")
    assert methods(page) == ["RPP-SAPL"]
    assert "refer to all rows" in count.inner_text()


def luminance(page: Page, expression: str) -> float:
    """Relative luminance (WCAG 2), 0 to 1, of the colour that a JavaScript expression gives."""
    text = str(page.evaluate(expression))
    parts = [int(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, selector: str, behind: str = "body") -> float:
    """Contrast ratio (WCAG 2), 1 to 21, of an element's text and the background of `behind`."""
    style = "getComputedStyle(document.querySelector('{}')).{}"
    one = luminance(page, style.format(selector, "color"))
    other = luminance(page, style.format(behind, "backgroundColor"))
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    body = luminance(page, "getComputedStyle(document.body).backgroundColor")
    assert body < 0.05 if scheme == "dark" else body > 0.9
    page.locator("tbody .name button").first.click()
    for selector in ("body", ".setting", "a", ".notes", "figcaption"):
        assert contrast(page, selector) >= 4.5, selector
    assert contrast(page, ".best", ".best") >= 4.5
    assert contrast(page, ".best .spread", ".best") >= 4.5
    assert contrast(page, "#count", "#filters") >= 4.5
    assert contrast(page, ".panel", ".detail > td") >= 4.5


def test_the_switch_overrides_the_system_colour_scheme(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    switch = page.get_by_role("button", name="Dark colours")
    expect(switch).to_have_attribute("aria-pressed", "true")  # an event: it may take a moment
    switch.click()
    body = "getComputedStyle(document.body).backgroundColor"
    assert luminance(page, body) > 0.9
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    assert luminance(page, body) < 0.05


def test_on_a_phone_tables_scroll_and_the_page_does_not(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("tbody .name button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    table = page.locator(".table-part > .scroll").first
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    panel = page.locator(".panel").first.bounding_box()
    assert panel is not None
    assert panel["width"] <= 360
    for tall in page.locator("select, #theme").all():
        box = tall.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "a finger must hit it"

"""The site in Chromium: address, filters, drawer, compare, colours, small screens, the keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.records import record, with_outcomes

from rppbench.leaderboard.build import build_with_variants
from rppbench.records.record import Failure
from rppbench.reporting.site.files import write

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
TASK = "cross-dataset.html"
expect.set_options(timeout=30_000)  # a busy machine

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
    return write(build_with_variants(with_outcomes()), tmp_path_factory.mktemp("site")).parent


@pytest.fixture
def page(browser: Browser, site: Path) -> Iterator[Page]:
    """A new window; console messages, errors and requests beyond the site fail the test."""
    context = browser.new_context(viewport={"width": 1366, "height": 800}, reduced_motion="reduce")
    shown = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    shown.on("console", lambda message: messages.append(message.text))
    shown.on("pageerror", lambda error: messages.append(str(error)))
    shown.on("request", lambda request: requests.append(request.url))
    yield shown
    folder = os.environ.get("RPPBENCH_SCREENSHOTS")
    if folder:
        name = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        shown.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    context.close()
    assert messages == []
    assert all(url.startswith((site.as_uri(), "data:,")) for url in requests), requests


def go(page: Page, site: Path, where: str = TASK) -> None:
    """Open a page of the site anew: a change of the hash alone would not load it."""
    page.goto("about:blank")
    page.goto(f"{site.as_uri()}/{where}")


def methods(page: Page) -> list[str]:
    return page.locator(".main tbody tr:visible .open").all_inner_texts()


def test_the_table_begins_high_with_the_average_beside_the_name(page: Page, site: Path) -> None:
    go(page, site)
    box = page.locator(".main").bounding_box()
    assert box is not None
    assert box["y"] <= 420
    heads = page.locator(".main thead .h").all_inner_texts()
    assert heads[:3] == ["Method", "Average", "Mean rank, ties"]
    assert page.evaluate("document.documentElement.scrollWidth") == 1366


def test_sorting_and_search_are_in_the_address(page: Page, site: Path) -> None:
    go(page, site)
    assert methods(page) == ["RPP-SAPL", "CoOp", "POMP", "CLIP"]
    parameters = page.get_by_role("columnheader", name="Parameters")
    parameters.get_by_role("button").click()
    assert parameters.get_attribute("aria-sort") == "ascending"
    assert methods(page)[0] == "CLIP"
    page.keyboard.press("/")
    page.keyboard.type("coop")
    assert methods(page) == ["CoOp"]
    expect(page.locator(".count")).to_have_text("1 of 4 methods; ranks and ties are of all")
    assert page.locator(".heat tbody tr:visible").count() == 1
    address = page.url
    assert "q=coop" in address
    assert "sort=params:asc" in address
    page.get_by_role("button", name="Reset").click()
    assert len(methods(page)) == 4
    assert "#" not in page.url
    go(page, site, address.rsplit("/", 1)[1])
    assert methods(page) == ["CoOp"], "whoever gets the link sees the same"


def test_families_filter_and_columns_hide(page: Page, site: Path) -> None:
    go(page, site)
    page.get_by_role("button", name="text prompts").click()
    assert methods(page) == ["RPP-SAPL", "CLIP"]
    page.locator(".cols summary").click()
    page.get_by_role("checkbox", name="Seeds").uncheck()
    assert not page.get_by_role("columnheader", name="Seeds").is_visible()
    assert "fam=text" in page.url
    assert "hide=seeds" in page.url


def test_a_failed_cell_links_to_the_log_of_its_worker(browser: Browser, tmp_path: Path) -> None:
    logs = {"flowers": "engine/run/logs/w0.log", "birds": "../elsewhere.log"}
    failed = [
        replace(record(dataset=name, failure=Failure("oom", "too large")), environment={"log": log})
        for name, log in logs.items()
    ]
    runs = tmp_path / "all runs"
    (runs / "engine/run/logs").mkdir(parents=True)
    log = runs / "engine/run/logs/w0.log"
    log.write_text("out of memory")
    index = write(build_with_variants(failed), runs / "site", records=runs)
    shown = browser.new_page()
    shown.goto((index.parent / TASK).as_uri())
    shown.locator(".main tbody .open").first.click()
    cells = shown.get_by_role("dialog").locator("details", has_text="too large").first
    cells.locator("summary").click()
    assert "log: ../elsewhere.log" in cells.inner_text(), "not below the folder: no link"
    assert cells.get_by_role("link").all_inner_texts() == ["engine/run/logs/w0.log"]
    assert cells.get_by_role("link").evaluate("one => one.href") == log.as_uri()
    shown.close()


def test_the_drawer_opens_steps_and_gives_the_focus_back(page: Page, site: Path) -> None:
    go(page, site)
    page.locator(".open").first.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog", name="RPP-SAPL")
    expect(drawer).to_be_visible()
    assert drawer.locator("h3").all_inner_texts()[:2] == [
        "Make this row",
        "What is special about it",
    ]
    assert "rpp-1" in drawer.locator("dl").first.inner_text()
    assert "row=rpp-sapl" in page.url
    drawer.get_by_role("button", name="Next method").click()
    expect(page.get_by_role("dialog", name="CoOp")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.textContent") == "RPP-SAPL"
    assert "row=" not in page.url


def test_two_ticked_rows_are_compared_and_swapped(page: Page, site: Path) -> None:
    go(page, site)
    page.get_by_role("checkbox", name="Pick RPP-SAPL to compare").check()
    page.get_by_role("checkbox", name="Pick CLIP to compare").check()
    page.get_by_role("link", name="Compare", exact=True).click()
    headline = page.locator("#out strong")
    expect(headline).to_contain_text("CLIP is")
    expect(headline).to_contain_text("below RPP-SAPL")
    assert page.locator(".forest tbody tr").count() == 1 + 4
    before = page.locator(".forest .total td").nth(3).inner_text()
    page.get_by_role("button", name="Swap").click()
    expect(headline).to_contain_text("above CLIP")
    assert page.locator(".forest .total td").nth(3).inner_text() == before.replace("−", "+")
    assert "a=clip&b=rpp-sapl" in page.url


def luminance(page: Page, expression: str) -> float:
    """Relative luminance (WCAG 2), 0 to 1, of the colour that a JavaScript expression gives."""
    text = str(page.evaluate(expression))
    parts = [int(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, selector: str, behind: str) -> float:
    """Contrast ratio (WCAG 2), 1 to 21, of an element's text and the background of `behind`."""
    style = "getComputedStyle(document.querySelector('{}')).{}"
    one = luminance(page, style.format(selector, "color"))
    other = luminance(page, style.format(behind, "backgroundColor"))
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(page: Page, site: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    go(page, site)
    body = luminance(page, "getComputedStyle(document.body).backgroundColor")
    assert body < 0.05 if scheme == "dark" else body > 0.9
    for selector, behind in (
        ("h1", "body"),
        (".legend", "body"),
        (".standin p", ".standin"),
        (".standin a", ".standin"),
        (".tabs a", ".top"),
        (".why", "tr.tied .k2"),
        (".pm", "tr.tied .k1"),
        (".heat .u4, .heat .u3", ".heat .u4, .heat .u3"),
    ):
        assert contrast(page, selector, behind) >= 4.5, selector


def test_the_switch_overrides_the_system_colour_scheme(page: Page, site: Path) -> None:
    page.emulate_media(color_scheme="dark")
    go(page, site)
    switch = page.get_by_role("button", name="Dark colours")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    assert luminance(page, "getComputedStyle(document.body).backgroundColor") > 0.9
    expect(switch).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("where", ["index.html", TASK, "compare.html"])
def test_on_a_phone_rows_are_cards_and_the_page_does_not_scroll_sideways(
    page: Page, site: Path, where: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    go(page, site, where)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if where == TASK:
        line = page.locator(".main tbody tr").first
        assert line.evaluate("e => getComputedStyle(e).display") == "grid"
        assert line.get_attribute("role") == "row", "a table to a screen reader"
        page.get_by_label("Sort by").select_option("params:asc")
        assert methods(page)[0] == "CLIP"


def test_every_control_has_a_name_and_every_table_heads(page: Page, site: Path) -> None:
    """What axe-core checks first; it is not part of the tests."""
    for where in ("index.html", TASK, "compare.html"):
        go(page, site, where)
        page.wait_for_load_state("networkidle")
        unnamed = """() => [...document.querySelectorAll("button, a[href], input, select")]
            .filter((e) => !e.ariaLabel && !e.textContent.trim() && !e.labels?.length && !e.title)
            .map((e) => e.outerHTML)"""
        assert page.evaluate(unnamed) == []
        assert page.locator("h1").count() == 1
        assert page.locator("table:not(:has(th[scope=col]))").count() == 0
        twice = """() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
            return ids.filter((id, i) => ids.indexOf(id) !== i); }"""
        assert page.evaluate(twice) == []

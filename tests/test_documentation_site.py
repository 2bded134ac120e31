"""The documentation site, built by README's command: complete, without warnings, links followed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from rppbench import contracts
from rppbench.cli import COMMANDS
from rppbench.plugins.registry import Registry

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as README's command builds it, in another folder."""
    pytest.importorskip("sphinx", reason="pip install -e '.[docs]'")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"&& sphinx-build (.*)", readme)
    folder = tmp_path_factory.mktemp("site")
    words = [str(folder) if word == "build/site" else word for word in shlex.split(line)]
    assert "-W" in words
    assert str(folder) in words
    command = [sys.executable, "-m", "sphinx", "-q", *words]
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


@cache
def parsed(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    broken = []
    for path in sorted(site.rglob("*.html")):
        for link in parsed(path).links:
            target, anchor = map(unquote, urldefrag(link))
            if re.match(r"[a-z]+:", target):
                continue
            there = (path.parent / target.partition("?")[0]) if target else path
            html = there.suffix == ".html"
            if not there.is_file() or (html and anchor and anchor not in parsed(there).anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_every_page_can_be_reached_from_the_first(site: Path) -> None:
    first = site / "docs" / "index.html"
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")
    links = {(first.parent / urldefrag(link)[0]).resolve() for link in parsed(first).links}
    links.add(first.resolve())
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("**/*.md")]
    assert len(pages) > 20
    missing = [p for p in pages if (site / "docs" / p).with_suffix(".html").resolve() not in links]
    assert missing == []


def test_pages_made_from_the_registry_name_every_component_and_command(site: Path) -> None:
    def text(name: str) -> str:
        content = (site / "docs" / f"{name}.html").read_text(encoding="utf-8")
        return unescape(re.sub(r"<[^>]+>", "", content))

    registry = Registry.load()
    pages = {
        "methods-list": registry.sound("methods"),
        "data-sets-list": registry.sound("datasets"),
        "tasks-list": registry.sound("tasks"),
        "engines-list": [*registry.sound("engines"), *registry.sound("backbones")],
        "commands": [f"usage: rppbench {name}" for name in COMMANDS],
        "api": contracts.__all__,
    }
    for page, names in pages.items():
        shown = text(page)
        assert [name for name in names if name not in shown] == [], page


def test_the_search_knows_titles_and_words_of_the_pages(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    content = json.loads(index.removeprefix("Search.setIndex(").rstrip(")\n;"))
    assert "docs/own-images" in content["docnames"]
    assert {"Your own images", "Slurm"} <= set(content["alltitles"])
    assert "near-dupl" in " ".join(content["terms"]) or "duplic" in content["terms"]

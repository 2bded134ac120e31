"""Pages from templates with escaped text, a policy that permits their own scripts, script files."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rppbench.files.printable import printable
from rppbench.reporting.site.looks import colours

STYLES = ("tokens", "frame", "controls", "table", "overview", "drawer", "media")
"""Style sheets, in their order."""
SCRIPTS = ("basics", "state", "marks", "plots", "shots", "boards", "drawer", "compare", "start")
"""Parts of the pages' script, in their order."""
THEME = "theme"
"""The script that chooses light or dark before anything is drawn."""


def render(template: str, **values: object) -> str:
    """A page; every text in `values` is escaped.

    Names come from untrusted plugins and records. The page's Content-Security-Policy permits its
    own scripts by their digests, and what these load: the script files beside it.
    """
    style, theme, script = _assets()
    return (
        _environment()
        .get_template(template)
        .render(
            style=style,
            theme=theme,
            script=script,
            permitted=" ".join(_source(text) for text in (theme, script)),
            **values,
        )
    )


def embedded(data: object) -> str:
    """JSON for a script element: nothing in it can end the element or start markup."""
    text = printable(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def script_file(name: str, data: object) -> str:
    """A script that hands over data under a name: a page opened from a file may not fetch."""
    return f"{_opening(name)}{embedded(data)});\n"


def read_script_file(name: str, text: str) -> Any:
    """The data of a `script_file`. Raises ValueError for any other text."""
    opening = _opening(name)
    if not text.startswith(opening):
        raise ValueError(f"not the script file {name}")
    return json.loads(text[len(opening) :].removesuffix(");\n"))


def _opening(name: str) -> str:
    return f'rppbenchData("{name}",'


def _source(script: str) -> str:
    """The name of a script element in a policy: the digest of all characters between its tags."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@cache
def _assets() -> tuple[Markup, Markup, Markup]:
    """The style sheet and both scripts; files of this package, which are not escaped."""
    web = files("rppbench.reporting") / "web"
    sheets = [(web / f"{name}.css").read_text("utf-8") for name in STYLES]
    parts = [(web / "js" / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    theme = (web / "js" / f"{THEME}.js").read_text("utf-8")
    style = "\n".join([sheets[0], colours(), *sheets[1:]])
    script = "\n".join(['"use strict";', *parts])
    return Markup(f"\n{style}"), Markup(f"\n{theme}"), Markup(f"\n{script}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rppbench.reporting", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["embedded"] = lambda data: Markup(embedded(data))
    return environment


def _shown(value: object) -> object:
    """A value as a template shows it: a text without unprintable characters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n\t")
    return value

"""Text in HTML pages: the one function that escapes it, in elements and in attributes."""

from __future__ import annotations

import html

from rppbench.files.printable import printable


def escape(text: str) -> str:
    """The text with HTML's own characters, quotes and unprintable characters escaped."""
    return html.escape(printable(text, keep="\n\t"))

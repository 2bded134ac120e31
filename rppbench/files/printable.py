"""Text of any origin made safe to show: nothing in it can command a terminal or turn a line around.

Class names, file names, keys of checkpoints and labels of records are written by others.
`printable` is the one function that all outputs share; each format escapes its own characters
besides.
"""

from __future__ import annotations

import unicodedata

JOINERS = "\u00ad\u200c\u200d"
"""Soft hyphen and joiners, which belong to words and emoji."""
COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: control and format characters, lone surrogates, line and paragraph ends."""


def printable(text: str, keep: str = "") -> str:
    r"""The text with each character that is none to look at as JSON escapes it: `\u001b`.

    Those in `keep` stay, such as a line break. JSON stays the same JSON.
    """
    if text.isprintable():
        return text
    suspects = {character for character in set(text) if not character.isprintable()}
    for character in suspects.difference(keep):
        if _commands(character):
            text = text.replace(character, _escaped(character))
    return text


def one_line(text: str) -> str:
    """The text on one line: any white space is one space, and the rest is as in `printable`."""
    return printable(" ".join(text.split()))


def _commands(character: str) -> bool:
    return unicodedata.category(character) in COMMANDS and character not in JOINERS


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

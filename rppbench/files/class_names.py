"""Class names as CLIP's tokenizer reads them, to find those that it cannot tell apart."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice

SHOWN = 3
"""Most groups of names that a message quotes."""


def plain_name(text: str) -> str:
    """The name as it enters a prompt: spaces for underscores, and single ones."""
    return " ".join(text.replace("_", " ").split())


def tokenizer_words(name: str) -> tuple[str, ...]:
    """The words that CLIP's tokenizer splits a name into; equal words have equal tokens.

    It repairs broken Unicode (ftfy), decodes HTML entities twice, ignores case, and splits into
    runs of letters, single digits and runs of other characters, whatever white space is between
    them: 'mark 2' and 'mark2' are equal. Source: openai/CLIP `simple_tokenizer.py`.
    """
    if name.isascii():
        text = plain_name(html.unescape(html.unescape(name))).lower()
        return tuple(re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", text))
    import ftfy  # open_clip's tokenizer needs both; they take a while to import
    import regex  # type: ignore[import-untyped]

    text = plain_name(html.unescape(html.unescape(ftfy.fix_text(name)))).lower()
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    return tuple(regex.findall(pattern, text))


def seen_names(names: Iterable[str], vocabulary: Iterable[str]) -> list[str]:
    """The names that a vocabulary holds too, in order.

    A name is seen if one of its synonyms has the same words as one in the vocabulary: synonyms are
    what commas separate ('tench, Tinca tinca'), and words are those of `tokenizer_words`, so that
    case, underscores and white space do not count. Plurals, spellings and words for the same thing
    do: 'lorry' is another name than 'lorries' and 'truck'.
    """
    known = _synonyms(tuple(vocabulary))
    return [name for name in names if not known.isdisjoint(_synonyms((name,)))]


@lru_cache(maxsize=1024)
def _synonyms(names: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The words of all synonyms of the names; a name of commas alone is its own synonym."""
    parts = (part for name in names for part in name.split(",") or [name])
    return frozenset(words for part in parts if (words := tokenizer_words(part)))


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of two or more names that the tokenizer cannot tell apart, in order of appearance."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        groups.setdefault(tokenizer_words(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def alike_warning(names: Sequence[str], subject: str) -> str:
    """One line on the names of `subject` that cannot be told apart; '' if there are none."""
    groups = alike(names)
    if not groups:
        return ""
    quoted = "; ".join(" and ".join(map(repr, group)) for group in islice(groups, SHOWN))
    more = "; ..." if len(groups) > SHOWN else ""
    several = "names" if len(groups) == 1 else f"{len(groups)} groups of names"
    return (
        f"{subject} has {several} with equal tokens, so no prompt can tell their classes apart: "
        f"{quoted}{more}"
    )

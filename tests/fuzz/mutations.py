"""Malformed variants of valid files: of their bytes, of their JSON, and payloads that run code."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path
from random import Random
from typing import Any

HUGE = "a number of 5,000 digits"
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, 0, -1, 1, 1.5, -0.0, 2**31, 2**63, -(2**63), 10**30),
    *(1e308, -1e308, float("nan"), float("inf"), 10**400, HUGE, "x" * 10_000, "\ud800", "a\0b"),
    *("../../outside", "/nowhere/x", "C:\\x", "\x1b[31mred", "\u202eright", "a\nb", "é", "NaN"),
    *([[]], [1, 2], {"a": 1}, [[1, 2, 3, 4]], {"counts": [], "size": [1, 1]}, [None] * 50),
)
"""What takes the place of a value; `HUGE` stands for a number that Python itself cannot write."""


class RunsCode:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def malformed(content: bytes, name: str, draw: Random, canary: Path) -> bytes:
    """A variant of a file's content. `canary` is the folder that code in it would make."""
    if draw.random() < 0.04:
        return hostile(draw, canary)
    if name.endswith(".json") and draw.random() < 0.75:
        return malformed_json(content, draw)
    if name.endswith(".jsonl") and draw.random() < 0.75:
        lines = content.splitlines()
        at = draw.randrange(len(lines))
        lines[at] = malformed_json(lines[at], draw)
        return b"\n".join(lines) + b"\n"
    if name.endswith((".yaml", ".toml", ".txt", ".md")) and draw.random() < 0.75:
        return malformed_text(content, draw, canary)
    return malformed_bytes(content, draw)


def hostile(draw: Random, canary: Path) -> bytes:
    """Content that runs code in a careless reader, or that has nothing to do with the format."""
    return draw.choice(
        [
            pickle.dumps(RunsCode(canary)),
            pickle.dumps({"state_dict": RunsCode(canary)}, protocol=0),
            f"!!python/object/apply:os.mkdir ['{canary}']".encode(),
            f"a: !!python/object/new:os.mkdir ['{canary}']".encode(),
            f"__import__('os').mkdir({str(canary)!r})".encode(),
            b"",
            b"\0" * 1000,
            b"[" * 100_000,
            b'{"a":' * 50_000,
            "é".encode("utf-16"),
            b"\xff\xfe\xfd",
        ]
    )


def malformed_bytes(content: bytes, draw: Random) -> bytes:
    """One to three changes of bytes: flipped, cut off, left out, repeated, overwritten."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        if not data:
            break
        at = draw.randrange(len(data))
        kind = draw.randrange(6)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + draw.randint(1, 64)]
        elif kind == 3:
            data[at:at] = data[at : at + draw.randint(1, 64)]
        elif kind == 4:
            data[at : at + 8] = draw.choice([b"\xff" * 8, b"\0" * 8, b"\x7f" * 8])
        else:
            data[at] = draw.randrange(256)
    return bytes(data)


def malformed_text(content: bytes, draw: Random, canary: Path) -> bytes:
    """A change of one line: replaced, repeated, left out, or with strange text in it."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    strange = draw.choice(
        [
            b"\x1b[31m",
            b"\xff\xfe",
            b"&a [*a]",
            b"\t\t",
            b": [",
            b"9" * 5000,
            b"-1",
            b"nan",
            "\u2028\u202e".encode(),
            b"../../outside",
            b"[" * 5000,
            f"!!python/object/apply:os.mkdir ['{canary}']".encode(),
            b"_base_: x.py",
            b"\0",
            b"<<: *a",
        ]
    )
    kind = draw.randrange(5)
    if kind == 0:
        lines[at] = strange
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        del lines[at]
    elif kind == 3:
        cut = draw.randint(0, len(lines[at]))
        lines[at] = lines[at][:cut] + strange + lines[at][cut:]
    else:
        head, colon, _ = lines[at].partition(b":")
        lines[at] = head + colon + b" " + strange
    return b"\n".join(lines)


def malformed_json(content: bytes, draw: Random) -> bytes:
    """One to three values of the JSON replaced, left out, doubled or renamed; now and then text."""
    try:
        tree = json.loads(content)
        for _ in range(draw.randint(1, 3)):
            tree = _changed(tree, draw)
        text = json.dumps(tree)
    except (ValueError, RecursionError):  # no JSON, or made too deep to be written
        return malformed_bytes(content, draw)
    text = text.replace(json.dumps(HUGE), "9" * 5000)
    if draw.random() < 0.1 and text.startswith("{") and len(text) > 2:  # a key twice
        text = text[:-1] + ", " + text[1:-1].partition(", ")[0] + "}"
    return text.encode("utf-8", "surrogatepass")


def _changed(tree: Any, draw: Random) -> Any:
    """The tree with one change at a random place."""
    places = list(_places(tree))
    if not places:
        return draw.choice(VALUES)
    # A level first, so that the few values at the top are changed as often as the many below.
    level = draw.choice(sorted({depth for _, _, depth in places}))
    holder, key, _ = draw.choice([place for place in places if place[2] == level])
    kind = draw.randrange(8)
    if kind <= 4:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
    elif kind == 5:
        del holder[key]
    elif kind == 6 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 6:
        holder[str(draw.choice(VALUES))[:50]] = holder.pop(key)
    else:
        deep: Any = holder[key]
        for _ in range(draw.choice([1, 50, 400])):
            deep = [deep]
        holder[key] = deep
    return tree


def _places(tree: Any, depth: int = 0) -> Any:
    """Every (container, key, depth)."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree))
    for key in list(keys):
        yield tree, key, depth
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key], depth + 1)

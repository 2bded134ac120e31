"""Concepts: names, subjects, vendors that draw them, and pools of drawings.

Names, tags and groups come from emojibase-data; a drawing is joined to a concept by its code
points where a vendor lists them, and by its icon name otherwise.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rppbench_datasets.world.artwork import fraction

VENDORS = {
    "noto": "noto",
    "noto-v1": "noto-v1",
    "twemoji": "twemoji",
    "fluent-flat": "fluent-emoji-flat",
    "fluent-3d": "fluent-emoji",
    "openmoji": "openmoji",
    "fluent-hc": "fluent-emoji-high-contrast",
}
"""Short name -> npm package under @iconify-json. OpenMoji gives names of code points alone."""

ARTISTS = (("noto",), ("noto-v1",), ("twemoji",), ("fluent-flat", "fluent-3d"))
"""Vendors by artist: the two fluent styles shade one drawing in two ways, so they share a pool."""

COLOURED = tuple(vendor for artist in ARTISTS for vendor in artist)
"""Vendors of coloured drawings."""

SILHOUETTES = "fluent-hc"
"""Vendor of black silhouettes."""

SUBJECTS: dict[str, tuple[str, ...]] = {
    "animals": ("animal-",),
    "plants": ("plant-", "food-fruit", "food-vegetable"),
    "dishes": ("food-prepared", "food-asian", "food-sweet", "drink", "dishware"),
    "faces": ("face-", "cat-face", "monkey-face", "emotion", "heart"),
    "people": ("person",),
    "hands": ("hand", "body-parts"),
    "transport": ("transport-ground", "transport-water", "transport-air"),
    "places": ("place-", "hotel", "sky-weather", "time"),
    "clothing": ("clothing",),
    "household": ("household", "tool", "lock", "science", "medical", "other-object"),
    "media": (
        *("sound", "music", "phone", "computer", "light-video", "book-paper", "money", "mail"),
        *("writing", "office"),
    ),
    "sports": ("event", "award-medal", "sport", "game", "arts-crafts"),
    "signs": (
        *("transport-sign", "warning", "arrow", "religion", "zodiac", "av-symbol", "gender"),
        *("math", "punctuation", "currency", "other-symbol", "alphanum", "geometric", "flag"),
    ),
    "flags": ("country-flag", "subdivision-flag"),
}
"""Subject -> prefixes of emojibase subgroups; a concept belongs to the first subject that fits."""


@dataclass
class Concept:
    """A named thing with at least one drawing."""

    id: str
    """Lower-case code points: '1f422'."""
    name: str
    subject: str
    kind: str
    """emojibase's subgroup."""
    tags: list[str]
    icons: dict[str, str] = field(default_factory=dict)
    """Vendor -> icon name."""


def clean(label: str) -> str:
    """An emojibase label as a plain ASCII noun phrase: 'flag: Chad' -> 'flag of Chad'."""
    text = unicodedata.normalize("NFKD", label)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = text.replace("’", "'")
    text = re.sub(r"^flag: ", "flag of ", text)
    text = re.sub(r"[“”\"():!?,.*#]", " ", text).replace("&", "and")
    text = re.sub(r"[^\x20-\x7e]", "", text)
    return re.sub(r"\s+", " ", text).strip()


def subject_of(kind: str) -> str:
    """The subject of an emojibase subgroup; '' if it has none."""
    if kind in SUBJECTS["flags"]:
        return "flags"
    for subject, prefixes in SUBJECTS.items():
        if any(kind.startswith(prefix) for prefix in prefixes):
            return subject
    return ""


def is_concept(entry: dict[str, Any], kind: str) -> bool:
    """Whether an emojibase entry is a concept of its own, not a variant of another."""
    label, code = entry["label"], entry["hexcode"]
    if kind in ("family", "skin-tone", "hair-style", "keycap", "person-symbol"):
        return False
    if label.startswith(("couple with heart:", "kiss:", "men ", "women ", "Japanese ")):
        return False
    if re.match(r"(man|woman)\b", label) and ("200D" in code or "1F9D4" in code):
        return False  # 'woman running': the neutral 'person running' stays
    return "facing right" not in label


def read(packages: Path) -> list[Concept]:
    """All concepts with their drawings, in emojibase order."""
    data = json.loads((packages / "emojibase-data/en/data.json").read_text())
    kinds = json.loads((packages / "emojibase-data/meta/groups.json").read_text())["subgroups"]
    icons, by_code = {}, {}
    slugs: dict[str, str] = {}
    for vendor, package in VENDORS.items():
        folder = packages / "@iconify-json" / package
        pack = json.loads((folder / "icons.json").read_text())
        icons[vendor] = {*pack["icons"], *pack.get("aliases", {})}
        codes = json.loads((folder / "chars.json").read_text())
        by_code[vendor] = {code.replace("-fe0f", ""): name for code, name in codes.items()}
        for code, name in by_code[vendor].items():
            slugs.setdefault(code, name)
    result: list[Concept] = []
    names: set[str] = set()
    for entry in data:
        kind = kinds.get(str(entry.get("subgroup")), "")
        code = entry["hexcode"].lower().replace("-fe0f", "")
        subject = subject_of(kind)
        if not subject or not is_concept(entry, kind):
            continue
        name = clean(entry["label"])
        if not name or name.lower() in names:
            continue
        tags = [clean(tag) for tag in entry.get("tags", [])]
        concept = Concept(code, name, subject, kind, [tag for tag in tags if tag])
        for vendor in VENDORS:
            icon = by_code[vendor].get(code) or slugs.get(code, "")
            if icon in icons[vendor]:
                concept.icons[vendor] = icon
        if concept.icons:
            names.add(name.lower())
            result.append(concept)
    return result


def pools(concept_id: str, drawn: set[str]) -> dict[str, str]:
    """Vendor -> pool of its drawing of a concept: 'train' or 'held out' from all training.

    One artist's drawings are held out, by a fixed hash: the world tests on them. A third of the
    silhouettes are trained on, so that they are not unknown.
    """
    pool = {}
    present = [artist for artist in ARTISTS if drawn & set(artist)]
    held: tuple[str, ...] = ()
    if len(present) >= 2:
        held = present[int(fraction("test artist", concept_id) * len(present))]
    for artist in present:
        pool.update({v: "held out" if artist is held else "train" for v in artist if v in drawn})
    if SILHOUETTES in drawn:
        trained = fraction("black and white", concept_id) < 1 / 3
        pool[SILHOUETTES] = "train" if trained else "held out"
    return pool

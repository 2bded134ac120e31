"""Drawings of the artists that the backbone never saw, joined to concepts by name.

Their packages list no code points, and two of them have names of their own. An icon belongs to a
concept whose name, slug, Unicode name or shortcode equals the icon's name once case, spaces and
punctuation are dropped; `OWN_NAMES` adds Firefox OS names that are in no list.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from concepts import Concept

NEW = {
    "emojione": "emojione",
    "emojione-v1": "emojione-v1",
    "fxemoji": "fxemoji",
    "streamline": "streamline-emojis",
    "streamline-b": "streamline-emojis",
}
"""Vendor -> npm package under @iconify-json. Streamline draws some concepts twice."""

SLUGS_OF = ("noto", "openmoji", "twemoji")
"""Packages whose names of code points are slugs of CLDR labels."""

SHORTCODES = ("emojibase", "github", "iamcal", "cldr", "joypixels")

OWN_NAMES = {
    "cat": "catside", "dog": "dogside", "pig": "pigside", "tiger": "tigerside",
    "leopard": "leopardside", "mouse": "mouseside", "dragon": "dragonside",
    "dragon face": "dragonhead", "rabbit": "bunnyside", "rabbit face": "bunny",
    "hamster": "hampster", "spouting whale": "spurtingwhale", "pig nose": "pigsnout",
    "front-facing baby chick": "frontfacingchick", "see-no-evil monkey": "monkeysee",
    "hear-no-evil monkey": "monkeyhear", "speak-no-evil monkey": "monkeyspeak",
    "hot pepper": "chilipepper", "ear of corn": "earofmaize", "evergreen tree": "evergreen",
    "fallen leaf": "fallingleaf", "tennis": "tennisball", "necktie": "tie",
    "high-heeled shoe": "heels", "t-shirt": "mansshirt", "flexed biceps": "flexbicep",
    "Tokyo tower": "toykotower", "Japanese castle": "japanesecastle",
    "mobile phone": "cellphone", "studio microphone": "studiomic", "bell": "ringingbell",
    "mantelpiece clock": "manltepiececlock", "videocassette": "videocasette",
    "closed book": "closedbook",
}  # fmt: skip
"""Concept -> Firefox OS's name of its drawing, its misspellings included."""

FXEMOJI_PREFIXES = ("BLACK ", "WHITE ")
FXEMOJI_PARTS = ("WITH ", " SYMBOL", " SIGN", "FACE WITH ", " FACE")
"""Parts of Unicode names that Firefox OS leaves out."""


def plain(name: str) -> str:
    """A name in lower-case letters and digits alone."""
    text = unicodedata.normalize("NFKD", name.lower().replace("&", "and"))
    return re.sub(r"[^a-z0-9]", "", text)


def join(packages: Path, concepts: Sequence[Concept]) -> dict[str, dict[str, str]]:
    """Concept id -> new vendor -> icon name; each icon serves one concept."""
    folder = packages / "@iconify-json"
    icons = {
        package: json.loads((folder / package / "icons.json").read_text())
        for package in set(NEW.values())
    }
    by_name = {
        package: {plain(name): name for name in [*pack.get("aliases", {}), *pack["icons"]]}
        for package, pack in icons.items()
    }
    twice: dict[str, list[str]] = defaultdict(list)
    for name in icons["streamline-emojis"]["icons"]:
        twice[plain(re.sub(r"-\d$", "", name))].append(name)
    slugs, labels, codes = _names(packages)
    drawn: dict[str, dict[str, str]] = {concept.id: {} for concept in concepts}
    used: set[tuple[str, str]] = set()

    def take(concept: Concept, vendor: str, icon: str) -> None:
        if (vendor, icon) not in used and vendor not in drawn[concept.id]:
            used.add((vendor, icon))
            drawn[concept.id][vendor] = icon

    for concept in concepts:
        own = [concept.name, labels.get(concept.id, ""), *slugs.get(concept.id, [])]
        for vendor in ("emojione", "emojione-v1"):
            for name in map(plain, own):
                if name in by_name[vendor]:
                    take(concept, vendor, by_name[vendor][name])
        both = [icon for name in map(plain, own) for icon in twice.get(name, [])]
        for vendor, icon in zip(("streamline", "streamline-b"), sorted(set(both)), strict=False):
            take(concept, vendor, icon)
        unicode_name = _unicode_name(concept.id)
        shorter = [unicode_name.replace(part, "") for part in (*FXEMOJI_PARTS, *FXEMOJI_PREFIXES)]
        named = [OWN_NAMES[concept.name]] if concept.name in OWN_NAMES else []
        others = [*own, unicode_name, *shorter, *sorted(codes.get(concept.id, ()))]
        for name in map(plain, [*named, *others]):
            if name and name in by_name["fxemoji"]:
                take(concept, "fxemoji", by_name["fxemoji"][name])
    return drawn


def _names(
    packages: Path,
) -> tuple[dict[str, list[str]], dict[str, str], dict[str, set[str]]]:
    """Slugs, label and shortcodes of each sequence of code points."""
    slugs: dict[str, list[str]] = defaultdict(list)
    for package in SLUGS_OF:
        table = json.loads((packages / "@iconify-json" / package / "chars.json").read_text())
        for code, slug in table.items():
            key = code.lower().replace("-fe0f", "")
            if slug not in slugs[key]:
                slugs[key].append(slug)
    data = packages / "emojibase-data/en"
    labels = {
        entry["hexcode"].lower().replace("-fe0f", ""): entry["label"]
        for entry in json.loads((data / "data.json").read_text())
    }
    codes: dict[str, set[str]] = defaultdict(set)
    for name in SHORTCODES:
        path = data / "shortcodes" / f"{name}.json"
        table = json.loads(path.read_text()) if path.exists() else {}
        for code, words in table.items():
            key = code.lower().replace("-fe0f", "")
            codes[key].update([words] if isinstance(words, str) else words)
    return slugs, labels, codes


def _unicode_name(concept_id: str) -> str:
    """The Unicode name of a single code point; '' of a sequence."""
    return "" if "-" in concept_id else unicodedata.name(chr(int(concept_id, 16)), "")

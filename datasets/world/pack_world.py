"""Pack the drawings of the world, with the role of each.

python pack_world.py jobs PACKAGES JOBS.json    # the drawings that render.mjs renders
python pack_world.py sheets PACKAGES OUT        # packs OUT/drawings, writes results/roles.json

`OUT/drawings` holds those of `pack_training.py jobs` too: those that are held out from training are
tests, and those that the backbone is trained on decide which others are near-duplicates.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import artists
import concepts as c
from PIL import Image
from roles import SIDES, assign, distinct, thumb
from sheets import Job, cell, command, write_concepts, write_digests, write_sheet

from rppbench_datasets.world.artwork import WORLD

HELD_OUT = ("noto", "noto-v1", "twemoji", "fluent-flat")
"""Vendors whose held-out drawings are tests; Fluent 3D is Fluent flat, shaded."""

VENDORS = (*artists.NEW, *HELD_OUT)

QUALITY = 70
"""Of lossy sheets."""


def jobs(packages: Path) -> Iterator[Job]:
    """The drawings of new artists to render."""
    all_concepts = _named(packages)
    icons = artists.join(packages, all_concepts)
    for concept in all_concepts:
        for vendor, icon in icons[concept.id].items():
            yield artists.NEW[vendor], icon, f"{vendor}/{concept.id}.png"


def _named(packages: Path) -> list[c.Concept]:
    """Every concept but flags, which few of the artists drew."""
    return [concept for concept in c.read(packages) if concept.subject != "flags"]


def sheets(packages: Path, out: Path) -> None:
    """Write one sheet a vendor, the table of concepts, and what was left out."""
    report: dict[str, object] = {}
    pairs: list[list[str]] = []
    kept_of: list[tuple[c.Concept, dict[str, tuple[Image.Image, str]]]] = []
    drawn_by: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for concept in _named(packages):
        paths = {v: out / "drawings" / v / f"{concept.id}.png" for v in (*VENDORS, "fluent-3d")}
        cells = {v: image for v, path in paths.items() if (image := _cell(path)) is not None}
        drawn_by.update(list(cells))
        pools = c.pools(concept.id, {v for v in c.COLOURED if v in cells})
        new = assign({vendor for vendor in artists.NEW if vendor in cells})
        sides = {vendor: "backbone" for vendor, pool in pools.items() if pool == "train"}
        sides |= {vendor: "test" for vendor in HELD_OUT if pools.get(vendor) == "held out"}
        if not new or "test" not in sides.values():
            without["a role has no drawing"] += 1
            continue
        sides |= new
        kept, near = distinct(sides, {vendor: thumb(cells[vendor]) for vendor in sides})
        pairs += [[concept.name, gone, sides[gone], like, sides[like]] for gone, like in near]
        if {sides[vendor] for vendor in kept} < set(SIDES):
            without["a role has near-duplicates only"] += 1
            continue
        roles = {v: (cells[v], sides[v]) for v in VENDORS if v in kept and sides[v] != "backbone"}
        kept_of.append((concept, roles))
    at: dict[str, dict[str, int]] = defaultdict(dict)
    for vendor in VENDORS:
        images: list[Image.Image] = []
        for concept, roles in kept_of:
            if vendor in roles:
                at[vendor][concept.id] = len(images)
                images.append(roles[vendor][0])
        write_sheet(WORLD, vendor, images, QUALITY)
    write_concepts(
        WORLD,
        (
            (concept, {v: (at[v][concept.id], role) for v, (_, role) in roles.items()})
            for concept, roles in kept_of
        ),
    )
    report["drawings of a concept other than flags"] = dict(sorted(drawn_by.items()))
    report["concepts"] = len(kept_of)
    report["concepts by subject"] = dict(Counter(concept.subject for concept, _ in kept_of))
    report["concepts with two test drawings"] = sum(
        [role for _, role in roles.values()].count("test") > 1 for _, roles in kept_of
    )
    report["drawings by role"] = {
        role: dict(Counter(v for _, roles in kept_of for v, (_, r) in roles.items() if r == role))
        for role in SIDES[1:]
    }
    report["concepts left out"] = dict(without)
    report["near-duplicates left out"] = {
        f"{side}, like a drawing of {other}": count
        for (side, other), count in sorted(Counter((p[2], p[4]) for p in pairs).items())
    }
    report["pairs"] = pairs
    results = Path(__file__).parent / "results"
    (results / "roles.json").write_text(json.dumps(report, indent=1) + "\n")
    write_digests(WORLD)


def _cell(path: Path) -> Image.Image | None:
    return cell(path) if path.exists() else None


if __name__ == "__main__":
    command(jobs, sheets)

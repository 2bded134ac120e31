"""Version 2 of the artwork: drawings of unseen artists, with the role of each.

python pack2.py jobs PACKAGES jobs.json       # the drawings that render.mjs renders
python pack2.py sheets PACKAGES DRAWINGS      # writes ../rppbench_datasets/world2/
python pack2.py digests                       # after any change of a shipped file

`DRAWINGS` holds the drawings of version 1 too (`pack.py jobs`): those that it holds out are tests
here, and those that the backbone learned from decide which new ones are near-duplicates.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import artists
import concepts as c
from pack import cell, command, write_concepts, write_sheet
from PIL import Image
from roles import SIDES, assign, distinct, thumb

from rppbench_datasets.world.artwork import COLOURED, WORLD_2

HELD_OUT = ("noto", "noto-v1", "twemoji", "fluent-flat")
"""Vendors of version 1 whose held-out drawings are tests; Fluent 3D is Fluent flat, shaded."""

VENDORS = (*artists.NEW, *HELD_OUT)

QUALITY = 70
"""Of lossy sheets."""


def jobs(packages: Path, out: Path) -> None:
    """List the new drawings to render as [package, icon, file]."""
    all_concepts = _named(packages)
    icons = artists.join(packages, all_concepts)
    out.write_text(
        json.dumps(
            [
                [artists.NEW[vendor], icons[concept.id][vendor], f"{vendor}/{concept.id}.png"]
                for concept in all_concepts
                for vendor in artists.NEW
                if vendor in icons[concept.id]
            ]
        )
    )


def _named(packages: Path) -> list[c.Concept]:
    """Every concept but flags, which few of the artists drew."""
    return [concept for concept in c.read(packages) if concept.subject != "flags"]


def sheets(packages: Path, drawings: Path) -> None:
    """Write one sheet a vendor, the table of concepts, and what was left out."""
    report: dict[str, object] = {}
    pairs: list[list[str]] = []
    kept_of: list[tuple[c.Concept, dict[str, tuple[Image.Image, str]]]] = []
    drawn_by: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for concept in _named(packages):
        cells = {vendor: image for vendor in (*VENDORS, "fluent-3d")
                 if (image := _cell(drawings, vendor, concept.id)) is not None}  # fmt: skip
        drawn_by.update(list(cells))
        pools = c.pools(concept.id, concept.subject, {v for v in COLOURED if v in cells})
        new = assign({vendor for vendor in artists.NEW if vendor in cells})
        sides = {vendor: "backbone" for vendor, pool in pools.items() if pool == "train"}
        sides |= {vendor: "test" for vendor in HELD_OUT if pools.get(vendor) == "test"}
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
        write_sheet(WORLD_2, vendor, images, QUALITY)
    write_concepts(
        WORLD_2,
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
    text = json.dumps(report, indent=1)
    (Path(__file__).parent / "v2").mkdir(exist_ok=True)
    (Path(__file__).parent / "v2" / "roles.json").write_text(text + "\n")


def _cell(drawings: Path, vendor: str, concept: str) -> Image.Image | None:
    path = drawings / vendor / f"{concept}.png"
    return cell(path) if path.exists() else None


if __name__ == "__main__":
    command(WORLD_2, jobs, sheets)

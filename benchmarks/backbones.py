"""Which of open_clip's models take prompts: builds each one small, tries it, and writes the tables.

    python -m benchmarks.backbones

writes `rppbench/models/coverage.json`, which `rppbench` reads, and `docs/backbones.md`. Weights are
random, towers have 3 layers, and a vocabulary of the Hugging Face hub is replaced by one of bytes
with the same special tokens, so nothing is downloaded. It took 32 s of processor time.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from rppbench.files.digests import read_json
from rppbench.models import coverage
from rppbench.models.coverage import Coverage
from rppbench.models.identity import model_configs

PAGE = Path(__file__).parents[1] / "docs" / "backbones.md"
MARK = "<!-- made by benchmarks/backbones.py -->"
SHARED = {
    "prefix": "the prompt once for all names",
    "length": "names of similar length together",
    "never": "every name in the full context",
}
KINDS = {
    "OpenClipImage": "open_clip's ViT",
    "TimmVit": "timm's ViT",
    "TimmEva": "timm's Eva",
    "OpenClipText": "open_clip's transformer",
    "CocaText": "CoCa's class token",
    "BertText": "BERT, RoBERTa",
    "T5Text": "mT5's encoder",
    "M2MText": "NLLB's encoder",
}


def markdown(table: Mapping[str, Coverage]) -> str:
    """The tables of the page: how many run, and what each configuration takes."""
    text = sum(not entry.text_obstacle for entry in table.values())
    both = sum(not (entry.text_obstacle or entry.image_obstacle) for entry in table.values())
    lines = [
        f"Zero-shot and methods on features run on all {len(table)} configurations, text prompts"
        f" on {text}, prompts in both towers on {both}.",
        "",
        "| image tower | text tower | work that names share | configurations |",
        "|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in table.items():
        image = KINDS.get(entry.image, entry.image) or f"no prompts: {entry.image_obstacle}"
        words = KINDS.get(entry.text, entry.text) or f"no prompts: {entry.text_obstacle}"
        groups.setdefault((image, words, SHARED.get(entry.sharing, "")), []).append(name)
    for (image, words, shared), names in sorted(groups.items()):
        listed = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {image} | {words} | {shared} | {len(names)}: {listed} |")
    return "\n".join(lines)


def main() -> int:
    """Measure all configurations and write both tables."""
    warnings.simplefilter("ignore")  # random weights, shrunk models
    table = {}
    for name, path in sorted(model_configs().items()):
        table[name] = coverage.measure(read_json(path))
        print(name, table[name], file=sys.stderr)
    coverage.write(table)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    _, _, after = rest.partition(MARK)
    page = f"{before}{MARK}\n{markdown(table)}\n{MARK}{after}"
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The committed table of what prompts can enter is what building the models gives."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from rppbench.models.coverage import Coverage, coverage, measure, write
from rppbench.models.identity import model_configs

ROOT = Path(__file__).parents[2]
SAMPLE = (
    *("RN50", "EVA02-B-16", "ViT-B-16-SigLIP2-512", "nllb-clip-large-siglip", "coca_ViT-L-14"),
    *("ViT-bigG-14-CLIPA", "ViT-L-14-worldwide", "swin_base_patch4_window7_224", "ViTamin-XL-384"),
)


def config(name: str) -> dict[str, object]:
    return json.loads(model_configs()[name].read_text(encoding="utf-8"))


def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("backbones", ROOT / "benchmarks/backbones.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_covers_every_configuration_of_open_clip() -> None:
    missing = set(model_configs()) - set(coverage())
    assert not missing, f"run benchmarks/backbones.py: {sorted(missing)}"


def test_most_models_take_prompts() -> None:
    table = coverage().values()
    assert sum(not entry.text_obstacle for entry in table) >= 130
    assert sum(not (entry.text_obstacle or entry.image_obstacle) for entry in table) >= 110


@pytest.mark.parametrize("name", SAMPLE)
def test_a_model_is_covered_as_the_table_says(name: str) -> None:
    assert measure(config(name)) == coverage()[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(model_configs()))
def test_every_model_is_covered_as_the_table_says(name: str) -> None:
    assert measure(config(name)) == coverage()[name]


def test_the_page_holds_the_table() -> None:
    text = (ROOT / "docs/backbones.md").read_text(encoding="utf-8")
    module = page()
    assert text.count(module.MARK) == 2
    assert module.markdown(coverage()) == text.split(module.MARK)[1].strip()


def test_a_table_is_written_as_it_is_read(tmp_path: Path) -> None:
    table = {
        "a": Coverage("T", "", image_obstacle="it convolves", sharing="never"),
        "b": Coverage("T", "I"),
    }
    write(table, tmp_path / "table.json")
    rows = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert {name: Coverage(**row) for name, row in rows.items()} == table
    assert rows["b"] == {"text": "T", "image": "I"}

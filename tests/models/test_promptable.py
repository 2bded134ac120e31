"""What is known of a backbone's towers before it is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.records import record
from support.tiny import tiny_config

from rppbench.contracts.towers import ImageKind
from rppbench.models.coverage import coverage
from rppbench.models.examination import examined
from rppbench.models.identity import BackboneSource, model_configs
from rppbench.models.promptable import Obstacles, block_counts, obstacles
from rppbench.planning.refusals import Refusals
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Choice

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 64}


def listed(name: str) -> dict[str, Any]:
    return json.loads(model_configs()[name].read_text())


def in_folder(folder: Path, config: dict[str, Any]) -> BackboneSource:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return BackboneSource("folder", f"local-dir:{folder}", str(folder))


@pytest.mark.parametrize(
    "name",
    [
        *("ViT-B-32", "RN50", "coca_ViT-B-32", "convnext_base", "ViTamin-S", "EVA02-B-16"),
        *("ViT-B-16-SigLIP2", "roberta-ViT-B-32", "nllb-clip-base", "ViT-L-14-CLIPA"),
    ],
)
def test_an_examination_says_what_the_table_does(name: str) -> None:
    row = coverage()[name]
    assert examined("text", listed(name)) == row.text_obstacle
    assert examined("image", listed(name)) == row.image_obstacle


def test_a_tag_and_a_file_are_looked_up_by_their_model() -> None:
    for kind in ("tag", "file"):
        source = BackboneSource(kind, "RN50", "openai")
        assert obstacles(source, {}) == Obstacles("", coverage()["RN50"].image_obstacle)
        assert "ModifiedResNet" in obstacles(source, {}).image


def test_a_configuration_of_known_parts_has_the_answer_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its sizes; no tower is built."""
    monkeypatch.delattr("rppbench.models.examination.examined")
    assert obstacles(in_folder(tmp_path, tiny_config()), {}) == Obstacles()
    config = tiny_config()
    config["vision_cfg"] |= RESNET
    known = obstacles(in_folder(tmp_path, config), {})
    assert known == Obstacles("", coverage()["RN50"].image_obstacle)
    assert known.image
    assert obstacles(in_folder(tmp_path, listed("ViT-B-16-SigLIP2")), {}) == Obstacles()


def test_other_parts_are_built_without_weights_and_examined(tmp_path: Path) -> None:
    config = tiny_config()
    config["vision_cfg"] = {"timm_model_name": "resnet18", "timm_pool": "", "timm_proj": "linear"}
    assert "it is a ResNet, which convolves" in obstacles(in_folder(tmp_path, config), {}).image
    config["vision_cfg"] |= {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token"}
    assert obstacles(in_folder(tmp_path, config), {}) == Obstacles()
    config["text_cfg"] |= {"pool_type": "eos", "eos_id": 3}
    known = obstacles(in_folder(tmp_path, config), {})
    assert "at token 3, which its tokenizer never sets" in known.text


def test_what_cannot_be_examined_is_left_to_the_run(tmp_path: Path) -> None:
    config = tiny_config()
    config["text_cfg"] = {"hf_model_name": "nobody/nothing", "hf_tokenizer_name": "nobody/nothing"}
    config["vision_cfg"] |= {"timm_model_name": "no_such_model"}
    assert obstacles(in_folder(tmp_path, config), {}) == Obstacles()


def test_the_hub_is_not_asked() -> None:
    source = BackboneSource("hub", "hf-hub:nobody/nothing", "nobody/nothing")
    assert obstacles(source, {}) == Obstacles()


class AnyResNet(ImageKind):
    """A kind of a plugin, which takes what the table refuses."""

    @classmethod
    def takes(cls, visual: Any) -> bool:
        return type(visual).__name__ == "ModifiedResNet"

    @classmethod
    def obstacle(cls, visual: Any) -> str | None:
        return None


def test_a_kind_of_a_plugin_is_not_refused() -> None:
    AnyResNet.__abstractmethods__ = frozenset()
    AnyResNet.__init__ = lambda self, visual: None  # type: ignore[method-assign]
    source = BackboneSource("tag", "RN50", "openai")
    assert obstacles(source, {}, [AnyResNet]) == Obstacles()
    other = BackboneSource("tag", "convnext_base", "laion400m_s13b_b51k")
    assert "ConvNeXt" in obstacles(other, {}, [AnyResNet]).image


def test_the_table_is_read_without_torch() -> None:
    code = (
        "import sys\nfrom rppbench.models.promptable import obstacles\n"
        "from rppbench.models.identity import BackboneSource\n"
        "assert obstacles(BackboneSource('tag', 'RN50', 'openai'), {}).image\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("method", "options", "refused"),
    [
        ("zeroshot", {"template": "dataset"}, False),
        ("coop", {}, False),
        ("vpt", {}, True),
        ("rpp", {"encoders": "both"}, True),
        ("rpp", {"encoders": "text"}, False),
    ],
)
def test_only_a_method_that_prompts_the_tower_is_refused(
    method: str, options: dict[str, Any], refused: bool
) -> None:
    cell = record("coop", backbone="RN50/openai").cell
    cell = replace(cell, method=Choice(method, tuple(options.items())))
    reason = Refusals(Registry.load())(cell)
    assert bool(reason) == refused
    if method == "rpp" and refused:
        assert "the image tower of RN50/openai cannot be prompted" in reason
        assert "these run on it: rpp:encoders=text, coop, cocoop" in reason


@pytest.mark.parametrize(
    ("method", "options", "reason"),
    [
        ("maple", {"depth": 13}, "depth=13 does not fit: the text tower of {} has 12 blocks"),
        ("maple", {"depth": 12}, ""),
        ("vpt", {}, "depth=12 does not fit: the image tower of {} has 3 blocks"),
        ("vpt", {"depth": 3}, ""),
        ("coop", {}, ""),
        ("rpp", {"encoders": "text", "depth": 5}, "depth=5 does not fit: the text tower of {} has"),
        ("rpp", {"encoders": "image", "depth": 3}, ""),
    ],
)
def test_more_blocks_than_a_tower_has_are_refused(
    method: str, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """A folder's two text and three image blocks; MaPLe is asked of a listed model."""
    config = tiny_config()
    config["text_cfg"]["layers"], config["vision_cfg"]["layers"] = 2, 3
    folder = in_folder(tmp_path, config).model
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")  # a plan reads no weights
    backbone = "ViT-B-16/openai" if method == "maple" else folder
    cell = record("coop", backbone=backbone).cell
    cell = replace(cell, method=Choice(method, tuple(options.items())))
    refused, _, advice = Refusals(Registry.load())(cell).partition("\n")
    assert refused.startswith(reason.format(backbone)) if reason else refused == ""
    if reason:
        assert re.fullmatch(r"write depth=\d+ or less", advice)


def test_blocks_of_other_libraries_towers_are_not_counted() -> None:
    counted = {
        name: block_counts(BackboneSource("tag", name, "any"), {})
        for name in ("ViT-L-14", "RN50", "ViT-B-16-SigLIP", "roberta-ViT-B-32")
    }
    assert counted == {
        "ViT-L-14": {"text": 12, "image": 24},
        "RN50": {"text": 12},
        "ViT-B-16-SigLIP": {"text": 12},
        "roberta-ViT-B-32": {"image": 12},
    }


def test_a_shipped_backbone_is_planned_without_the_libraries_that_models_need(
    tmp_path: Path,
) -> None:
    words = ["plan", "--method", "rpp", "--task", "cross-dataset", "--dataset", "demo-2-clothing"]
    code = (
        f"import sys; from rppbench.cli import main; assert main({words!r}) == 0\n"
        "sys.exit(sorted({'open_clip', 'torchvision', 'timm'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1 cell: 1 to run" in done.stdout

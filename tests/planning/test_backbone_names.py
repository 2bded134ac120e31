"""--model: several backbones, with weights apart, or listed in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import RunCommand, refused

from rppbench.errors import UsageError
from rppbench.planning.backbone_names import backbones, only_backbone, place
from rppbench.planning.settings import settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("models", "pretrained", "expected"),
    [
        ((), None, ()),
        (("a", "b/x"), None, ("a", "b/x")),
        (("a,b/x", "a"), None, ("a", "b/x")),
        (("a, b,",), None, ("a", "b")),
        (("ViT-B-16", "ViT-B-32"), "openai", ("ViT-B-16/openai", "ViT-B-32/openai")),
        (("hf-hub:org/name.v2",), None, ("hf-hub:org/name.v2",)),
    ],
)
def test_backbones_stand_beside_each_other_or_between_commas(
    models: tuple[str, ...], pretrained: str | None, expected: tuple[str, ...]
) -> None:
    assert backbones(models, pretrained) == expected


@pytest.mark.parametrize("name", ["models.txt", "./models", "models.2026"])
def test_a_text_file_lists_one_backbone_a_line(folder: Path, name: str) -> None:
    (folder / name).write_text("# large ones\nViT-L-14/openai\n\n  ViT-B/16/openai  \n#off\n")
    assert backbones((name, "tiny"), None) == ("ViT-L-14/openai", "ViT-B/16/openai", "tiny")


def test_a_list_stands_in_a_config_file_like_any_other_value(folder: Path) -> None:
    (folder / "models.txt").write_text("a\nb\n")
    (folder / "run.yaml").write_text("model: [models.txt, c]\n")
    assert settings({}, "run.yaml").backbones == ("a", "b", "c")
    (folder / "run.yaml").write_text("model: c\n")
    assert settings({}, "run.yaml").backbones == ("c",)


def test_a_file_of_the_name_of_a_backbone_is_no_list(folder: Path) -> None:
    (folder / "tiny").write_text("something else\n")
    assert backbones(("tiny",), None) == ("tiny",)


def test_weights_are_no_list(folder: Path) -> None:
    """Neither by their ending nor by their content."""
    (folder / "weights.pt").write_bytes(b"PK\x03\x04")
    assert backbones(("./weights.pt",), None) == ("./weights.pt",)
    (folder / "weights.old").write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(UsageError, match=r"not a text file.*named with its model: MODEL/weights"):
        backbones(("weights.old",), None)


def test_a_comma_in_the_path_of_a_folder_separates_nothing(folder: Path) -> None:
    (folder / "a,b").mkdir()
    assert backbones(("./a,b", "local-dir:./a,b"), None) == ("./a,b", "local-dir:./a,b")


def test_a_list_without_backbones_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the list of backbones gone\.txt: No such"):
        backbones(("gone.txt",), None)
    (folder / "empty.txt").write_text("# nothing\n")
    with pytest.raises(UsageError, match=r"empty\.txt names no backbone: write one a line"):
        backbones(("empty.txt",), None)


def test_a_mistake_in_a_list_is_reported_with_its_line(
    folder: Path, run_command: RunCommand
) -> None:
    Path("models.txt").write_text("# mine\ntiny\n\ntiny, gone/openai\n")
    words = ("plan", "--method", "fixed", "--task", "cross-dataset:suite=toy")
    message = refused(run_command, *words, "--model", "models.txt")
    assert "models.txt:4: no backbone is named 'gone/openai'" in message
    assert "error: no backbone" in refused(run_command, *words, "--model", "gone/openai")
    (folder / "b.lst").write_text("ViT-B-16\n")
    assert place("ViT-B-16/none", ("b.lst",), "none") == "b.lst:1: "
    assert place("ViT-B-16", ("ViT-B-16",), None) == ""


def test_a_command_for_one_backbone_refuses_several() -> None:
    assert only_backbone(None, None) == ""
    assert only_backbone("ViT-B-16", "openai") == "ViT-B-16/openai"
    with pytest.raises(UsageError, match="takes one backbone here, not 2: a, b"):
        only_backbone("a,b", None)

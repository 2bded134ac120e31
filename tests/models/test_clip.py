"""Backbones: names, digests, loading of weights, and the facts of a loaded model."""

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.pretrained import _PRETRAINED
from PIL import Image
from safetensors.torch import save_file
from support.tiny import MEAN, STD, make_tiny_clip, tiny_config, tokenizer

from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError
from rppbench.models.clip import Clip, Preprocess, identify, load
from rppbench.models.identity import BackboneSource, quick_gelu, resolve
from rppbench.models.loading import build

PREPROCESS = {"size": 32, "mean": list(MEAN), "std": list(STD), "interpolation": "bicubic"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    """A backbone as a plugin ships it: configuration, and weights in half precision."""
    folder = tmp_path_factory.mktemp("backbone")
    config, weights = folder / "demo.json", folder / "demo.safetensors"
    config.write_text(json.dumps(tiny_config(quick_gelu=True) | {"preprocess": PREPROCESS}))
    state = make_tiny_clip(quick_gelu=True).model.state_dict()
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, weights)
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {"demo": Backbone("demo", "Demo", config, weights, checksum)}


SMALL = "ViT-S-32-alt"  # the smallest model in open_clip's tables


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a model that open_clip lists."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    config = open_clip.get_model_config(SMALL)
    state = build(config).state_dict()
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, path)
    return path


@pytest.fixture
def small_tag(small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A tag in open_clip's tables whose weights are on this disk; change it as needed."""
    facts: dict[str, object] = {
        "file": str(small_weights),
        "mean": MEAN,
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bilinear",
        "resize_mode": "squash",
        "quick_gelu": True,
    }
    monkeypatch.setitem(_PRETRAINED, SMALL, {"some_tag": facts})
    return facts


def activation(clip: Clip) -> set[str]:
    blocks = [*clip.model.transformer.resblocks, *clip.model.visual.transformer.resblocks]
    return {type(block.mlp.gelu).__name__ for block in blocks}


# --- names of backbones -------------------------------------------------------------------------


def test_the_published_spelling_of_a_model_means_the_one_of_open_clip() -> None:
    assert resolve("ViT-B/16/openai", {}) == BackboneSource("tag", "ViT-B-16", "openai")
    assert resolve("ViT-B/16/openai", {}).name == "ViT-B-16/openai"
    assert identify("ViT-B/16/openai", {}) == identify("ViT-B-16/openai", {})
    assert resolve("ViT-B-16/laion2b-s34b-b88k", {}).weights == "laion2b_s34b_b88k"


def test_a_path_after_a_model_is_a_file_of_weights(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.touch()
    assert resolve(f"ViT-B-16/{file}", {}) == BackboneSource("file", "ViT-B-16", str(file))
    assert resolve(f"ViT-B/16/{file}", {}) == BackboneSource("file", "ViT-B-16", str(file))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("dmeo", "no backbone is named 'dmeo'; did you mean 'demo'"),
        ("ViT-B-16", "names no weights.*\ntags: .*openai"),
        ("ViT-B/16", "names no weights"),
        ("ViT-B-16/opnai", "no weights of ViT-B-16 are tagged 'opnai'; did you mean 'openai'"),
        ("ViT-B-16/gone.pt", "no file 'gone.pt'"),
        ("local-dir:/nowhere", "no folder /nowhere for backbone"),
        ("hf-hub:", "no backbone is named 'hf-hub:'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    shipped: dict[str, Backbone], backbone: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        identify(backbone, shipped)


def test_an_unknown_precision_is_refused(shipped: dict[str, Backbone]) -> None:
    with pytest.raises(UsageError, match="no precision is named 'fp8'"):
        load("demo", shipped, precision="fp8")


# --- shipped backbones --------------------------------------------------------------------------


def test_a_shipped_backbone_gives_the_features_of_its_weights(
    shipped: dict[str, Backbone],
) -> None:
    clip = load("demo", shipped)
    model = build(tiny_config(quick_gelu=True))
    original = make_tiny_clip(quick_gelu=True).model
    model.load_state_dict({k: v.half() for k, v in original.state_dict().items()})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = model.eval().encode_image(images, normalize=True)
    torch.testing.assert_close(clip.image.encode(images), expected, rtol=1e-5, atol=1e-5)
    assert clip.dtype == torch.float32
    assert activation(clip) == {"QuickGELU"}
    assert clip.scale.item() == pytest.approx(model.logit_scale.exp().item())
    assert clip.digest == identify("demo", shipped)


def test_damaged_weights_are_refused(shipped: dict[str, Backbone], tmp_path: Path) -> None:
    damaged = tmp_path / "demo.safetensors"
    damaged.write_bytes(shipped["demo"].weights.read_bytes()[:-1] + b"x")
    entry = dataclasses.replace(shipped["demo"], weights=damaged)
    with pytest.raises(UsageError, match="damaged or was replaced"):
        load("demo", {"demo": entry})


def test_missing_weights_are_named(shipped: dict[str, Backbone], tmp_path: Path) -> None:
    entry = dataclasses.replace(shipped["demo"], weights=tmp_path / "gone.safetensors")
    with pytest.raises(UsageError, match=r"no file .*gone\.safetensors"):
        load("demo", {"demo": entry})


def test_the_digest_changes_with_weights_and_configuration(
    shipped: dict[str, Backbone], tmp_path: Path
) -> None:
    entry = shipped["demo"]
    config = tmp_path / "other.json"
    config.write_text(json.dumps(tiny_config() | {"preprocess": PREPROCESS}))
    others = [
        dataclasses.replace(entry, sha256="0" * 64),
        dataclasses.replace(entry, config=config),
    ]
    digests = {identify("demo", {"demo": other}) for other in [entry, *others]}
    assert len(digests) == 3


def test_a_shipped_backbone_is_identified_without_torch(shipped: dict[str, Backbone]) -> None:
    entry = shipped["demo"]
    code = (
        "import sys; from pathlib import Path; from rppbench.contracts.backbone import Backbone\n"
        "from rppbench.models.identity import identify\n"
        f"entry = Backbone('demo', 'Demo', Path({str(entry.config)!r}),"
        f" Path({str(entry.weights)!r}), {entry.sha256!r})\n"
        "print(identify('demo', {'demo': entry}), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [identify("demo", shipped), "False"]


# --- weights of open_clip -----------------------------------------------------------------------


def test_every_tag_of_open_clip_gets_the_activation_it_was_trained_with() -> None:
    for model, known in _PRETRAINED.items():
        for tag, facts in known.items():
            expected = bool(facts.get("quick_gelu"))
            assert quick_gelu(BackboneSource("tag", model, tag)) == expected, (model, tag)
    assert quick_gelu(resolve("ViT-B-16/openai", {}))
    assert not quick_gelu(resolve("ViT-B-16/laion2b_s34b_b88k", {}))


@pytest.mark.filterwarnings("error:QuickGELU mismatch")
@pytest.mark.parametrize(("trained", "built"), [(True, "QuickGELU"), (False, "GELU")])
def test_a_tag_is_built_with_its_activation_and_preprocessing(
    small_tag: dict[str, object], trained: bool, built: str
) -> None:
    small_tag["quick_gelu"] = trained
    clip = load(f"{SMALL}/some-tag", {})
    assert activation(clip) == {built}
    assert clip.name == f"{SMALL}/some_tag"
    assert clip.preprocess == Preprocess(224, MEAN, (0.5, 0.5, 0.5), "bilinear", "squash")


def test_a_file_is_treated_as_the_tag_in_its_name_and_says_so(
    small_tag: dict[str, object], small_weights: Path, tmp_path: Path
) -> None:
    file = tmp_path / "Some-Tag.safetensors"
    file.symlink_to(small_weights)
    with pytest.warns(UserWarning, match="by the name of the file: QuickGELU .* another name"):
        clip = load(f"{SMALL}/{file}", {})
    assert activation(clip) == {"QuickGELU"}
    assert clip.preprocess.std == (0.5, 0.5, 0.5)
    assert clip.guessed == "QuickGELU, of tag some_tag, which is in the file's name"


def test_the_name_of_its_folder_says_nothing_about_a_file(
    small_tag: dict[str, object],
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"some_tag": small_tag, "other_tag": {"quick_gelu": False}}
    monkeypatch.setitem(_PRETRAINED, SMALL, known)
    digests = set()
    for name in ("some_tag", "other-tag", "plain"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "weights.safetensors"
        file.symlink_to(small_weights)
        with pytest.warns(UserWarning, match="is unknown: taking GELU"):
            clip = load(f"{SMALL}/{file}", {})
        assert activation(clip) == {"GELU"}
        assert clip.guessed == "GELU, since the file does not say"
        digests.add(clip.digest)
    assert len(digests) == 1


def test_the_checksum_of_openais_file_is_read_from_its_address() -> None:
    from rppbench.models.identity import published_checksum, tags

    published = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
    assert published_checksum(tags("ViT-B-16")["openai"]) == published


def test_a_file_of_unknown_activation_is_loaded_with_a_warning(
    small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"one": {"quick_gelu": True}, "two": {"quick_gelu": False}}
    monkeypatch.setitem(_PRETRAINED, SMALL, known)
    with pytest.warns(UserWarning, match=f"name the backbone {SMALL}-quickgelu/"):
        clip = load(f"{SMALL}/{small_weights}", {})
    assert activation(clip) == {"GELU"}


def test_the_digest_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    first = identify(f"ViT-B-32/{file}", {})
    file.write_bytes(b"another")
    assert identify(f"ViT-B-32/{file}", {}) != first


class RunsCode:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps(RunsCode(), protocol=2))
    with pytest.raises(UsageError, match=r"cannot read the weights in .*it holds Python objects"):
        load(f"{SMALL}/{file}", {})


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"logit_scale": torch.zeros(())}, file)
    with pytest.raises(UsageError, match="does not hold weights of ViT-S-32-alt"):
        load(f"{SMALL}/{file}", {})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_that_openai_did_not_publish_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ViT-B-16.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), file)
    with pytest.raises(UsageError, match=r"TorchScript program.*ViT-B-16"):
        load(f"ViT-B-16/{file}", {})


def test_a_failed_download_says_what_to_fetch_and_how_to_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"5806e77c.*\nand name the file: ViT-B-16/PATH"):
        load("ViT-B/16/openai", {})
    with pytest.raises(UsageError, match="local-dir:FOLDER"):
        load("hf-hub:nobody/nothing", {})


def test_a_folder_in_the_layout_of_the_hub_is_a_backbone(tmp_path: Path) -> None:
    config = {"model_cfg": tiny_config(quick_gelu=True), "preprocess_cfg": PREPROCESS}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    original = make_tiny_clip(quick_gelu=True)
    save_file(original.model.state_dict(), tmp_path / "open_clip_model.safetensors")
    clip = load(f"local-dir:{tmp_path}", {})
    expected = original.text.encode_templates(["cat"], ["a photo of a {}."])
    assert torch.equal(clip.text.encode_templates(["cat"], ["a photo of a {}."]), expected)
    assert activation(clip) == {"QuickGELU"}
    before = identify(f"local-dir:{tmp_path}", {})
    save_file(make_tiny_clip(seed=1).model.state_dict(), tmp_path / "open_clip_model.safetensors")
    assert identify(f"local-dir:{tmp_path}", {}) != before


# --- facts of a model ---------------------------------------------------------------------------


def test_a_space_holds_widths_depths_and_word_embeddings(tiny_clip: Clip) -> None:
    space = tiny_clip.space(7, torch.Generator().manual_seed(0))
    assert (space.text_width, space.text_layers) == (32, 4)
    assert (space.image_width, space.image_layers) == (48, 4)
    assert (space.embed, space.classes) == (32, 7)
    ids = tokenizer()(["a photo of a"])[0, 1:5]
    assert torch.equal(space.words("a photo of a"), tiny_clip.model.token_embedding.weight[ids])


def test_words_whose_embeddings_are_zero_are_unknown() -> None:
    clip = make_tiny_clip()
    for token in tokenizer().encode("shark"):
        clip.model.token_embedding.weight[token] = 0
    names = ["cat", "great white shark", "sharp knife"]
    assert clip.unknown_words(names) == ["great white shark"]


def test_padding_with_an_unknown_token_makes_no_name_unknown() -> None:
    clip = make_tiny_clip()
    clip.model.token_embedding.weight[0] = 0  # the id that pads short names
    assert clip.unknown_words(["cat", "great white shark"]) == []


def test_an_image_is_prepared_as_clip_was_trained(tiny_clip: Clip) -> None:
    from torchvision import transforms

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (50, 70, 3), generator=generator, dtype=torch.uint8)
    image = Image.fromarray(pixels.numpy())
    published = transforms.Compose(  # Dassl's test transform with CLIP's constants
        [
            transforms.Resize(32, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    assert torch.equal(tiny_clip.preprocess(image), published(image))

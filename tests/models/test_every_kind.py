"""Every kind of tower against its model's own modules: values, gradients, shared work."""

from collections.abc import Sequence

import pytest
import torch
from support.kinds import IMAGE, TEXT, hooks, images_by_hooks, pixels, small_clip, text_by_hooks
from support.tiny import LeafDraw
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.models.text_tower import TextTower

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

NAMES = ("cat", "ox", "bee (a)", "dog")
CLOSE = 1e-10


@pytest.fixture(params=TEXT)
def text_clip(request: pytest.FixtureRequest) -> Clip:
    return small_clip(request.param)


@pytest.fixture(params=IMAGE)
def image_clip(request: pytest.FixtureRequest) -> Clip:
    return small_clip(request.param)


def gradients(features: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)
    return torch.autograd.grad((features * weights).sum(), leaves, materialize_grads=True)


def assert_same(ours: Tensor, theirs: Tensor, leaves: Sequence[Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CLOSE)
    for mine, other in zip(gradients(ours, leaves), gradients(theirs, leaves), strict=True):
        scale = other.abs().max()
        assert scale > 0
        torch.testing.assert_close(mine / scale, other / scale, rtol=0, atol=CLOSE)


def empty(width: int) -> Prompt:
    return Prompt(torch.zeros(0, width, dtype=torch.float64))


def deep(draw: LeafDraw, width: int) -> Prompt:
    return Prompt(draw(2, width), {1: draw(2, width), 2: draw(1, width)})


def separate(draw: LeafDraw, width: int) -> Prompt:
    """Queries, keys and values of their own in the first two of three blocks."""
    parts = ({i: draw(2, width) for i in (0, 1)} for _ in range(3))
    return Prompt(draw(2, width), {1: draw(1, width)}, *parts)


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
def test_text_without_learned_tokens_is_the_models_own(text_clip: Clip, plain: bool) -> None:
    names = [f"{name}." for name in NAMES]
    own = text_clip.model.encode_text(text_clip.tokenizer(names), normalize=True)
    features = text_clip.text.encode(
        empty(text_clip.text.kind.width), text_clip.names(NAMES), plain=plain
    )
    torch.testing.assert_close(features, own, rtol=0, atol=CLOSE)
    templates = text_clip.text.encode_templates(NAMES, ["{}."])
    torch.testing.assert_close(templates, own, rtol=0, atol=CLOSE)


def test_frozen_words_are_a_template(text_clip: Clip) -> None:
    words = text_clip.text.embed_words("an").double()
    features = text_clip.text.encode(Prompt(words), text_clip.names(NAMES))
    expected = text_clip.text.encode_templates(NAMES, ["an {}."])
    # Words are float32, as methods learn them; weights have more digits here.
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("plain", [False, True])
def test_frozen_words_after_the_name_are_a_template(text_clip: Clip, plain: bool) -> None:
    kind = text_clip.text.kind
    words = text_clip.text.embed_words("an").double()
    ids = torch.tensor(kind.tokens.encode(["cat ox"])[0])
    prompt = Prompt(words, after_name=kind.words(ids).detach().double())
    names = ("cat", "ox", "dog")  # an end in punctuation would join the full stop
    features = text_clip.text.encode(prompt, text_clip.names(names), plain=plain)
    expected = text_clip.text.encode_templates(names, ["an {} cat ox."])
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("plain", [False, True])
def test_prompted_text_is_the_models_own_with_vectors_put_in(text_clip: Clip, plain: bool) -> None:
    draw = LeafDraw(torch.float64)
    kind = text_clip.text.kind
    prompt = deep(draw, kind.width)
    names = text_clip.names(NAMES)
    word = kind.tokens.encode(["a"])[0][-1]
    rows = [
        [*kind.tokens.start, word, word, *ids[:length]]
        for ids, length in zip(names.ids.tolist(), names.lengths.tolist(), strict=True)
    ]
    ours = text_clip.text.encode(prompt, names, plain=plain)
    assert_same(ours, text_by_hooks(text_clip, prompt, rows), draw.leaves)


def test_shared_work_changes_neither_text_features_nor_gradients(text_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    prompt = separate(draw, text_clip.text.kind.width)
    names = text_clip.names(NAMES)
    shared = text_clip.text.encode(prompt, names)
    assert_same(shared, text_clip.text.encode(prompt, names, plain=True), draw.leaves)


def test_small_groups_change_neither_text_features_nor_gradients(text_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    prompt, names = deep(draw, text_clip.text.kind.width), text_clip.names(NAMES)
    expected = text_clip.text.encode(prompt, names)
    tower = TextTower(text_clip.model, text_clip.tokenizer)
    tower.chunk_tokens = 2 * text_clip.text.kind.context
    assert_same(tower.encode(prompt, names), expected, draw.leaves)


def test_a_text_tower_that_sees_padding_runs_in_groups() -> None:
    clip = small_clip("ViT-B-16-SigLIP2")
    tower = TextTower(clip.model, clip.tokenizer)
    tower.chunk_tokens = 2 * tower.kind.context
    rows: list[int] = []
    last = tower.kind.blocks[-1].mlp
    with hooks((last.register_forward_hook, lambda module, inputs, out: rows.append(len(out)))):
        tower.encode(empty(tower.kind.width), clip.names(NAMES))
    assert rows == [2, 2]


def test_contexts_of_each_class_follow_the_classes_asked_for(text_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    contexts = draw(len(NAMES), 2, text_clip.text.kind.width)
    names, classes = text_clip.names(NAMES), torch.tensor([3, 1])
    ours = text_clip.text.encode(Prompt(contexts), names, classes)
    each = [
        text_clip.text.encode(Prompt(contexts[row]), names.select(torch.tensor([row])))
        for row in classes.tolist()
    ]
    torch.testing.assert_close(ours, torch.cat(each), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("contexts_at_once", [1, 2, 5])
def test_contexts_of_each_image_are_run_together(text_clip: Clip, contexts_at_once: int) -> None:
    draw = LeafDraw(torch.float64)
    contexts = draw(5, 2, text_clip.text.kind.width)
    names, classes = text_clip.names(NAMES), torch.tensor([3, 1, 2])
    each = [text_clip.text.encode(Prompt(context), names, classes) for context in contexts]
    tower = TextTower(text_clip.model, text_clip.tokenizer)
    tower.chunk_tokens = contexts_at_once * int(names.select(classes).lengths.sum())
    ours = tower.encode_each(contexts, names, classes)
    assert_same(ours, torch.stack(each), draw.leaves)


def test_names_that_are_too_long_are_cut(text_clip: Clip) -> None:
    room = text_clip.text.kind.context
    with pytest.warns(UserWarning, match="class name cut"):
        features = text_clip.text.encode(
            empty(text_clip.text.kind.width), text_clip.names(["b" + " cad" * 4 * room])
        )
    assert features.isfinite().all()


# --- images ---------------------------------------------------------------------------------------


def test_images_without_learned_tokens_are_the_models_own(image_clip: Clip) -> None:
    images = pixels(image_clip)
    own = image_clip.model.encode_image(images)
    own = own / own.norm(dim=-1, keepdim=True)
    features = image_clip.image.encode(images, empty(image_clip.image.kind.width))
    torch.testing.assert_close(features, own, rtol=0, atol=CLOSE)


def test_prompted_images_are_the_models_own_with_tokens_put_in(image_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    prompt, images = deep(draw, image_clip.image.kind.width), pixels(image_clip)
    ours = image_clip.image.encode(images, prompt)
    assert_same(ours, images_by_hooks(image_clip, images, prompt), draw.leaves)


def test_every_patch_has_a_feature_in_any_grid(image_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    kind = image_clip.image.kind
    prompt, images = deep(draw, kind.width), pixels(image_clip, rows=2)
    side = image_clip.preprocess.size // image_clip.image.patch
    features = image_clip.image.patches(images, prompt)
    assert features.shape[:3] == (len(images), 2 * side, side)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:3]).double())
    assert all(gradient.abs().max() > 0 for gradient in gradients(features, draw.leaves[:2]))
    alone = image_clip.image.patches(images)
    torch.testing.assert_close(
        image_clip.image.patches(images, empty(kind.width)), alone, rtol=0, atol=CLOSE
    )
    assert alone.shape == features.shape


def test_a_grid_of_any_size_has_the_positions_of_the_models_own(image_clip: Clip) -> None:
    images = pixels(image_clip)
    kind = image_clip.image.kind
    own, grid = kind.embed(images), kind.embed_grid(images)
    torch.testing.assert_close(grid.x, own.x, rtol=0, atol=CLOSE)
    for mine, other in zip(grid.positions, own.positions, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


# --- both -----------------------------------------------------------------------------------------


def test_gradients_reach_every_learned_text_vector(text_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    prompt = separate(draw, text_clip.text.kind.width)
    features = text_clip.text.encode(prompt, text_clip.names(NAMES))
    assert_learned(features, prompt)


def test_gradients_reach_every_learned_image_vector(image_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    prompt = separate(draw, image_clip.image.kind.width)
    assert_learned(image_clip.image.encode(pixels(image_clip), prompt), prompt)


def assert_learned(features: Tensor, prompt: Prompt) -> None:
    parts = (prompt.stream, prompt.queries, prompt.keys, prompt.values)
    leaves = [prompt.input, *(vector for part in parts for vector in part.values())]
    assert all(gradient.abs().max() > 1e-12 for gradient in gradients(features, leaves))


def test_equal_queries_keys_and_values_are_a_shared_deep_text_prompt(text_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    width, names = text_clip.text.kind.width, text_clip.names(NAMES)
    context, rows = draw(2, width), {i: draw(2, width) for i in (0, 1, 2)}
    unshared = text_clip.text.encode(Prompt(context, rows, rows, rows, rows), names)
    shared = text_clip.text.encode(Prompt(context, rows), names)
    torch.testing.assert_close(unshared, shared, rtol=0, atol=CLOSE)


def test_equal_queries_keys_and_values_are_a_shared_deep_image_prompt(image_clip: Clip) -> None:
    draw = LeafDraw(torch.float64)
    width, images = image_clip.image.kind.width, pixels(image_clip)
    context, rows = draw(2, width), {i: draw(2, width) for i in (0, 1, 2)}
    unshared = image_clip.image.encode(images, Prompt(context, rows, rows, rows, rows))
    shared = image_clip.image.encode(images, Prompt(context, rows))
    torch.testing.assert_close(unshared, shared, rtol=0, atol=CLOSE)


def test_a_space_has_the_sizes_of_every_kind(text_clip: Clip) -> None:
    space = text_clip.space(3, torch.Generator())
    assert (space.text_width, space.text_layers) == (64, 3)
    assert space.words("an").shape[1] == 64
    assert not space.text_obstacle


def test_the_bias_of_a_model_trained_with_a_sigmoid_is_its_own() -> None:
    clip = small_clip("ViT-B-16-SigLIP2")
    assert clip.bias is not None
    assert clip.bias.item() == pytest.approx(clip.model.logit_bias.item())
    assert small_clip("ViT-B-32").bias is None


def test_names_of_classes_are_those_of_the_tokenizer(text_clip: Clip) -> None:
    tokens = text_clip.text.kind.tokens
    names = Names(NAMES, tokens, first=True)
    rows = text_clip.tokenizer([f"{name}." for name in NAMES])
    for row, ids, length in zip(rows, names.ids, names.lengths.tolist(), strict=True):
        own = [*tokens.start, *ids[:length].tolist()]
        assert row[: len(own)].tolist() == own
        assert (row[len(own) :] == tokens.pad).all()

"""The towers against a slow reference and open_clip: values, gradients, memory, refusals."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from support.tiny import (
    IMAGE,
    NAMES,
    TEXT,
    LeafDraw,
    make_tiny_clip,
    random_images,
    reference_image,
    reference_text,
    sapl,
    tokenizer,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.clip import Clip

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def maple(draw: LeafDraw, clip: Clip) -> tuple[Prompt, Prompt]:
    """Two learned words before the frozen 'of a'; the image side is linear in the text side."""
    words = {i: draw(2, TEXT) for i in range(3)}
    linear = {i: (draw(IMAGE, TEXT), draw(IMAGE)) for i in range(3)}
    frozen = clip.text.embed_words("of a").to(draw.dtype)
    image = {i: words[i] @ weight.T + bias for i, (weight, bias) in linear.items()}
    deep = (1, 2)
    return (
        Prompt(torch.cat([words[0], frozen]), {i: words[i] for i in deep}),
        Prompt(image[0], {i: image[i] for i in deep}),
    )


TEXT_STRUCTURES: dict[str, Callable[[LeafDraw, Clip], Prompt]] = {
    "shared context": lambda draw, clip: Prompt(draw(4, TEXT)),
    "one token": lambda draw, clip: Prompt(draw(1, TEXT)),
    "context of each class": lambda draw, clip: Prompt(draw(len(NAMES), 4, TEXT)),
    "frozen tail, deep": lambda draw, clip: maple(draw, clip)[0],
    "deep from block 0": lambda draw, clip: Prompt(
        draw(4, TEXT), {i: draw(4, TEXT) for i in range(4)}
    ),
    "after the name": lambda draw, clip: Prompt(torch.empty(0, TEXT), after_name=draw(4, TEXT)),
    "around the name, deep": lambda draw, clip: Prompt(
        draw(2, TEXT), {1: draw(2, TEXT)}, after_name=draw(3, TEXT)
    ),
    "around the name of each class": lambda draw, clip: Prompt(
        draw(len(NAMES), 2, TEXT), after_name=draw(len(NAMES), 2, TEXT)
    ),
    "deep for each class": lambda draw, clip: Prompt(
        draw(len(NAMES), 4, TEXT), {2: draw(2, TEXT)}, keys={1: draw(4, TEXT)}
    ),
    "unshared, keep": lambda draw, clip: sapl(draw, TEXT, 3),
    "unshared, q": lambda draw, clip: sapl(draw, TEXT, 3, "q"),
    "unshared, mean": lambda draw, clip: sapl(draw, TEXT, 3, "mean"),
    "unshared, all blocks": lambda draw, clip: sapl(draw, TEXT, 4),
    "keys and values": lambda draw, clip: sapl(draw, TEXT, 3, parts="kv"),
    "queries and keys": lambda draw, clip: sapl(draw, TEXT, 3, parts="qk"),
}

IMAGE_STRUCTURES: dict[str, Callable[[LeafDraw, Clip], Prompt]] = {
    "shallow": lambda draw, clip: Prompt(draw(4, IMAGE)),
    "deep": lambda draw, clip: Prompt(draw(4, IMAGE), {i: draw(4, IMAGE) for i in (1, 2, 3)}),
    "coupled to the text": lambda draw, clip: maple(draw, clip)[1],
    "unshared, keep": lambda draw, clip: sapl(draw, IMAGE, 3),
    "unshared, q": lambda draw, clip: sapl(draw, IMAGE, 3, "q"),
    "unshared, mean": lambda draw, clip: sapl(draw, IMAGE, 3, "mean"),
    "keys and values": lambda draw, clip: sapl(draw, IMAGE, 3, parts="kv"),
    "queries and keys": lambda draw, clip: sapl(draw, IMAGE, 3, parts="qk"),
}


@dataclass
class FeaturesAndGradients:
    features: Tensor
    gradients: Sequence[Tensor]


def with_gradients(features: Tensor, leaves: Sequence[Tensor]) -> FeaturesAndGradients:
    """Features, and gradients of a fixed function of them."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(features.shape, generator=generator, dtype=torch.float64)
    loss = (features * weights.to(features.dtype)).sum()
    gradients = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
    return FeaturesAndGradients(features.detach(), gradients)


def assert_equal(
    ours: FeaturesAndGradients, theirs: FeaturesAndGradients, dtype: torch.dtype
) -> None:
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(ours.features, theirs.features, rtol=tolerance, atol=tolerance)
    for mine, other in zip(ours.gradients, theirs.gradients, strict=True):
        # Relative to the largest entry: a gradient has a scale, its entries may cancel.
        scale = other.abs().max().clamp(min=1e-30)
        if other.abs().max() > tolerance:
            mine, other = mine / scale, other / scale
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module", params=["gelu", "quickgelu"])
def quick(request: pytest.FixtureRequest) -> bool:
    return request.param == "quickgelu"


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["fp32", "fp64"])
def clip(request: pytest.FixtureRequest, quick: bool) -> Clip:
    return make_tiny_clip(request.param, quick_gelu=quick)


@pytest.mark.parametrize("structure", TEXT_STRUCTURES)
def test_prompted_text_equals_the_slow_reference_in_value_and_gradient(
    clip: Clip, structure: str
) -> None:
    draw = LeafDraw(clip.dtype)
    prompt = TEXT_STRUCTURES[structure](draw, clip)
    theirs = with_gradients(reference_text(clip, prompt), draw.leaves)
    names = clip.names(NAMES)
    for plain in (False, True):
        ours = with_gradients(clip.text.encode(prompt, names, plain=plain), draw.leaves)
        assert_equal(ours, theirs, clip.dtype)


@pytest.mark.parametrize("structure", IMAGE_STRUCTURES)
def test_prompted_images_equal_the_slow_reference_in_value_and_gradient(
    clip: Clip, structure: str
) -> None:
    draw = LeafDraw(clip.dtype)
    prompt = IMAGE_STRUCTURES[structure](draw, clip)
    images = random_images(clip.dtype)
    theirs = with_gradients(reference_image(clip, images, prompt), draw.leaves)
    assert_equal(with_gradients(clip.image.encode(images, prompt), draw.leaves), theirs, clip.dtype)


def test_the_gradient_of_a_coupled_prompt_flows_through_both_towers(clip: Clip) -> None:
    draw = LeafDraw(clip.dtype)
    text, image = maple(draw, clip)
    images = random_images(clip.dtype)

    def logits(texts: Tensor, features: Tensor) -> Tensor:
        return features @ texts.T

    ours = logits(clip.text.encode(text, clip.names(NAMES)), clip.image.encode(images, image))
    theirs = logits(reference_text(clip, text), reference_image(clip, images, image))
    assert_equal(with_gradients(ours, draw.leaves), with_gradients(theirs, draw.leaves), clip.dtype)


@pytest.mark.parametrize("chunk_tokens", [1, 20, 60, 8192])
@pytest.mark.parametrize("checkpoint", [False, True, "auto"])
@pytest.mark.parametrize("structure", ["shared context", "context of each class"])
def test_chunks_and_checkpoints_change_neither_features_nor_gradients(
    chunk_tokens: int, checkpoint: bool | str, structure: str
) -> None:
    clip = make_tiny_clip(torch.float64)
    draw = LeafDraw(torch.float64)
    prompt = TEXT_STRUCTURES[structure](draw, clip)
    theirs = with_gradients(reference_text(clip, prompt), draw.leaves)
    clip.text.chunk_tokens, clip.text.checkpoint = chunk_tokens, checkpoint
    ours = with_gradients(clip.text.encode(prompt, clip.names(NAMES)), draw.leaves)
    assert_equal(ours, theirs, torch.float64)


@pytest.mark.parametrize("chunk_tokens", [1, 60, 8192])
@pytest.mark.parametrize("checkpoint", [False, True, "auto"])
def test_contexts_of_each_image_equal_the_slow_reference_of_each(
    chunk_tokens: int, checkpoint: bool | str
) -> None:
    clip = make_tiny_clip(torch.float64)
    draw = LeafDraw(torch.float64)
    contexts = draw(5, 3, TEXT)
    each = torch.stack([reference_text(clip, Prompt(context)) for context in contexts])
    clip.text.chunk_tokens, clip.text.checkpoint = chunk_tokens, checkpoint
    ours = clip.text.encode_each(contexts, clip.names(NAMES))
    assert_equal(
        with_gradients(ours, draw.leaves), with_gradients(each, draw.leaves), torch.float64
    )


def test_a_prompt_of_each_image_leaves_room_for_a_name(tiny_clip: Clip) -> None:
    with pytest.raises(UsageError, match="leaves no room for a class name"):
        tiny_clip.text.encode_each(LeafDraw()(2, 75, TEXT), tiny_clip.names(NAMES))


def test_a_checkpointed_group_saves_little_for_the_backward_pass() -> None:
    clip = make_tiny_clip()
    prompt = Prompt(LeafDraw()(4, TEXT))

    def saved_numbers(checkpoint: bool) -> int:
        sizes = []
        clip.text.checkpoint = checkpoint
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            clip.text.encode(prompt, clip.names(NAMES))
        return sum(sizes)

    assert saved_numbers(True) < saved_numbers(False) / 2


@pytest.mark.parametrize("structure", ["shared context", "context of each class"])
def test_classes_are_encoded_in_the_order_asked_for(tiny_clip: Clip, structure: str) -> None:
    prompt = TEXT_STRUCTURES[structure](LeafDraw(), tiny_clip)
    names = tiny_clip.names(NAMES)
    classes = torch.tensor([5, 0, 2, 6])
    everything = tiny_clip.text.encode(prompt, names)
    for plain in (False, True):
        selected = tiny_clip.text.encode(prompt, names, classes, plain=plain)
        torch.testing.assert_close(selected, everything[classes], rtol=1e-5, atol=1e-5)


def learns(features: Tensor, prompts: dict[int, Tensor]) -> list[bool]:
    loss = (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum()
    leaves = [prompts[i] for i in sorted(prompts)]
    gradients = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
    return [bool(gradient.abs().max() > 1e-8) for gradient in gradients]


QUERIES_THAT_LEARN = {  # (residual, prompted blocks) -> which query prompts learn; 4 blocks in all
    ("keep", 4): [False] * 4,
    ("keep", 2): [True] * 2,
    ("q", 4): [False] * 4,
    ("q", 2): [False, True],
    ("mean", 4): [False] * 4,
    ("mean", 2): [False, True],
}


@pytest.mark.parametrize("tower", ["text", "image"])
@pytest.mark.parametrize(("residual", "depth"), QUERIES_THAT_LEARN)
def test_query_prompts_learn_only_where_something_reads_their_rows(
    tower: str, residual: str, depth: int
) -> None:
    # The attention output of a row depends on the query of that row alone, so a query prompt
    # acts on the prompt rows only, and is dead where these are overwritten or read by no one.
    clip = make_tiny_clip(torch.float64)
    draw = LeafDraw(torch.float64)
    if tower == "text":
        prompt = sapl(draw, TEXT, depth, residual)
        features = clip.text.encode(prompt, clip.names(NAMES))
    else:
        prompt = sapl(draw, IMAGE, depth, residual)
        features = clip.image.encode(random_images(torch.float64), prompt)
    assert learns(features, dict(prompt.queries)) == QUERIES_THAT_LEARN[residual, depth]
    assert learns(features, dict(prompt.keys)) == [True] * depth
    assert learns(features, dict(prompt.values)) == [True] * depth


def test_prompts_equal_to_the_rows_they_replace_change_nothing(tiny_clip: Clip) -> None:
    draw = LeafDraw()
    model, names = tiny_clip.model, tiny_clip.names(NAMES)
    context = draw(4, TEXT).detach()
    rows = {0: context + model.positional_embedding[1:5]}
    shallow = tiny_clip.text.encode(Prompt(context), names)
    deep = tiny_clip.text.encode(Prompt(context, rows, rows, rows, rows), names)
    torch.testing.assert_close(deep, shallow, rtol=1e-5, atol=1e-5)

    tokens, images = draw(4, IMAGE).detach(), random_images(torch.float32)
    rows = {0: model.visual.ln_pre(tokens)}
    shallow = tiny_clip.image.encode(images, Prompt(tokens))
    deep = tiny_clip.image.encode(images, Prompt(tokens, rows, rows, rows, rows))
    torch.testing.assert_close(deep, shallow, rtol=1e-5, atol=1e-5)


def test_equal_query_key_and_value_prompts_over_an_overwritten_stream_are_a_shared_deep_prompt(
    tiny_clip: Clip,
) -> None:
    draw = LeafDraw()
    context, deep = draw(4, TEXT), {i: draw(4, TEXT) for i in range(3)}
    names = tiny_clip.names(NAMES)
    unshared = tiny_clip.text.encode(Prompt(context, deep, deep, deep, deep), names)
    shared = tiny_clip.text.encode(Prompt(context, deep), names)
    torch.testing.assert_close(unshared, shared, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("raw", [False, True])
def test_templates_equal_the_encoder_of_open_clip(clip: Clip, raw: bool) -> None:
    wordings = ["a photo of a {}.", "{}", "a bad origami {} in a video game, {} indeed."]
    expected = []
    for wording in wordings:
        rows = tokenizer()([wording.replace("{}", name) for name in NAMES])
        expected.append(clip.model.encode_text(rows, normalize=not raw))
    mean = torch.stack(expected).mean(0)
    expected_features = mean / mean.norm(dim=-1, keepdim=True)
    features = clip.text.encode_templates(NAMES, wordings, raw=raw)
    tolerance = TOLERANCE[clip.dtype]
    torch.testing.assert_close(features, expected_features, rtol=tolerance, atol=tolerance)
    assert not features.requires_grad


def test_a_prompt_of_frozen_words_equals_the_template(clip: Clip) -> None:
    prompt = Prompt(clip.text.embed_words("a photo of a"))
    features = clip.text.encode(prompt, clip.names(NAMES))
    expected = clip.text.encode_templates(NAMES, ["a photo of a {}."])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_without_a_prompt_images_are_encoded_as_by_open_clip(clip: Clip) -> None:
    images = random_images(clip.dtype)
    expected = clip.model.encode_image(images, normalize=True)
    assert torch.equal(clip.image.encode(images), expected)
    tolerance = TOLERANCE[clip.dtype]
    theirs = reference_image(clip, images, None)
    torch.testing.assert_close(expected, theirs, rtol=tolerance, atol=tolerance)


def test_every_image_that_passes_the_tower_is_counted() -> None:
    clip = make_tiny_clip()
    clip.image.encode(random_images(torch.float32, 2))
    clip.image.encode(random_images(torch.float32, 3), Prompt(torch.zeros(1, IMAGE)))
    assert clip.image.images_encoded == 5


def test_layer_scale_is_applied() -> None:
    clip = make_tiny_clip(torch.float64, layer_scale=0.3)
    draw = LeafDraw(torch.float64)
    text, image = sapl(draw, TEXT, 3), sapl(draw, IMAGE, 3)
    ours = with_gradients(clip.text.encode(text, clip.names(NAMES)), draw.leaves)
    assert_equal(ours, with_gradients(reference_text(clip, text), draw.leaves), torch.float64)
    images = random_images(torch.float64)
    ours = with_gradients(clip.image.encode(images, image), draw.leaves)
    assert_equal(
        ours, with_gradients(reference_image(clip, images, image), draw.leaves), torch.float64
    )


def test_a_tower_used_in_inference_mode_can_be_trained_through_afterwards() -> None:
    clip = make_tiny_clip()
    draw = LeafDraw()
    prompt = Prompt(draw(4, TEXT))
    with torch.inference_mode():
        names = clip.names(NAMES)
        before = clip.text.encode(prompt, names) * clip.scale
    after = clip.text.encode(prompt, names) * clip.scale
    (gradient,) = torch.autograd.grad(after.sum(), draw.leaves)
    assert torch.equal(before, after.detach())
    assert gradient.abs().max() > 0


def test_no_weight_of_the_towers_requires_a_gradient(tiny_clip: Clip) -> None:
    assert not any(parameter.requires_grad for parameter in tiny_clip.model.parameters())
    assert not tiny_clip.model.training


def test_sharing_the_prefix_saves_eight_ninths_of_the_work_on_imagenet(tiny_clip: Clip) -> None:
    from open_clip import IMAGENET_CLASSNAMES

    names = tiny_clip.names(IMAGENET_CLASSNAMES)
    prompt = Prompt(torch.zeros(16, TEXT))

    def work(plain: bool) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            tiny_clip.text.encode(prompt, names, plain=plain)
        return counter.get_total_flops()

    assert work(plain=True) > 8 * work(plain=False)


def test_a_prompt_that_leaves_no_room_for_a_name_is_refused(tiny_clip: Clip) -> None:
    with pytest.raises(UsageError, match="a prompt of 75 tokens leaves no room"):
        tiny_clip.text.encode(Prompt(torch.zeros(75, TEXT)), tiny_clip.names(NAMES))


def test_tokens_after_a_name_that_is_too_long_stay(tiny_clip: Clip) -> None:
    """The name is cut to what prompt, full stop and end token leave: 77 - 1 - 2 - 3 - 2 tokens."""
    prompt = Prompt(torch.randn(2, TEXT), after_name=torch.randn(3, TEXT))
    with pytest.warns(UserWarning, match=r"cut: .* in '\{\}\.' takes 82 tokens .* room for 71 "):
        long = tiny_clip.text.encode(prompt, tiny_clip.names(["cat " * 80]))
    fits = tiny_clip.text.encode(prompt, tiny_clip.names(["cat " * 69]))
    torch.testing.assert_close(long, fits)
    full = Prompt(torch.zeros(70, TEXT), after_name=torch.zeros(4, TEXT))
    with pytest.raises(UsageError, match="a prompt of 74 tokens leaves no room"):
        tiny_clip.text.encode(full, tiny_clip.names(NAMES))


@pytest.mark.parametrize(("first", "learned"), [(0, True), (2, False)])
def test_nothing_below_the_first_learned_tokens_keeps_a_graph(first: int, learned: bool) -> None:
    clip, draw = make_tiny_clip(), LeafDraw()
    seen: dict[str, list[bool]] = {}

    def watch(tower: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen[tower].append(output.requires_grad)

    prompts = {}
    for tower, width, blocks in (
        ("text", TEXT, clip.model.transformer.resblocks),
        ("image", IMAGE, clip.model.visual.transformer.resblocks),
    ):
        seen[tower] = []
        for block in blocks:
            block.ln_1.register_forward_hook(watch(tower))
        prompts[tower] = Prompt(
            draw(3, width).detach().requires_grad_(learned),
            {} if learned else {first: draw(3, width).detach().requires_grad_()},
        )
    images = clip.image.encode(random_images(torch.float32), prompts["image"])
    clip.text.checkpoint = False
    texts = clip.text.encode(prompts["text"], clip.names(NAMES))
    assert seen["image"] == [block >= first for block in range(4)]
    own = len(seen["text"]) // 4 - 1  # the names behind the shared tokens, group by group
    assert own >= 1
    assert seen["text"][:4] == [block >= first for block in range(4)]
    (images[:1] @ texts.T).sum().backward()
    assert all(weight.grad is None for weight in clip.model.parameters())
    for prompt in prompts.values():
        for value in (prompt.input, *prompt.stream.values()):
            assert (value.grad is not None) == value.requires_grad


@pytest.mark.parametrize(
    "with_backend",
    ["aot_eager", pytest.param("inductor", marks=(pytest.mark.slow, NEEDS_COMPILER))],
)
def test_compiled_towers_equal_eager_ones(with_backend: str) -> None:
    """`aot_eager` traces the graphs and needs no C++; `inductor` is what `--compile` uses."""
    values = []
    for backend in (None, with_backend):
        clip, draw = make_tiny_clip(), LeafDraw()
        if backend:
            clip.compile(backend)
        text, image = sapl(draw, TEXT, 2), sapl(draw, IMAGE, 2)
        texts = clip.text.encode(text, clip.names(NAMES))
        images = clip.image.encode(random_images(torch.float32), image)
        (images[:1] @ texts.T).sum().backward()
        leaves = [text.input, *text.values.values(), image.input, *image.queries.values()]
        with torch.inference_mode():
            again = clip.image.encode(random_images(torch.float32)[:1], image)
        values.append([texts, images, again, *(leaf.grad for leaf in leaves)])
    assert all(value is not None for value in values[0])
    for eager, compiled in zip(*values, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=0, atol=1e-6)

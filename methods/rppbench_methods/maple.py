"""MaPLe: deep prompts in the text tower, projected into the image tower.

Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, eq. 1-10. Computed in float32
throughout; the official code rounds the prompts through float16.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from rppbench.contracts import Adopted, Method, Prompt, Prompts, Recipe, Space
from rppbench_methods.contexts import check, first_token, linear, taken
from rppbench_methods.deep import deep_text
from rppbench_methods.demo import few_recipe

_CONFIGS = "github.com/muzairkhattak/multimodal-prompt-learning configs/trainers/MaPLe"


class MaPLe(Method):
    """`length` tokens in the first `depth` blocks of both towers; images see projected ones.

    Of the words of `init`, the first `length` are learned; the rest stay as frozen tokens before
    the class name ('of a' with the defaults), as the authors intend (their issue 32).
    """

    name = "maple"
    title = "MaPLe"
    paper = "arXiv:2210.03117"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    recipes = (
        Recipe(
            "maple-transfer-1",
            epochs=2,
            batch=4,
            lr=0.0026,
            options=(("depth", 3),),
            tasks=("cross-dataset", "cross-domain"),
            origin=f"{_CONFIGS}/vit_b16_c2_ep5_batch4_2ctx_cross_datasets.yaml",
        ),
        Recipe(
            "maple-1",
            epochs=5,
            batch=4,
            lr=0.0035,
            options=(("depth", 9),),
            origin=f"{_CONFIGS}/vit_b16_c2_ep5_batch4_2ctx.yaml",
        ),
        Recipe(
            "maple-demo-1",
            epochs=2,
            batch=32,
            lr=0.0026,
            augment="none",
            shots=4,
            options=(("depth", 3), ("sampled", 128)),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "maple-demo-few-1",
            epochs=2,
            batch=16,
            lr=0.026,
            options=(("depth", 3),),
        ),
    )

    def __init__(
        self, space: Space, *, length: int = 2, depth: int = 9, init: str = "a photo of a"
    ) -> None:
        super().__init__(space)
        check(space, "image", length, depth)
        self.text = deep_text(space, length, depth, init)
        self.projection = linear(space, space.text_width, space.image_width)
        first = linear(space, space.text_width, space.image_width)
        self.deep_projections = nn.ModuleList(
            linear(space, space.text_width, space.image_width) for _ in range(1, depth)
        )
        for projection in self.deep_projections:  # clones of one layer in the official code
            projection.load_state_dict(first.state_dict())

    def prompts(self) -> Prompts:
        text = self.text()
        image = {
            block: projection(text.stream[block])
            for block, projection in enumerate(self.deep_projections, 1)
        }
        return Prompts(text, Prompt(self.projection(self.text.input), stream=image))

    @classmethod
    def adopt(cls, checkpoint: Mapping[str, Tensor]) -> Adopted:
        """The keys under `prompt_learner.`; the frozen towers in the file are not read."""
        head = "prompt_learner."
        prefix = checkpoint.get(f"{head}token_prefix")
        context = taken(checkpoint, f"{head}ctx")
        state = {"text.input": context}
        layers = [("proj", "projection")]
        deep = sum(name.startswith(f"{head}compound_prompts_text.") for name in checkpoint)
        for block in range(deep):
            state[f"text.blocks.{block}"] = taken(
                checkpoint, f"{head}compound_prompts_text.{block}"
            )
            layers.append((f"compound_prompt_projections.{block}", f"deep_projections.{block}"))
        for theirs, ours in layers:
            for part in ("weight", "bias"):
                state[f"{ours}.{part}"] = taken(checkpoint, f"{head}{theirs}.{part}")
        options = {"length": context.shape[0], "depth": deep + 1}
        return Adopted(options, state, None if prefix is None else first_token(prefix))

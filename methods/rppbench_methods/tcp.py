"""TCP: deep text tokens of each class, computed from its hand-crafted text feature.

Yao et al., TCP: Textual-based Class-aware Prompt tuning for Visual-Language Model, CVPR 2024,
eq. 4-8 (htyao89/Textual-based_Class-aware_prompt_tuning trainers/tcp.py):

    T_k = W_2 h(W_1 w_k^clip)
    L = L_ce + weight (mean over classes of 1 - cos(w_k, w_k^clip))

with w_k^clip the frozen text feature of class k, w_k the learned one, h QuickGELU, and T_k the
`length` tokens that take the rows of the learned context before block `layer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rppbench.contracts import (
    ClassAware,
    FrozenFeatures,
    ImportedState,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Step,
    Tower,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.contexts import check_size, initial_context, linear
from rppbench_methods.official import check_context, required, start_token
from rppbench_methods.zeroshot import one_wording, wordings


class TCP(Method, ReadsOfficialCheckpoints):
    """`length` learned context tokens, replaced by those of each class before block `layer`.

    The class name stands in each data set's own template, whose beginning is the context (or in
    `template`, a wording of what follows the context). `crafted` is the wording of the hand-crafted
    features, as the `template` of `zeroshot`.
    """

    name = "tcp"
    title = "TCP"
    paper = "arXiv:2311.18231"
    origin = "github.com/htyao89/Textual-based_Class-aware_prompt_tuning"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        length: int = 4,
        layer: int = 8,
        init: str = "",
        weight: float = 8.0,
        template: str = "dataset",
        crafted: str = "dataset",
    ) -> None:
        super().__init__(space)
        check_size(space, "text", length)
        if not 0 <= layer < space.text_layers:
            raise UsageError(
                f"layer is 0 to {space.text_layers - 1} for the text tower of this backbone"
            )
        self.layer, self.weight = layer, weight
        self.wording = behind_context if template == "dataset" else one_wording(template)
        self.crafted = wordings(crafted)
        self.frozen = FrozenFeatures(self.crafted)
        self.context = nn.Parameter(initial_context(space, length, init))
        hidden = space.embed // 4
        self.narrow = linear(space, space.embed, hidden)  # W_1
        self.widen = linear(space, hidden, length * space.text_width)  # W_2

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(
            ClassAware(self.prompt, self.crafted),
            wording=self.wording,
        )

    def prompt(self, crafted: Tensor) -> Prompt:
        """The context, and the tokens T_k (c, length, d) of hand-crafted features (c, e)."""
        hidden = self.narrow(crafted)
        tokens = self.widen(hidden * (1.702 * hidden).sigmoid())
        return Prompt(self.context, stream={self.layer: tokens.unflatten(1, self.context.shape)})

    def loss(self, step: Step) -> Tensor:
        """The supervised loss, plus `weight` times the mean distance to the hand-crafted text."""
        assert step.frozen_texts is not None
        return step.loss + self.weight * (1 - (step.texts * step.frozen_texts).sum(1)).mean()

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys `ctx`, `meta_net.linear1`, `meta_net.linear2`, `token_prefix`, `token_suffix`."""
        context = required(checkpoint, "ctx")
        state = {"context": context}
        for theirs, ours in (("linear1", "narrow"), ("linear2", "widen")):
            for part in ("weight", "bias"):
                state[f"{ours}.{part}"] = required(checkpoint, f"meta_net.{theirs}.{part}")
        prefix = checkpoint.get("token_prefix")
        start = None if prefix is None else start_token(prefix)
        return ImportedState({"length": check_context(context)}, state, start)


def behind_context(template: str) -> str:
    """What follows the context in a template, whose words before the name it stands for.

    'a photo of a person doing {}.' -> 'person doing {}.'; any other beginning is left out
    altogether.
    """
    start = "a photo of a "
    if template.startswith(start):
        return template.removeprefix(start)
    return template[template.index("{}") :]

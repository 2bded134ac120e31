"""POMP: CoOp's context pretrained on a large vocabulary, with sampled classes.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, eq. 4-5: cross-entropy over the true class and K - 1 sampled negatives,
whose logits are shifted by the local correction m. Both belong to its supervision and can be given
to any method; see `contracts.Step.cross_entropy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rppbench.contracts import (
    ImportedState,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Supervision,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Length, initial_context
from rppbench_methods.official import imported_context


class POMP(Method, ReadsOfficialCheckpoints):
    """`length` learned tokens for all classes, started at random; text tower only."""

    name = "pomp"
    title = "POMP"
    paper = "arXiv:2304.04704"
    origin = "github.com/amazon-science/prompt-pretraining"
    licence = "Apache-2.0"
    learning = Learning(read_recipes(__file__), Supervision(sampled=1000), large_source=True)

    def __init__(self, space: Space, *, length: Length = 4) -> None:
        super().__init__(space)
        self.context = nn.Parameter(initial_context(space, length))

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys `ctx` and token buffers for training and test; the class name is at the end."""
        buffers = ("train_token_", "test_token_", "token_")
        return imported_context(checkpoint, buffers)

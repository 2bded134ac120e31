"""The prompt that a command names: an exported folder, or a cell of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.leaderboard import load
from rppbench.records.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from rppbench.exporters.prompt_card import Card
    from rppbench.plugins.registry import Registry


def named_prompt(
    text: str, output: str, seed: int | None, registry: Registry
) -> tuple[Card, dict[str, Tensor]]:
    """Card and state of a folder made by `export` or `import`, or of a cell of the run in `output`.

    UsageError if there is none, or if several trainings fit.
    """
    from rppbench.exporters import prompt_card, provenance, select
    from rppbench.planning.code_digests import CodeDigests
    from rppbench.training.state import learned_parameters

    folder = Path(text)
    if folder.is_dir():
        return prompt_card.read(folder)
    store = Store(Path(output))
    records, _ = load(store.root)
    training = select.select_training(records, text, seed)
    code = CodeDigests(registry).of_training(training)
    state = learned_parameters(store.training_path(training), training.key, code)
    return provenance.trained_card(training, records, registry), state

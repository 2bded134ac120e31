"""The files that Tip-Adapter's official code writes: keys, learned keys and one-hot labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from support.commands import RunCommand, json_lines, refused, save_test_images
from support.tiny import make_tiny_clip
from support.toy_data import COLOURS, Toy
from support.toy_plugin import PluginOf
from support.training_world import plain_images, plain_texts
from torch import Tensor

from rppbench.exporters import prompt_card
from rppbench_methods.coop import CoOp
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF

NAMES = ",".join(COLOURS)
LABELS = torch.tensor([2, 2, 2, 0, 0, 0, 1, 1, 6, 6, 6, 5, 5, 5, 3, 3, 3, 4, 4, 4])
"""As in a list that is not sorted by class; one class has two images of three."""


MORE = PluginOf([TipAdapter, TipAdapterF, CoOp], [])


def save_official() -> Tensor:
    """The files of a cache of the toy's training images; returns the keys (n, e)."""
    clip, data = make_tiny_clip(), Toy()
    by_label: dict[int, list[Tensor]] = {}
    for sample in data.samples("train"):
        by_label.setdefault(sample.label, []).append(clip.preprocess(data.image(sample)))
    pixels = torch.stack([by_label[int(label)].pop(0) for label in LABELS])
    keys = plain_images(clip, pixels, None).half()
    Path("caches").mkdir()
    torch.save(keys.T, "caches/keys_3shots.pt")
    torch.save(torch.nn.functional.one_hot(LABELS).half(), "caches/values_3shots.pt")
    torch.save(torch.nn.Parameter(keys), "caches/best_F_3shots.pt")
    return keys.float()


def words(method: str, file: str, *more: str) -> tuple[str, ...]:
    names = more or ("--classes", NAMES)
    return ("import", file, "--method", method, "--model", "tiny", "--to", "mine", *names)


@pytest.mark.parametrize(
    ("method", "file"), [("tip-adapter", "keys_3shots.pt"), ("tip-adapter-f", "best_F_3shots.pt")]
)
def test_a_cache_of_the_official_code_predicts_as_the_formula(
    run_command: RunCommand, method: str, file: str
) -> None:
    keys = save_official()
    chosen = f"{method}:alpha=4.0,beta=5.5"
    status, _, complaints = run_command(*words(chosen, f"caches/{file}"))
    assert status == 0, complaints
    card, state = prompt_card.read(Path("mine"))
    assert (float(state["alpha"]), float(state["beta"])) == (4.0, 5.5)
    assert state["filled"].sum(1).tolist() == [3, 2, 3, 3, 3, 3, 3]
    assert card.imported is not None
    assert (card.imported["file"], card.imported["values"]) == (file, "values_3shots.pt")
    assert card.imported["shots"] == "3"

    clip = make_tiny_clip()
    paths, _ = save_test_images()
    chosen = ("--prompt", "mine", "--classes", NAMES, "--top", "7", "--json", *paths)
    status, text, complaints = run_command("predict", *chosen)
    assert status == 0, complaints
    pixels = torch.stack([clip.preprocess(Image.open(path).convert("RGB")) for path in paths])
    images, texts = plain_images(clip, pixels, None), plain_texts(clip, [*COLOURS], None)
    cache = (-5.5 * (1 - images @ keys.T)).exp() @ torch.eye(7)[LABELS]
    scale = clip.model.logit_scale.detach().exp()
    shares = (scale * images @ texts.T + 4.0 * cache).softmax(1)
    for entry, expected in zip(json_lines(text), shares, strict=True):
        ours = {guess["name"]: guess["probability"] for guess in entry["classes"]}
        assert [ours[name] for name in COLOURS] == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_wording_of_the_run_can_be_given(run_command: RunCommand) -> None:
    save_official()
    method = "tip-adapter-f:template={} texture."
    status, _, complaints = run_command(*words(method, "caches/best_F_3shots.pt"))
    assert status == 0, complaints
    assert prompt_card.read(Path("mine"))[0].method["template"] == "{} texture."


def test_files_that_do_not_belong_together_are_refused(run_command: RunCommand) -> None:
    save_official()
    best = "caches/best_F_3shots.pt"
    other = refused(run_command, *words("tip-adapter", best))
    assert "best_F_... of tip-adapter-f" in other
    assert "1 were given" in refused(run_command, *words("tip-adapter-f", best, "--classes", "a"))
    assert "no 'ctx' in the checkpoint" in refused(run_command, *words("coop", best))
    Path("caches/model.pt").write_bytes(Path(best).read_bytes())
    assert "keys_16shots.pt" in refused(run_command, *words("tip-adapter-f", "caches/model.pt"))
    torch.save(torch.ones(20, 7), "caches/values_3shots.pt")
    assert "one-hot" in refused(run_command, *words("tip-adapter-f", best))
    torch.save({"values": torch.eye(7)[LABELS]}, "caches/values_3shots.pt")
    assert "not a single one" in refused(run_command, *words("tip-adapter-f", best))
    Path("caches/values_3shots.pt").unlink()
    assert "values_3shots.pt: No such file" in refused(run_command, *words("tip-adapter-f", best))

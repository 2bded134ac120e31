"""The folder of an exported prompt: the tensors, a card for programs, and a README for people.

    prompt.safetensors   the method's state
    card.json            everything needed to use it, and its provenance
    README.md            the same for people; no program reads it

The card holds digests of itself, of the tensors and of the backbone, so a prompt that is damaged
or meant for other weights is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rppbench import __version__
from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt, Prompts, Templates
from rppbench.errors import UsageError, unknown
from rppbench.files.atomic import write_atomically
from rppbench.files.digests import digest
from rppbench.models.clip import Clip
from rppbench.models.identity import identify
from rppbench.plugins.registry import Registry
from rppbench.records import stand_in
from rppbench.records.cell import EVERY_IMAGE, Choice, Training, spell
from rppbench.reporting.markdown import escape, markdown_table

FORMAT = 1
"""Version of the card; a reader of version n must read every version up to n."""
CARD, TENSORS, README = "card.json", "prompt.safetensors", "README.md"


@dataclass(frozen=True)
class CardScore:
    """A score that was measured with the prompt."""

    cell: str
    """Key of the cell."""
    task: str
    dataset: str
    metric: str
    value: float
    """Percent unless the metric's name says otherwise."""


@dataclass(frozen=True)
class Card:
    """Everything needed to use a prompt, and its provenance; plain data."""

    method: Choice
    backbone: str
    backbone_digest: str
    """The digest that `models.identity.identify` returns."""
    precision: str
    wording: str
    """The template of class names for methods that bring no text of their own."""
    classes: tuple[str, ...] = ()
    """Names of the classes it was learned on, by label; () if they are not known."""
    training: Mapping[str, Any] | None = None
    """`records.Training` as plain data with its key; None for a prompt learned elsewhere."""
    imported: Mapping[str, str] | None = None
    """Files, checksums, epoch and shots of the checkpoint it was read from; None if it was learned
    here."""
    numbers: tuple[CardScore, ...] = ()
    method_facts: Mapping[str, str] | None = None
    """Title, paper and origin."""
    licences: Mapping[str, str] | None = None
    """Licences of the method's code, the data and the backbone, where they are known."""
    version: str = __version__
    """Version of rppbench that wrote the card."""
    tensors: str = ""
    """SHA-256 of prompt.safetensors; set on writing."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data that ends in its own digest."""
        content = json.loads(json.dumps({"format": FORMAT, **asdict(self)}))
        return {**content, "digest": digest(content)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        """The card that `to_json` wrote. KeyError, TypeError or ValueError if it is not one."""
        if data["format"] != FORMAT:
            raise ValueError(f"card format {data['format']} is not {FORMAT}")
        content = {name: value for name, value in data.items() if name != "digest"}
        if data["digest"] != digest(content):
            raise ValueError("the content does not match its digest: edited or damaged")
        del content["format"]
        if others := sorted(content.keys() - cls.__dataclass_fields__.keys()):
            raise ValueError(f"it has a field {others[0]!r}")
        try:
            card = msgspec.convert(content, cls)
            if card.training is not None:
                str(card.training["key"])
                msgspec.convert(card.training, Training)
        except (msgspec.ValidationError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if int((card.imported or {}).get("shots", 1)) < 1:
            raise ValueError("the number of shots is not positive")
        if not all(math.isfinite(number.value) for number in card.numbers):
            raise ValueError("a number is not finite")
        return card


def write(folder: Path, card: Card, state: Mapping[str, Tensor]) -> None:
    """Write a new folder. UsageError if it holds files already, or cannot be written."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        content = save({name: value.cpu().contiguous() for name, value in state.items()})
        card = replace(card, tensors=sha256(content).hexdigest())
        write_atomically(folder / TENSORS, content)
        write_atomically(folder / README, readme(card))
        # The card comes last: a folder without it is not a prompt.
        write_atomically(
            folder / CARD, json.dumps(card.to_json(), indent=1, allow_nan=False) + "\n"
        )
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def read(folder: Path) -> tuple[Card, dict[str, Tensor]]:
    """Card and state of a folder that `write` wrote. UsageError for any other folder, or damage."""
    path = folder / CARD
    try:
        card = Card.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{folder} holds no prompt: no {CARD} can be read\n"
            "`rppbench export` and `rppbench import` make such folders"
        ) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not the card of a prompt: {error}") from error
    tensors = folder / TENSORS
    try:
        content = tensors.read_bytes()  # once: what was checked is what is used
        if (actual := sha256(content).hexdigest()) != card.tensors:
            raise UsageError(
                f"{tensors} is damaged or was replaced: its SHA-256 is {actual}, "
                f"the card says {card.tensors}\nexport or import the prompt again"
            )
        return card, load(content)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{tensors} cannot be read: {error}") from error


def check_backbone(card: Card, registry: Registry) -> None:
    """UsageError unless the backbone of that name has the weights that the prompt is for."""
    actual = identify(card.backbone, registry.all("backbones"))
    if actual != card.backbone_digest:
        raise UsageError(
            f"the prompt was learned for other weights: {card.backbone!r} is {actual} here, "
            f"the card says {card.backbone_digest}"
        )


def text_teacher(
    card: Card, registry: Registry, clip: Clip, load: Callable[[str], Clip]
) -> Clip | None:
    """The teacher if its text features are the classifier, otherwise None.

    `clip` is the card's backbone. UsageError if the teacher's weights are not those that the prompt
    was learned from.
    """
    training = card.training
    if not training or not training["teacher"]:
        return None
    # The method's text says whether the teacher encodes it. To read that, the method is built with
    # the backbone as its teacher: after training most methods need no teacher, and its weights may
    # not be on this machine.
    text = unlearned(card, registry, clip, teacher=clip).prompts().text
    if not isinstance(text, Templates) or not text.teacher:
        return None
    teacher, digests = load(training["teacher"]), dict(training["inputs"])
    if digests.get(f"teacher:{training['teacher']}") != teacher.digest:
        raise UsageError(f"the teacher {training['teacher']!r} has other weights than in training")
    return teacher


def unlearned(card: Card, registry: Registry, clip: Clip, teacher: Clip | None = None) -> Method:
    """The card's method before any learning. UsageError for options it does not take."""
    component: type[Method] = registry.get("methods", card.method.name)
    supervised = Supervision.__dataclass_fields__
    options = {name: value for name, value in card.method.options if name not in supervised}
    shots = int((card.training or card.imported or {}).get("shots", 1))
    space = clip.space(len(card.classes), torch.Generator(), shots, teacher)
    try:
        return component(space, **options)
    except TypeError as error:  # written by another version of the method
        raise UsageError(
            f"{card.method.name!r} does not take the card's options: {error}"
        ) from error


def build_method(
    card: Card,
    state: Mapping[str, Tensor],
    registry: Registry,
    clip: Clip,
    teacher: Clip | None = None,
) -> Method:
    """The card's method with this state, on the model's device and ready to use.

    UsageError if the names or shapes in the state are not the method's on this backbone, or
    if a value is not finite.
    """
    method = unlearned(card, registry, clip, teacher)
    own = method.state_dict()
    if unmatched := sorted(own.keys() ^ state.keys()):
        lacking = (
            "the prompt lacks" if unmatched[0] in own else f"{card.method.name!r} does not have"
        )
        raise UsageError(
            f"not a prompt of this {card.method.name!r}, but of another version or method: "
            f"{lacking} the parameter {unmatched[0]!r}"
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise UsageError(
                f"{name!r} has shape {_shape(value)}, but {card.method.name!r} on backbone "
                f"{card.backbone!r} takes {_shape(own[name])}"
            )
        if not value.isfinite().all():
            raise UsageError(f"{name!r} holds values that are not finite")
    method.load_state_dict(dict(state))
    return method.to(clip.device).eval()


def class_ids(card: Card, method: Method, names: Sequence[str]) -> list[int]:
    """The class ids that a method uses for the names.

    A method with an open vocabulary numbers the names in order; any other keeps the ids of its
    training.
    UsageError for a name that such a method was not trained on.
    """
    if method.open_vocabulary:
        return list(range(len(names)))
    return _learned_ids(card, names)


def _learned_ids(card: Card, names: Sequence[str]) -> list[int]:
    """The ids of the classes with these names; classes of one name are taken in order."""
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(card.classes):
        positions.setdefault(name, []).append(position)
    ids = []
    for name in names:
        if name not in positions:
            subject = f"class that this {card.method.name!r} prompt knows is named"
            raise unknown(subject, name, card.classes, "classes")
        if not positions[name]:
            raise UsageError(f"{name!r} is named more often than this prompt has classes so called")
        ids.append(positions[name].pop(0))
    return ids


def prompts_for(card: Card, method: Method, names: list[str]) -> Prompts:
    """The method's prompts for the named classes.

    Class-specific contexts are reordered to match the names; UsageError for a name that has none.
    """
    prompts = method.prompts()
    text = prompts.text
    if not isinstance(text, Prompt) or not text.class_specific:
        return prompts
    rows = torch.tensor(_learned_ids(card, names))
    return replace(prompts, text=text.of_classes(rows))


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


# --- the README ---------------------------------------------------------------------------------


def readme(card: Card) -> str:
    """The card as Markdown for people."""
    facts = card.method_facts or {}
    training = card.training
    title = escape(facts.get("title", card.method.name))
    lines = [f"# {title} prompt for {escape(card.backbone)}", ""]
    if stand_in.is_stand_in(card.backbone, [training["source"]] if training else ()):
        lines += [f"> **{stand_in.HEADING}** {escape(stand_in.WARNING)}", ""]
    options = ", ".join(f"{name}={spell(value)}" for name, value in card.method.options)
    rows = [
        ("Method", f"{card.method.name} ({options})" if options else card.method.name),
        *((name.capitalize(), value) for name, value in facts.items() if name != "title"),
        ("Backbone", f"{card.backbone}, digest {card.backbone_digest}, {card.precision}"),
    ]
    if training:
        every = training["shots"] >= EVERY_IMAGE
        recipe = ", ".join(f"{name}={value}" for name, value in training["recipe"]["options"])
        rows += [
            ("Recipe", f"{training['recipe']['name']} ({recipe})"),
            ("Trained on", f"{training['classes']} classes of {training['source']}"),
            (
                "Images",
                f"{'all' if every else training['shots']} a class, seed {training['seed']}",
            ),
            *([("Teacher", training["teacher"])] if training["teacher"] else []),
            ("Training", training["key"]),
        ]
    for name, value in (card.imported or {}).items():
        rows.append((f"Imported: {name}", value))
    rows += [(f"Licence of {name}", value) for name, value in (card.licences or {}).items()]
    rows += [("Written by", f"rppbench {card.version}"), ("Tensors", f"SHA-256 {card.tensors}")]
    lines += markdown_table(
        ("", ""), [[escape(name), escape(str(value))] for name, value in rows], left=2
    )
    if card.imported:
        lines += ["", "Options that the checkpoint does not hold are the method's defaults."]
    if card.numbers:
        lines += ["", "## Numbers", ""]
        shown = [
            [escape(n.task), escape(n.dataset), escape(n.metric), f"{n.value:.2f}", escape(n.cell)]
            for n in card.numbers
        ]
        lines += markdown_table(("Task", "Data set", "Metric", "Value", "Cell"), shown, left=3)
        lines += ["", "In percent unless the metric says otherwise."]
    lines += [
        "",
        "## Use",
        "",
        "```sh",
        "rppbench predict --prompt FOLDER --classes cat,dog IMAGE...",
        "```",
        "",
    ]
    return "\n".join(lines)

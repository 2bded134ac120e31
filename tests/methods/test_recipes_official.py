"""Recipes against the YAML files and scripts of the official code, setting by setting.

The tables hold what these files say, read once and written down: `docs/as-published.md` names them,
and each deliberate difference.
"""

from __future__ import annotations

import pytest

from rppbench.contracts.method import Method
from rppbench.contracts.recipe import Recipe, select
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import EVERY_IMAGE, Option
from rppbench.training.optimizer import learning_rate
from rppbench_methods.zeroshot import wordings

REGISTRY = Registry.load()
METHODS: dict[str, type[Method]] = REGISTRY.all("methods")
CROP = "crop-flip"
"""TRANSFORMS: random_resized_crop, random_flip, normalize."""
RANDAUGMENT = "crop-flip-randaugment2"

Official = tuple[str, str, str, int, dict[str, Option]]
"""Method, task, data set learned on, shots, and what the official run of it sets."""


def coop(epochs: int, **changed: Option) -> dict[str, Option]:
    words = {"length": 4, "init": "a photo of a"} if changed.pop("words", False) else {}
    random = {"length": 16, "init": ""}
    return {"epochs": epochs, "batch": 32, "lr": 2e-3, **random, **words, **changed}


def maple(epochs: int, lr: float, **options: Option) -> dict[str, Option]:
    return {"epochs": epochs, "batch": 4, "lr": lr, **options}


def promptsrc(epochs: int, depth: int, mean: float, std: float) -> dict[str, Option]:
    weights = {"text_weight": 25.0, "image_weight": 10.0}
    return maple(epochs, 2.5e-3, length=4, depth=depth, mean=mean, std=std, **weights)


def pomp(epochs: int, length: int) -> dict[str, Option]:
    """scripts/pomp/main.sh: torch.distributed.launch --nproc_per_node 8, UPDATE_CLASS_NUM 1000."""
    data = {"batch": 32, "shards": 8, "views": 4, "augment": RANDAUGMENT}
    return {"epochs": epochs, "lr": 2e-3, **data, "length": length, "sampled": 1000}


def promptkd(depth: int, weight: float) -> dict[str, Option]:
    sizes = {"length": 4, "depth": depth, "raw": True}
    return {"epochs": 20, "batch": 8, "lr": 5e-3, "kd_weight": weight, "temperature": 1.0, **sizes}


XD, B2N, FEW = "cross-dataset", "base-to-new", "few-shot"
KGCOOP: dict[str, Option] = {"epochs": 100, "batch": 128, "lr": 2e-3, "length": 4, "weight": 8.0}
COCOOP: dict[str, Option] = {
    "epochs": 10,
    "batch": 1,
    "lr": 2e-3,
    "length": 4,
    "init": "a photo of a",
}
ADAPTER: dict[str, Option] = {"batch": 32, "lr": 2e-3, "reduction": 4, "ratio": 0.2}
OFFICIAL: list[Official] = [
    # CoOp scripts/coop/README.md: rn50_ep50, rn50_ep100, rn50 by shots; ImageNet always ep50.
    ("coop", FEW, "caltech101", 1, coop(50)),
    *(("coop", FEW, "caltech101", shots, coop(100)) for shots in (2, 4)),
    *(("coop", FEW, "caltech101", shots, coop(200)) for shots in (8, 16)),
    *(("coop", FEW, "imagenet", shots, coop(50)) for shots in (1, 2, 4, 8, 16)),
    # CoOp scripts/cocoop: vit_b16_ctxv1; for ImageNet vit_b16_ep50_ctxv1.
    ("coop", B2N, "dtd", 16, coop(200, words=True)),
    ("coop", B2N, "imagenet", 16, coop(50, words=True)),
    ("coop", XD, "imagenet", 16, coop(50, words=True)),
    *(("cocoop", task, "imagenet", 16, COCOOP) for task in (XD, B2N, FEW)),
    *(("kgcoop", task, "imagenet", 16, KGCOOP) for task in (XD, B2N, FEW)),
    *(("kgcoop", task, "dtd", 16, KGCOOP) for task in (B2N, FEW)),
    ("maple", B2N, "dtd", 16, maple(5, 3.5e-3, length=2, depth=9)),
    ("maple", XD, "imagenet", 16, maple(2, 2.6e-3, length=2, depth=3)),
    ("vpt", B2N, "dtd", 16, maple(5, 2.5e-3, length=8, depth=12)),
    ("vpt", XD, "imagenet", 16, maple(2, 2.5e-3, length=8, depth=12)),
    ("ivlp", B2N, "dtd", 16, maple(5, 3.5e-3, length=2, depth=12)),
    ("ivlp", XD, "imagenet", 16, maple(2, 3.5e-3, length=2, depth=12)),
    ("promptsrc", B2N, "dtd", 16, promptsrc(20, 9, 15.0, 1.0)),
    ("promptsrc", XD, "imagenet", 16, promptsrc(20, 3, 6.0, 10.0)),
    *(
        ("promptsrc", FEW, name, 16, promptsrc(50, 9, 30.0, 30.0))
        for name in ("imagenet", "caltech101", "oxford_pets", "food101", "ucf101", "sun397")
    ),
    *(
        ("promptsrc", FEW, name, 16, promptsrc(50, 9, 45.0, 5.0))
        for name in ("stanford_cars", "oxford_flowers", "fgvc_aircraft", "dtd", "eurosat")
    ),
    ("pomp", "pretraining", "imagenet21k", 16, pomp(5, 4)),
    ("pomp", XD, "imagenet21k", 16, pomp(5, 4)),
    # PromptKD scripts/promptkd/base2new_train.sh: the weight by data set; xd_train.sh: one weight.
    *(
        ("promptkd", B2N, name, EVERY_IMAGE, promptkd(9, 200.0))
        for name in ("fgvc_aircraft", "oxford_flowers", "dtd")
    ),
    *(
        ("promptkd", B2N, name, EVERY_IMAGE, promptkd(9, 1000.0))
        for name in ("imagenet", "caltech101", "eurosat", "food101", "oxford_pets")
    ),
    *(
        ("promptkd", B2N, name, EVERY_IMAGE, promptkd(9, 1000.0))
        for name in ("stanford_cars", "sun397", "ucf101")
    ),
    *(("promptkd", XD, name, EVERY_IMAGE, promptkd(3, 1000.0)) for name in ("dtd", "caltech101")),
    # CLIP-Adapter README.md: CoOp's commands.
    *(("clip-adapter", FEW, "imagenet", shots, {"epochs": 50, **ADAPTER}) for shots in (1, 16)),
    ("clip-adapter", FEW, "dtd", 16, {"epochs": 200, **ADAPTER}),
    ("clip-adapter", FEW, "dtd", 4, {"epochs": 100, **ADAPTER}),
    ("clip-adapter", FEW, "dtd", 1, {"epochs": 50, **ADAPTER}),
    # RPP's own protocol was not seen: POMP's, and PromptSRC's for tuning.
    ("rpp", "pretraining", "imagenet21k", 16, {**pomp(20, 4), "kd": True}),
    ("rpp", FEW, "dtd", 16, maple(50, 2.5e-3, length=4, depth=9, kd=False, sampled=0)),
    ("rpp", B2N, "dtd", 16, maple(20, 2.5e-3, length=4, depth=9, kd=False, sampled=0)),
]
LANGUAGE: dict[str, Option] = {"length": 4, "depth": 12, "encoders": "text"}
NAMED: list[tuple[str, str, str, str, dict[str, Option]]] = [
    # Method, name of the recipe, task, data set: what is not the default of its method.
    ("ivlp", "ivlp-20-1", B2N, "dtd", maple(20, 2.5e-3, length=4, depth=9)),
    *(
        ("ivlp", "ivlp-language-1", task, name, maple(epochs, 2.5e-3, **LANGUAGE))
        for task, name, epochs in ((B2N, "dtd", 5), (XD, "imagenet", 2))
    ),
    ("pomp", "pomp-20-2", "pretraining", "imagenet21k", pomp(20, 16)),
    ("pomp", "pomp-5-1", "pretraining", "imagenet21k", {**pomp(5, 4), "shards": 1}),
    ("rpp", "rpp-5-2", "pretraining", "imagenet21k", pomp(5, 4)),
]
KGCOOP_WORDINGS = {
    "oxford_pets": "a photo of a {}, a type of pet.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "dtd": "a photo of a {}, a type of texture.",
    "eurosat": "a centered satellite photo of {}.",
    "stanford_cars": "a photo of a {}.",
    "food101": "a photo of {}, a type of food.",
    "sun397": "a photo of a {}.",
    "caltech101": "a photo of a {}.",
    "ucf101": "a photo of a person doing {}.",
    "imagenet": "a photo of a {}.",
}
"""CUSTOM_TEMPLATES of htyao89/KgCoOp trainers/kgcoop.py; CoOp's and CLIP-Adapter's have
"{} texture." for DTD."""


def chosen(method: str, task: str, source: str, shots: int, name: str | None = None) -> Recipe:
    learning = METHODS[method].learning
    assert learning is not None
    return select(learning.recipes, task, "coop", name, source=source, shots=shots)


def settings(method: str, recipe: Recipe) -> dict[str, Option]:
    """All settings of a training by name: the recipe's values and the method's options."""
    component = METHODS[method]
    return {**options(component), **dict(recipe.options), **recipe.values()}


def check(method: str, recipe: Recipe, official: dict[str, Option]) -> None:
    ours = settings(method, recipe)
    common = {"schedule": "cosine", "optimiser": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
    warm = {"warmup_epochs": 1, "warmup_lr": 1e-5, "augment": CROP, "views": 1, "shards": 1}
    expected = {**common, **warm, **official}
    assert {name: ours[name] for name in expected} == expected
    assert recipe.shots == 16


@pytest.mark.parametrize(
    ("method", "task", "source", "shots", "official"),
    OFFICIAL,
    ids=["-".join(map(str, row[:4])) for row in OFFICIAL],
)
def test_the_default_recipe_is_that_of_the_official_code(
    method: str, task: str, source: str, shots: int, official: dict[str, Option]
) -> None:
    check(method, chosen(method, task, source, shots), official)


@pytest.mark.parametrize(("method", "name", "task", "source", "official"), NAMED)
def test_a_named_recipe_is_that_of_the_official_code(
    method: str, name: str, task: str, source: str, official: dict[str, Option]
) -> None:
    check(method, chosen(method, task, source, 16, name), official)


@pytest.mark.parametrize("name", [None, "kgcoop-1", "kgcoop-squared-1"])
@pytest.mark.parametrize(("dataset", "wording"), KGCOOP_WORDINGS.items())
def test_kgcoop_is_guided_by_its_own_wordings(dataset: str, wording: str, name: str | None) -> None:
    recipe = chosen("kgcoop", B2N, dataset, 16, name)
    crafted = wordings(str(settings("kgcoop", recipe)["crafted"]))
    assert (crafted or (REGISTRY.get("datasets", dataset).template,)) == (wording,)
    squared = recipe.schedule == "cosine-squared"
    assert squared == (name == "kgcoop-squared-1")


def test_epoch_two_of_five_is_a_run_of_two_epochs() -> None:
    """The transfer scripts of VPT, IVLP and language prompting load epoch 2 of a run of 5."""
    for method, name in (("vpt", None), ("ivlp", None), ("ivlp", "ivlp-language-1")):
        transfer = dict(chosen(method, XD, "imagenet", 16, name).choice().options)
        five = dict(chosen(method, B2N, "imagenet", 16, name).choice().options)
        assert (transfer["epochs"], five["epochs"]) == (2, 5)
        for epoch in range(2):
            assert learning_rate(transfer, epoch) == learning_rate(five, epoch)


def test_recipes_that_differ_by_data_set_or_shots_share_a_row() -> None:
    tasks = {"coop": B2N, "kgcoop": B2N, "promptkd": B2N, "clip-adapter": FEW, "promptsrc": FEW}
    for method, task in tasks.items():
        names = set()
        for source in ("imagenet", "dtd", "caltech101"):
            recipe = chosen(method, task, source, 16)
            names.add(recipe.protocol or recipe.name)
        assert len(names) == 1, method


def test_every_published_recipe_is_checked_here_or_elsewhere() -> None:
    """A new recipe needs a line in the tables above, or a test of its own."""
    elsewhere = (
        *("tcp", "mma", "clip-lora", "taskres", "gda", "linear-probe"),
        *("tip-adapter", "tip-adapter-f"),
    )
    checked = {chosen(*row[:4]).name for row in OFFICIAL}
    checked |= {chosen(row[0], row[2], row[3], 16, row[1]).name for row in NAMED}
    checked |= {
        chosen("kgcoop", B2N, name, 16, protocol).name
        for name in KGCOOP_WORDINGS
        for protocol in ("kgcoop-1", "kgcoop-squared-1")
    }
    # The variants of one process, and what no official file sets.
    assumed = {"pomp-regions-1", "pomp-regions-2"}  # tests/tasks/test_tuned_on_regions.py
    assumed |= {"pomp-20-1", "pomp-tune-1", "rpp-20-1", "rpp-5-1"}
    for method, component in METHODS.items():
        for recipe in component.learning.recipes if component.learning else ():
            if recipe.suite == "demo-2" or method in elsewhere:
                continue
            assert recipe.name in checked | assumed, recipe.name

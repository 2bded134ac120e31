"""The words of CLIP_benchmark's command line (LAION-AI/CLIP_benchmark), as words of this one.

A word with the same meaning here is replaced; one that changes no score is left out with a remark;
any other is refused in one line, which says the word to use. `eval` is `run`, and what its words
leave open is as there: zero-shot, on CIFAR-10, with ViT-B-32-quickgelu/laion400m_e32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import product
from pathlib import Path

from rppbench.commands.dataset_names import HUB, on_disk
from rppbench.commands.lists import choices, names
from rppbench.errors import UsageError
from rppbench.files.lines import LISTS
from rppbench.planning.settings import DEFAULTS

VERBS = {"run": "run", "plan": "plan", "eval": "run", "build": "leaderboard"}
"""Commands whose words may be CLIP_benchmark's, and what they are here."""
BUILD = (
    "`build` is `leaderboard` here: `rppbench leaderboard --output DIR` makes tables, and .csv "
    "files, of the records in DIR; results of other programs: `rppbench import`"
)
MODEL = "ViT-B-32-quickgelu/laion400m_e32"
DATASET = "cifar10"
MODEL_COLLECTIONS = (
    *("openai", "openclip_base", "openclip_multilingual"),
    *("openclip_all", "openclip_full"),
)
SHARDS = "wds/"

TASKS = ("zeroshot_classification", "linear_probe", "auto")
OTHER_TASKS = ("zeroshot_retrieval", "captioning", "image_caption_selection")

HARMLESS = {
    "--skip-existing": DEFAULTS["skip_existing"],
    "--no-amp": DEFAULTS["no_amp"],
    "--quiet": "is not needed: bars are drawn on a terminal alone",
    "--not": "is left out",  # '--not quiet', as its README has it
    "--normalize": "is not needed: features are always of unit length",
    "--skip-load": "is not needed: features that are stored are used",
    "--dump-classnames": "is left out: class names are those of the data set",
    "--dump-templates": "is left out: `rppbench info DATASET` prints the wording",
    "--feature-root": "is left out: features are stored in $RPPBENCH_CACHE",
    "--wds-cache-dir": "is left out: archives are read where they lie",
    "--fewshot-lr": "is left out: linear-probe is fitted by L-BFGS, without a rate",
    "--fewshot-epochs": "is left out: linear-probe is fitted by L-BFGS, without epochs",
    "--val-proportion": "is left out: linear-probe is tuned on validation images of its recipe",
    "--val-split": "is left out: linear-probe is tuned on validation images of its recipe",
}
"""Words that change no score of what runs here."""
REFUSED = {
    "--custom-template-file": "files of wordings are not read; give one wording, --method "
    '"zeroshot:template=a photo of a {}." (with a comma in it: --set "template=..."), or '
    "zeroshot:template=ensemble",
    "--custom-classname-file": "class names come with the images: folder:PATH or json:FILE",
    "--annotation-file": "retrieval is not a task here",
    "--recall-k": "retrieval is not a task here; --metric of `leaderboard` chooses the metric",
    "--save-clf": "a classifier is written by `rppbench export-classifier`",
    "--load-clfs": "classifiers are not averaged; `rppbench predict` uses an exported prompt",
    "--model-cache-dir": "weights are stored in the hub's cache: set HF_HOME",
    "--distributed": "run the same command under torchrun, or with --engine local",
}
"""Words without a counterpart, and what to use."""
SWITCHES = (
    *("--skip-existing", "--no-amp", "--quiet", "--skip-load", "--distributed"),
    *("--dump-classnames", "--dump-templates"),
)
"""Words that take no value."""
OURS = (
    *("--dataset-root", "--pretrained-model", "--language", "--split", "--test-split"),
    *("--train-split", "--model-type", "--fewshot-k"),
)
"""Words that are replaced."""
WORDS = {*HARMLESS, *REFUSED, *OURS}
EXAMINED = ("--task", "--model", "--pretrained", "--dataset", "--output", "--method", "--data")
"""Words of both programs, whose values are examined."""

Flags = dict[str, list[str]]


def translated(argv: Sequence[str], warn: Callable[[str], None]) -> list[str]:
    """The arguments in the words of this program; those without a foreign word are unchanged.

    argv: with dashes in the names of flags. `warn` gets a line for each word that is left out.
    UsageError for a word that has no counterpart.
    """
    verb = next((word for word in argv if not word.startswith("-")), "")
    if not {"--help", "-h"}.isdisjoint(argv):
        return [VERBS[word] if word == verb else word for word in argv]
    if verb == "build":
        raise UsageError(BUILD)
    head, flags, rest = _parted(argv)
    tasks = [name for text in flags.get("--task", ()) for name in choices(text)]
    output = flags.get("--output", [""])[-1]
    foreign = (
        verb == "eval"
        or not WORDS.isdisjoint(flags)
        or not {*TASKS, *OTHER_TASKS}.isdisjoint(tasks)
        or _is_file(output)
    )
    weights = [tag for text in flags.get("--pretrained", ()) for tag in text.split(",") if tag]
    if not foreign and len(weights) < 2:
        return list(argv)
    _refuse(flags, tasks)
    _join_weights(flags, weights)
    for flag in [flag for flag in flags if flag in HARMLESS]:
        warn(f"{flag} {HARMLESS[flag]}")
        del flags[flag]
    if verb == "eval":
        _fill(flags, warn)
    if foreign:
        _replace_task(flags, tasks)
    if foreign and "--method" not in flags and "--config" not in rest:
        flags["--method"] = ["zeroshot"]
    for flag in ("--output", "--data"):  # the last one counts
        if flag in flags:
            flags[flag] = flags[flag][-1:]
    _replace_output(flags, warn)
    _replace_root(flags)
    words = [word for flag, values in flags.items() for word in (flag, *values)]
    return [*(VERBS[word] if word == verb else word for word in head), *words, *rest]


def misspelt(flag: str) -> str:
    """The word of CLIP_benchmark that a flag is nearly; '' if there is none."""
    return next(iter(get_close_matches(flag, WORDS, n=1, cutoff=0.85)), "")


def _parted(argv: Sequence[str]) -> tuple[list[str], Flags, list[str]]:
    """The command, the flags that are looked at with their values, and all other words."""
    head: list[str] = []
    rest: list[str] = []
    flags: Flags = {}
    to = head
    for word in argv:
        flag, equals, value = word.partition("=")
        if flag in WORDS or flag in EXAMINED:
            to = flags.setdefault(flag, [])
            to += [value] if equals else []
            if equals or flag in SWITCHES:
                to = rest
        elif word.startswith("-") and not word[1:].isdecimal():
            to = rest
            rest.append(word)
        else:
            to.append(word)
    return head, flags, rest


def _is_file(output: str) -> bool:
    """Whether --output names a file of results, or one for each of several."""
    return output.endswith(".json") or "{" in output


def _join_weights(flags: Flags, weights: Sequence[str]) -> None:
    """`--pretrained-model FILE` is --model; several --pretrained go with every --model."""
    if named := flags.pop("--pretrained-model", None):
        for name in named:
            if name in MODEL_COLLECTIONS:
                raise UsageError(
                    f"--pretrained-model {name}: collections of models are not known; name them, "
                    "--model MODEL/TAG ..., or a text file with one a line"
                )
        flags["--model"] = named
        flags.pop("--pretrained", None)
    elif len(weights) > 1 and flags.get("--model"):
        models = [name for text in flags["--model"] for name in text.split(",") if name]
        flags["--model"] = [f"{model}/{tag}" for model, tag in product(models, weights)]
        del flags["--pretrained"]


def _refuse(flags: Flags, tasks: Sequence[str]) -> None:
    """UsageError for what has no counterpart."""
    for flag in flags:
        if flag in REFUSED:
            raise UsageError(f"{flag}: {REFUSED[flag]}")
    for task in tasks:
        if task in OTHER_TASKS:
            raise UsageError(f"--task {task}: not a task here; `rppbench list tasks` has them all")
    scored = "test images are scored; `rppbench tune` scores validation images"
    only = {
        "--language": ("en", "class names and wordings are English; name others in json:FILE"),
        "--split": ("test", scored),
        "--test-split": ("test", scored),
        "--train-split": ("train", "methods learn from the training images"),
        "--model-type": ("open_clip", "models are those of open_clip: --model hf-hub:ORG/NAME"),
    }
    for flag, (value, advice) in only.items():
        for given in flags.pop(flag, ()):
            if given != value:
                raise UsageError(f"{flag} {given}: {advice}")


def _fill(flags: Flags, warn: Callable[[str], None]) -> None:
    """The defaults of CLIP_benchmark's `eval`."""
    if not flags.get("--dataset"):
        flags["--dataset"] = [DATASET]
        warn(f"--dataset {DATASET}, as in CLIP_benchmark; name others with --dataset")
    if not flags.get("--model"):
        model, _, tag = MODEL.partition("/")
        flags["--model"] = [f"{model}/{flags.pop('--pretrained', [tag])[-1]}"]
        warn(f"--model {flags['--model'][0]}, as in CLIP_benchmark; name others with --model")


def _replace_task(flags: Flags, tasks: Sequence[str]) -> None:
    """`zeroshot_classification` is method zeroshot; `linear_probe` a method on task few-shot."""
    shots = flags.pop("--fewshot-k", [])
    flags.pop("--task", None)
    kept = [text for text in tasks if text not in TASKS]
    if "linear_probe" in tasks:
        if not shots or shots[-1].startswith("-"):
            raise UsageError(
                "--task linear_probe on all training images is not here; on N images of each "
                "class: --method linear-probe --task few-shot --shots N"
            )
        flags.setdefault("--method", []).append("linear-probe")
        kept.append("few-shot")
        flags["--shots"] = shots
    if kept:
        flags["--task"] = kept


def _replace_output(flags: Flags, warn: Callable[[str], None]) -> None:
    """--output is a folder: that of the file, without the parts that are a template."""
    output = flags.get("--output", [""])[-1]
    if not _is_file(output):
        return  # a folder already
    parts: list[str] = []
    for part in Path(output).parts[:-1]:
        if "{" in part:
            break
        parts.append(part)
    folder = str(Path(*parts)) if parts else "runs"
    flags["--output"] = [folder]
    warn(f"--output is a folder here: records are in {folder}, tables by `rppbench leaderboard`")


def _replace_root(flags: Flags) -> None:
    """--dataset-root is --data; a folder of archives is wds:PATH."""
    root = next(iter(flags.pop("--dataset-root", ())), None)
    if root is None:
        return
    given = [name for text in flags.get("--dataset", ()) for name in names(text)]
    if root.startswith("https://"):
        _refuse_remote(root, given)
        return
    base, brace, _ = root.partition("{")
    if given:
        flags["--dataset"] = placed = [_placed(root, bool(brace), name) for name in given]
        if not set(given) & set(placed):
            return  # all are named by their paths
    if brace and not base.endswith("/"):
        base = base.rpartition("/")[0]
    flags["--data"] = [str(Path(base or "."))]


def _refuse_remote(root: str, given: Sequence[str]) -> None:
    """UsageError for archives on the hub, unless a copy is below the data root."""
    from rppbench.contracts.dataset import data_root

    for name in given:
        plain = name.removeprefix(SHARDS)
        places = (f"wds_{plain.replace('/', '-')}", f"{SHARDS}{plain}")
        if Path(name).suffix in LISTS:
            plain, places = "NAME", (f"{SHARDS}*", "wds_*")
        if not any(folder.is_dir() for place in places for folder in data_root().glob(place)):
            repository = _filled(root, plain).removeprefix(HUB).split("/tree/")[0]
            raise UsageError(f"--dataset-root {root}: {on_disk(repository)}")


def _placed(root: str, template: bool, name: str) -> str:
    """A data set whose archives are in the root itself, by their path."""
    plain = name.removeprefix(SHARDS)
    place = _filled(root, plain)
    if (Path(place) / "classnames.txt").is_file() or (template and plain != name):
        return f"wds:{place}"
    return name


def _filled(root: str, name: str) -> str:
    """The template of a root for a data set, as CLIP_benchmark fills it."""
    cleaned = name.replace("/", "-")
    return root.replace("{dataset_cleaned}", cleaned).replace("{dataset}", name).rstrip("/")

"""What users of CLIP_benchmark type: its README with the program's name replaced."""

from __future__ import annotations

import re
import shlex
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from support.roots import coop_root, torchvision_root
from support.tiny import make_tiny_clip

from rppbench.cli import main
from rppbench.commands.clip_benchmark import translated
from rppbench.commands.lists import choices, names, numbers
from rppbench.errors import UsageError
from rppbench.planning.backbone_names import backbones

B32 = "--model ViT-B-32-quickgelu --pretrained laion400m_e32"


ROBUSTNESS = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with small copies in 'data', and the files that commands name."""
    for name in ("cifar10", "mnist"):
        torchvision_root.make(tmp_path / "data", name, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "data"))
    for folder in ("wds/mnist", "ROOT/wds_vtab-mnist"):
        archives(tmp_path / folder)
    (tmp_path / "models.txt").write_text("ViT-B-32,openai\nViT-B-16,openai\n")
    (tmp_path / "skip.yaml").write_text("method: [zeroshot]\nskip_existing: true\n")
    (tmp_path / "datasets.txt").write_text("cifar10\nmnist\nvoc2007\n")
    return tmp_path


def archives(folder: Path) -> None:
    """One archive of two images, in CLIP_benchmark's layout."""
    (folder / "test").mkdir(parents=True)
    (folder / "classnames.txt").write_text("zero\none\n")
    (folder / "test/nshards.txt").write_text("1")
    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with tarfile.open(folder / "test/0.tar", "w") as archive:
        for label in (0, 1):
            for ending, content in (("png", picture.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{label}.{ending}")
                member.size = len(content)
                archive.addfile(member, BytesIO(content))


def planned(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The table that the command's plan prints, and its remarks."""
    verb, *rest = shlex.split(words)
    argv = [verb, *rest] if verb == "plan" else [verb, *rest, "--dry-run"]
    status = main(argv)
    printed = capsys.readouterr()
    blocked = status == 2 and "blocked" in printed.out  # its data is not here
    assert status == 0 or blocked, printed.err
    return printed.out, printed.err


TYPED = [
    (f"eval --dataset=cifar10 --task=zeroshot_classification {B32} --batch_size=64", ["cifar10"]),
    (
        "run --dataset=cifar10 --task=zeroshot_classification --pretrained=laion400m_e32 "
        "--model=ViT-B-32-quickgelu --output=result.json --batch_size=64",
        ["cifar10", "zeroshot"],
    ),
    ("run --method zeroshot --dataset cifar10", ["cifar10"]),
    ("run --method zeroshot --dataset imagenet1k", ["imagenet "]),
    (f"eval --dataset=vtab/eurosat --task=zeroshot_classification {B32}", ["eurosat"]),
    (f"eval --dataset vtab+ {B32}", ["imagenet_sketch", "cifar100", "stanford_cars", "country211"]),
    (f"eval --dataset imagenet_robustness {B32}", ["imagenetv2", "imagenet_a", "imagenet_r"]),
    (f"eval --dataset datasets.txt {B32}", ["cifar10", "mnist"]),
    (f'eval --dataset wds/mnist --dataset_root "wds/{{dataset}}" {B32}', ["wds:wds/mnist"]),
    (
        'eval --pretrained_model models.txt --dataset cifar10 --dataset_root "data/{dataset}" '
        '--output "{dataset}_{pretrained}_{model}_{language}_{task}.json"',
        ["ViT-B-32/openai", "ViT-B-16/openai"],
    ),
    ("run --model ViT-B-32,openai --dataset cifar10 --method zeroshot", ["ViT-B-32/openai"]),
    (
        "eval --model ViT-B-32 ViT-B-16 --pretrained openai laion400m_e32 --dataset cifar10",
        ["ViT-B-16/laion400m_e32", "ViT-B-32/openai"],
    ),
    (f"eval --dataset cifar10 mnist --skip_existing {B32}", ["mnist"]),
    (f"eval --dataset cifar10 --no_amp {B32}", ["cifar10"]),
    ("plan --method zeroshot,coop --seed 1,2,3 --dataset cifar10,mnist", ["coop", "mnist"]),
    (
        f"eval --dataset=cifar10 --task=linear_probe {B32} --fewshot_k 5 --fewshot_lr 0.1 "
        "--fewshot_epochs 20 --train_split train --test_split test",
        ["linear-probe", "few-shot"],
    ),
    (
        "eval --dataset wds/vtab/mnist --dataset_root ROOT/wds_vtab-mnist/ " + B32,
        ["wds:ROOT/wds_vtab-mnist"],
    ),
    (
        "eval --pretrained_model ViT-B-32,openai --dataset cifar10 --not quiet --language en",
        ["cif"],
    ),
]
"""Commands and words of the table that they print."""


@pytest.mark.parametrize(("words", "expected"), TYPED)
def test_a_command_of_clip_benchmark_plans(
    words: str, expected: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _ = planned(words, capsys)
    for word in expected:
        assert word in table, table


REFUSED = [
    ("build benchmark_*.json --output benchmark.csv", "`build` is `leaderboard` here"),
    ("eval --dataset cifar10 --custom_template_file cupl.json", "zeroshot:template="),
    ("eval --dataset cifar10 --custom_classname_file names.json", "folder:PATH or json:FILE"),
    (
        "eval --dataset wds/vtab/cifar10 --dataset_root "
        "https://huggingface.co/datasets/clip-benchmark/wds_{dataset_cleaned}/tree/main",
        "hf download clip-benchmark/wds_vtab-cifar10 --repo-type dataset",
    ),
    (
        "run --method zeroshot --dataset "
        "https://huggingface.co/datasets/clip-benchmark/wds_vtab-cifar10/tree/main",
        "hf download clip-benchmark/wds_vtab-cifar10 --repo-type dataset",
    ),
    (
        "eval --pretrained_model models.txt --dataset datasets.txt --dataset_root "
        '"https://huggingface.co/datasets/clip-benchmark/wds_{dataset_cleaned}/tree/main"',
        "hf download clip-benchmark/wds_NAME --repo-type dataset",
    ),
    ("eval --dataset=mscoco_captions --task=zeroshot_retrieval", "not a task here"),
    ("eval --dataset=mscoco_captions --task=captioning --model=coca_ViT-L-14", "not a task here"),
    ("eval --dataset=mscoco_captions", "it is for retrieval or captioning"),
    ("eval --dataset=sugar_crepe/add_att", "it is for retrieval or captioning"),
    ("eval --dataset=voc2007_multilabel", "archives of it are wds/voc2007_multilabel"),
    ("eval --dataset=tfds/cifar10", "try cifar10"),
    ("eval --dataset=imagenet1k --language=zh", "class names and wordings are English"),
    ("eval --model_type ja_clip --dataset imagenet1k", "hf-hub:ORG/NAME"),
    ("eval --pretrained_model openai --dataset cifar10", "collections of models are not known"),
    ("eval --dataset=cifar10 --task=linear_probe", "--method linear-probe --task few-shot"),
    ("eval --dataset retrieval", "it is for retrieval or captioning"),
    ("run --method zeroshot --dataset missing.txt", "cannot read the list of data sets"),
    ("run --method zeroshot --seed 1,x", "argument --seed: '1,x' is not an integer"),
    (
        "run --method zeroshot --model ViT-B-32/openai --pretrained openai",
        "'ViT-B-32/openai' names its weights already",
    ),
    ("run --method zeroshot --detach --debug", "--detach in others: choose one"),
    ("run --method zeroshot --model ViT-B-99/openai", "near names: ViT-B-32/openai"),
    ("run --method zeroshot --skip-existng", "did you mean '--skip-existing'?"),
    ("run --method zeroshot --overwritte all", "did you mean '--overwrite'?"),
    ("run --config skip.yaml", "'skip_existing' is the default here: a cell with a record is"),
]


@pytest.mark.parametrize(("words", "advice"), REFUSED)
def test_or_one_line_says_the_word_to_use(
    words: str, advice: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(words)) == 2
    message = capsys.readouterr().err
    assert advice in message
    errors = [line for line in message.splitlines() if line.startswith("rppbench: error: ")]
    assert len(errors) == 1


def test_what_is_left_out_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, remarks = planned(
        f"eval --dataset datasets.txt --skip_existing --no_amp --output x/r.json {B32}", capsys
    )
    assert "--skip-existing is the default here" in remarks
    assert "--no-amp is the default here" in remarks
    assert "records are in x, tables by" in remarks
    assert "datasets.txt: 1 of 3 left out, which nothing here reads: voc2007" in remarks


def test_a_command_of_clip_benchmark_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "eval --dataset=cifar10,mnist --task=zeroshot_classification --model demo --limit 8"
    assert main([*shlex.split(words), "--output", "results/{dataset}.json"]) == 0
    printed = capsys.readouterr()
    assert "CIFAR-10" in printed.out
    assert "MNIST" in printed.out
    assert (root / "results").is_dir()


RUN = [words for words, _ in TYPED if not words.startswith("plan") and "vtab+" not in words]
"""All but the plan of coop, and the collection of which some sets are never on this machine."""


@pytest.mark.slow
@pytest.mark.parametrize("words", RUN)
def test_what_was_typed_runs_on_small_folders(
    words: str, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of a tiny CLIP, whatever model is named: none of them is here."""
    tiny = make_tiny_clip()
    read = (tiny.model, tiny.tokenizer, tiny.preprocess)
    monkeypatch.setattr("rppbench.models.clip.read_open_clip", lambda source, precision: read)
    for name in (
        "imagenet",
        "eurosat",
        "imagenetv2",
        "imagenet_sketch",
        "imagenet_a",
        "imagenet_r",
    ):
        coop_root.make(root / "data", name, monkeypatch)
    status = main(shlex.split(words))
    log = capsys.readouterr().err
    assert status == 0, log
    assert re.search(r"\b[1-9]\d* done, 0 had a record, 0 failed", log), log


def test_a_named_data_set_implies_its_suite(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = planned("plan --task pretraining --dataset imagenet21k --method zeroshot", capsys)
    assert "pretraining" in table
    assert "imagenet21k" in table
    named, _ = planned("plan --dataset eurosat --method coop", capsys)
    explicit, _ = planned(
        "plan --task cross-dataset:suite=coop --dataset eurosat --method coop", capsys
    )
    without = [re.sub(r"~[^|]*|about [^(]*|-+| +", " ", text) for text in (named, explicit)]
    assert without[0] == without[1], "but for estimates of time"


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("zeroshot,coop", ["zeroshot", "coop"]),
        ("rpp:kd=off,length=8", ["rpp:kd=off,length=8"]),
        ("rpp:kd=off,length=8,coop", ["rpp:kd=off,length=8", "coop"]),
        ("coop,rpp:kd=off,zeroshot", ["coop", "rpp:kd=off", "zeroshot"]),
        ("zeroshot:template=a photo of {}, a pet.", ["zeroshot:template=a photo of {}, a pet."]),
        ("coop,", ["coop"]),
    ],
)
def test_a_comma_ends_a_method_only_before_a_name(text: str, split: list[str]) -> None:
    assert choices(text) == split


def test_commas_between_data_sets_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine,yours").mkdir()
    assert names("dtd,eurosat") == ["dtd", "eurosat"]
    assert names("folder:mine,yours") == ["folder:mine,yours"]
    assert names("folder:mine,dtd") == ["folder:mine", "dtd"]
    assert numbers("1,2,3") == [1, 2, 3]
    with pytest.raises(UsageError, match="not an integer"):
        numbers("1.5")


def test_weights_behind_a_model_are_its_own() -> None:
    assert backbones(("ViT-B-32,openai",), None) == ("ViT-B-32/openai",)
    assert backbones(("ViT-B/32,openai,ViT-B-16/openai",), None) == (
        "ViT-B/32/openai",
        "ViT-B-16/openai",
    )
    assert backbones(("demo,ViT-B-16/openai",), None) == ("demo", "ViT-B-16/openai")
    assert backbones(("ViT-B-32,ViT-B-16",), "openai") == ("ViT-B-32/openai", "ViT-B-16/openai")


def test_options_and_config_files_keep_their_meaning() -> None:
    words = "run --config a.yaml --skip-existing --output a --output b --task"
    given = [*words.split(), "cross-dataset:suite=coop,source=imagenet"]
    remarks: list[str] = []
    kept = translated(given, remarks.append)
    assert "--method" not in kept
    assert "cross-dataset:suite=coop,source=imagenet" in kept
    assert kept[kept.index("--output") + 1 :][:1] == ["b"]
    assert "a" not in kept
    assert len(remarks) == 1


def test_words_of_this_program_are_left_as_they_are() -> None:
    said: list[str] = []
    for words in (
        "run --method coop --output a --output b --seed 1 2",
        "plan --model demo --pretrained x --dataset a b --set length=8",
    ):
        assert translated(words.split(), said.append) == words.split()
    assert not said

"""A classifier of images as a file that runs without rppbench, and a card that says how to use it.

    model.onnx or model.pt2   pixels [B, 3, S, S] -> features [B, E], logits [B, C],
                              probabilities [B, C]; B is free
    model.onnx.data           weights of an ONNX model that are too large for one file
    model.json                classes, preprocessing, inputs, outputs, digests, provenance

`model.pt2` is a program of `torch.export`, which `torch.export.load` reads. torch's older formats
(TorchScript) are deprecated in torch 2.13. The file is compared with the module before the card is
written, on a batch of another size than the one it was made with.

Shapes: B images, S side in pixels, E width of the embedding, C classes.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rppbench import __version__
from rppbench.errors import UsageError
from rppbench.files.atomic import write_atomically
from rppbench.files.digests import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rppbench.data.preprocess import Preprocess

FORMAT = 1
FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
"""Format -> its file."""
CARD = "model.json"
OUTPUTS = ("features", "logits", "probabilities")
TOLERANCE = 1e-4
"""Largest difference of a probability from that of the module."""
ONE_FILE = 1 << 30
"""Bytes of weights up to which an ONNX model is a single file; protobuf's limit is 2 GiB."""

Run = Callable[[Tensor], Sequence[Tensor]]


def write(
    folder: Path,
    form: str,
    module: nn.Module,
    preprocess: Preprocess,
    names: Sequence[str],
    provenance: Mapping[str, Any],
) -> None:
    """Write a module (pixels -> `OUTPUTS`) in float32 on the CPU to a new folder.

    form: a key of `FILES`. provenance: fields of the card that say what the module is.
    UsageError if the folder holds files or cannot be written, if a package is missing, if torch
    cannot express the module as a graph, and if the file gives other probabilities.
    """
    check_packages(form)
    path = folder / FILES[form]
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad(), _quiet():
            program = _traced(module, preprocess.size)
            run = _write_onnx(program, path) if form == "onnx" else _write_torch(program, path)
            _check(run, module, preprocess.size, path)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    card = {
        "format": FORMAT,
        "model": path.name,
        "input": {"pixels": ["batch", 3, preprocess.size, preprocess.size]},
        "outputs": list(OUTPUTS),
        "precision": "fp32",
        "preprocessing": {
            "size": preprocess.size,
            "resize": preprocess.resize,
            "interpolation": preprocess.interpolation,
            "channels": "RGB",
            "range": [0, 1],
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
        "classes": list(names),
        **provenance,
        "files": {one.name: sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()},
        "version": __version__,
    }
    # The card comes last: a folder without it is not a model.
    text = json.dumps({**card, "digest": digest(card)}, indent=1, ensure_ascii=False)
    write_atomically(folder / CARD, text + "\n")


def check_packages(form: str) -> None:
    """UsageError if a package that the format needs is not installed."""
    if form != "onnx":
        return
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"ONNX models need {error.name}, which is not installed: pip install 'rppbench[export]'"
        ) from error


def _traced(module: nn.Module, size: int) -> torch.export.ExportedProgram:
    """The module as a graph for any number of images. UsageError if torch cannot make one."""
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        return torch.export.export(
            module.eval(), (torch.zeros(2, 3, size, size),), dynamic_shapes=shapes
        )
    except Exception as error:  # torch raises errors of many types for code it cannot follow
        reason = str(error).strip().splitlines()
        raise UsageError(
            "torch cannot write this method or image tower as a graph: "
            f"{reason[0] if reason else type(error).__name__}"
        ) from error


def _write_torch(program: torch.export.ExportedProgram, path: Path) -> Run:
    # torch 2.13 cannot save a constant that is an empty view, as some methods hold.
    for name, value in program.constants.items():
        if isinstance(value, Tensor):
            program.constants[name] = value.clone(memory_format=torch.contiguous_format)
    torch.export.save(program, path)
    return torch.export.load(path).module()


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> Run:
    import onnxruntime

    size = sum(one.numel() * one.element_size() for one in program.state_dict.values())
    torch.onnx.export(
        program,
        (),
        path,
        input_names=["pixels"],
        output_names=list(OUTPUTS),
        external_data=size > ONE_FILE,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: [
        torch.from_numpy(one) for one in session.run(OUTPUTS, {"pixels": pixels.numpy()})
    ]


def _check(run: Run, module: nn.Module, size: int, path: Path) -> None:
    """UsageError if the file gives other probabilities than the module."""
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected, actual = module(pixels)[-1], run(pixels)[-1]
    difference = float((actual - expected).abs().max())
    if not difference <= TOLERANCE:
        raise UsageError(
            f"{path} gives other probabilities than `rppbench predict`, by up to {difference:.1g}: "
            "do not use it"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own workings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)

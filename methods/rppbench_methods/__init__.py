"""Built-in methods, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rppbench import hookimpl

if TYPE_CHECKING:
    from rppbench.contracts import Method


@hookimpl
def rppbench_methods() -> list[type[Method]]:
    """The built-in methods, in the order of `rppbench list methods`."""
    from rppbench_methods.clip_adapter import CLIPAdapter
    from rppbench_methods.clip_lora import CLIPLoRA
    from rppbench_methods.cocoop import CoCoOp
    from rppbench_methods.coop import CoOp
    from rppbench_methods.gda import GDA
    from rppbench_methods.ivlp import IVLP
    from rppbench_methods.kgcoop import KgCoOp
    from rppbench_methods.linear_probe import LinearProbe
    from rppbench_methods.maple import MaPLe
    from rppbench_methods.mma import MMA
    from rppbench_methods.pomp import POMP
    from rppbench_methods.promptkd import PromptKD
    from rppbench_methods.promptsrc import PromptSRC
    from rppbench_methods.rpp import RPP
    from rppbench_methods.taskres import TaskRes
    from rppbench_methods.tcp import TCP
    from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF
    from rppbench_methods.vpt import VPT
    from rppbench_methods.zeroshot import ZeroShot

    return [
        ZeroShot,
        LinearProbe,
        TipAdapter,
        TipAdapterF,
        GDA,
        CLIPAdapter,
        TaskRes,
        CoOp,
        CoCoOp,
        KgCoOp,
        TCP,
        VPT,
        IVLP,
        MaPLe,
        PromptSRC,
        PromptKD,
        MMA,
        CLIPLoRA,
        POMP,
        RPP,
    ]

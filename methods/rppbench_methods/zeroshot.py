"""Zero-shot CLIP: class names in a fixed wording; nothing is learned.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

from rppbench.contracts import Method, Prompts, Space, Templates
from rppbench.errors import UsageError, unknown

WORDS = ("dataset", "single", "select", "ensemble", "vild", "maskclip")

VILD = (
    "a photo of a {}.",
    "This is a photo of a {}",
    "There is a {} in the scene",
    "There is the {} in the scene",
    "a photo of a {} in the scene",
    *(
        wording.format(size, "{}")
        for wording in (
            "a photo of a {} {}.",
            "This is a photo of a {} {}.",
            "There is a {} {} in the scene.",
        )
        for size in ("small", "medium", "large")
    ),
)
"""The 14 wordings of ViLD (Gu et al., ICLR 2022) as in MendelXu/zsseg.baseline,
mask_former/modeling/clip_adapter/utils.py."""

SCENES = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
"""The wordings that MaskCLIP adds to CLIP's 80 (chongzhou96/MaskCLIP, prompt_engineering.py)."""


class ZeroShot(Method):
    """Class names in a fixed wording.

    `template` is 'dataset' (each data set's own wording), 'single' ("a photo of a {}."), 'ensemble'
    (the 80 wordings that CLIP used for ImageNet, features averaged), 'select' (the 7 of them that
    CLIP's authors found to suffice), 'vild' (ViLD's 14), 'maskclip' (the 80 and five of scenes, 85)
    or a wording with one '{}'.
    """

    name = "zeroshot"
    title = "Zero-shot CLIP"
    paper = "arXiv:2103.00020"
    origin = "github.com/openai/CLIP"
    licence = "MIT"
    learning = None

    def __init__(self, space: Space, *, template: str = "dataset") -> None:
        super().__init__(space)
        self.wordings = wordings(template)

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(self.wordings))


def one_wording(template: str) -> Callable[[str], str]:
    """The data set's own template -> the wording that `template` stands for.

    UsageError if it stands for several: learned text has one.
    """
    chosen = wordings(template)
    if len(chosen) > 1:
        raise UsageError(f"{template!r} has several wordings; learned text has one")
    return lambda own: chosen[0] if chosen else own


def wordings(template: str) -> tuple[str, ...]:
    """The wordings that `template` stands for; () is the data set's own. UsageError if unknown."""
    if template == "dataset":
        return ()
    if template == "single":
        return ("a photo of a {}.",)
    if template == "vild":
        return VILD
    if template in ("select", "ensemble", "maskclip"):
        from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

        chosen = SIMPLE_IMAGENET_TEMPLATES if template == "select" else OPENAI_IMAGENET_TEMPLATES
        added = SCENES if template == "maskclip" else ()
        return (*(fill("{}") for fill in chosen), *added)
    if template.count("{}") != 1:
        notes = ["or a wording with one '{}' for the class name"]
        raise unknown("template is named", template, WORDS, "templates", notes)
    return (template,)

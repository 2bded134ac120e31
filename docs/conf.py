"""The documentation site: `sphinx-build -W --keep-going -c docs . build/site`.

The root of the project is the source folder, so that a link between two pages leads to the same
page here and where the files are read as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

from made_pages import fill, markdown_docstring

from rppbench import __version__

project = "rppbench"
author = "rppbench maintainers"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "methods/README.md",
    "datasets/README.md",
    "datasets/world/README.md",
    "datasets/rppbench_datasets/world/licences/CREDITS.md",
    "tasks/README.md",
    "leaderboards/*.md",
    "leaderboards/embedded/README.md",
    "leaderboards/ablations/*.md",
    "benchmarks/README.md",
    "benchmarks/results/*.md",
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
]
exclude_patterns = [".*", "build", "dist", "runs", "data", "**/node_modules", "**/__pycache__"]

myst_heading_anchors = 4
smartquotes = False  # 'done' is a value
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False

html_theme = "furo"
html_title = f"rppbench {__version__}"
html_extra_path = ["site_root"]  # sends the address of the site to its first page
html_show_sourcelink = False
html_copy_source = False
copybutton_prompt_text = "$ "


def setup(app: Sphinx) -> None:
    """Connect what is made when the site is built."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", markdown_docstring)

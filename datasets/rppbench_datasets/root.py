"""Where the data of published data sets lies; the harness itself has to know it."""

from __future__ import annotations

from rppbench.contracts import data_root

__all__ = ["data_root"]

"""The suite that every task takes where none is named."""

DEFAULT_SUITE = "demo-2"
"""The embedded world, which needs no download."""

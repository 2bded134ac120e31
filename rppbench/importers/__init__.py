"""Readers of what other programs wrote: their runs, predictions and checkpoints."""

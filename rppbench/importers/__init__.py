"""Readers of files that other programs wrote: runs, predictions and checkpoints."""

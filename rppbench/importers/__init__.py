"""Reading what other programs wrote: runs, predictions, checkpoints."""

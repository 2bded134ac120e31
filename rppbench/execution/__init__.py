"""From cells to records: bench, runner, engines, workers."""

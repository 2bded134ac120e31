"""From cells to records: engines, workers, runner, bench."""

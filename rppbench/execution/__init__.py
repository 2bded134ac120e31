"""Cells are run and become records: engines, workers, runner, bench."""

"""Statistics of plain numbers: intervals, paired bootstrap, p-values, ranks, distributions."""

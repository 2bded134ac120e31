"""Statistics of plain numbers: intervals over seeds and images, p-values, ranks, power."""

"""Statistics without project types: intervals, bootstrap, ranks, distributions."""

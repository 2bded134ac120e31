"""Features of frozen towers: computed once, stored on disk, fetched again."""

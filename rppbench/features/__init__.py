"""Features of frozen towers, computed once and stored on disk: keys, store, files."""

"""Output to a terminal: console, tables, progress."""

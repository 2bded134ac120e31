"""What a person sees in a terminal: console, tables, progress."""

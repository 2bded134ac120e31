"""Row against row, and ablations: paired differences with their intervals."""

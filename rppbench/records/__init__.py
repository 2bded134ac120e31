"""What a run leaves behind: cells, trainings, records, and the store that keeps them."""

"""From a request to cells: settings, grids, input digests, and the state of each cell."""

"""From a request to cells: settings, grids, input digests, what is done and what is due."""

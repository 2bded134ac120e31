"""From a request to cells: settings, grids, fingerprints, what is done and what is due."""

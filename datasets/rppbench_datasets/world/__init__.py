"""The embedded world: shipped drawings, a renderer, scenes and two small CLIPs."""

"""The embedded world: artwork, renderer, scenes and two small CLIPs, all shipped."""

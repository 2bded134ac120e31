"""The training loop: optimizer, saved state, data parallelism, failures."""

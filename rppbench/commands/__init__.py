"""The commands: one module for each verb of `rppbench`."""

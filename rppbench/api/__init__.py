"""What Python programs and notebooks use, as names of `rppbench` itself."""

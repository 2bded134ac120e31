"""The pages of `rppbench report`: HTML that holds the numbers, and scripts that add to it."""

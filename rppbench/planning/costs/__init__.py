"""What cells cost before any has run: operations, and seconds on this machine."""

"""A real Slurm and a real Ray on this machine, and what runs there."""

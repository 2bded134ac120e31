"""Engines beyond one machine: a run in a shared folder, its workers, Slurm and Ray."""

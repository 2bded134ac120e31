"""Leaderboard tables as data, built from records, and the published numbers to match."""

"""Plugins: hook specifications, the registry of components by name, their options."""

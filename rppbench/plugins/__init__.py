"""The plugin registry: hook specifications, lookup by name, options."""

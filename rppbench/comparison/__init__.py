"""Paired comparison of methods: differences with intervals and p-values; ablations."""

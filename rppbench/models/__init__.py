"""Frozen CLIP models: identity, loading, tokens, two towers that take learned tokens, memory."""

"""CLIP: identity and loading of backbones, prompted towers, tokens, memory."""

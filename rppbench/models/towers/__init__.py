"""The kinds of towers that prompts can enter, one module for each library and architecture."""

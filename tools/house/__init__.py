"""Holds the tree to its own plan (docs/architecture.toml): rooms, names, and what docs and docstrings speak of."""

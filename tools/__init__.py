"""Pinned Go tools: the real judges of the tests, each built from a module of its own and cached."""

"""The policies, a module an area."""

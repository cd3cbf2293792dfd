"""The tables that hold users' rows."""

TABLES = ("users", "items", "idempotency_keys")
"""Each has `slot` first in its primary key."""

"""The app's fixtures, each area's in a module of its own; here they are only named."""

from __future__ import annotations

from tests.app.fixtures_postgres import databases, deployment, make_databases, postgres

__all__ = ["databases", "deployment", "make_databases", "postgres"]

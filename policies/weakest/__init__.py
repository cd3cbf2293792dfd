"""The weakest value of each field that a reference names, for the types of prod's plan: what the policies must catch.

`python -m policies.document` puts each into prod's plan and writes
docs/weakest.md: which policies fire, and why nothing does where nothing need.
"""

from __future__ import annotations

from policies.weakest import aws, kubernetes
from policies.weakest.weakening import GONE, Weakening

__all__ = ["GONE", "WEAKENINGS", "Weakening"]

WEAKENINGS = tuple(Weakening(token, *row) for token, rows in (*aws.ROWS, *kubernetes.ROWS) for row in rows)
"""Every row, type by type."""

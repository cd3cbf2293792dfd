"""Which inputs of a resource type cannot be changed in place: AWS's own provider replaces the resource."""

from __future__ import annotations

from facts.table import table


def source() -> str:
    """Where they were taken from, as a finding names it."""
    return table("replacements").cited


def replacing(token: str) -> list[str]:
    """The inputs (camelCase) of a Pulumi type that replace it; empty where no source has the type."""
    return list(table("replacements").content.get(token, {}).get("replaces", []))


def in_place(token: str) -> list[str]:
    """The inputs that were seen to change in place; what is in neither list is unknown."""
    return list(table("replacements").content.get(token, {}).get("in_place", []))

"""An account's bounds: quotas and their defaults, fixed limits, and the roles that a fresh one lacks."""

from __future__ import annotations

from dataclasses import dataclass

from facts.table import table


@dataclass(frozen=True)
class Quota:
    """A quota of Service Quotas: its service and code, a fresh account's default, and what it counts."""

    service: str
    code: str
    default: int
    what: str


def quota(name: str) -> Quota:
    """A quota by the table's name for it; KeyError where the table has none."""
    return Quota(**table("quotas").content[name])


def quotas() -> dict[str, Quota]:
    """Every quota of the table, by name."""
    return {name: quota(name) for name in table("quotas").content}


def quota_source() -> str:
    """Where the defaults were taken from."""
    return table("quotas").cited


def limit(name: str) -> int:
    """A fixed limit by the table's name for it; KeyError where the table has none."""
    return int(table("limits").content[name]["value"])


def limit_source(name: str) -> str:
    """What a limit counts, and the guide that says so."""
    return str(table("limits").content[name]["what"])


def service_linked_roles() -> dict[str, str]:
    """Names of roles that an account has only once something of the service was made in it, by service."""
    return dict(table("service_linked_roles").content)


def roles_source() -> str:
    """Where they were taken from."""
    return table("service_linked_roles").cited

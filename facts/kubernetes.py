"""EKS: versions and their support, add-ons that go with them, zones that it cannot be in."""

from __future__ import annotations

from datetime import date

from facts.table import table


def source() -> str:
    """Where the versions were taken from."""
    return table("kubernetes").cited


def versions() -> list[str]:
    """Every version that a source has, the oldest first."""
    return sorted(table("kubernetes").content, key=_order)


def supported_until(version: str) -> date | None:
    """The last day of a version's standard support; None where none was announced, or no source has the version."""
    day = table("kubernetes").content.get(version)
    return date.fromisoformat(day) if day else None


def supported(today: date) -> list[str]:
    """The versions in standard support on a day, the oldest first; those without an announced end are among them."""
    return [version for version in versions() if (end := supported_until(version)) is None or end >= today]


def add_on_versions(kubernetes: str, add_on: str) -> list[str] | None:
    """The versions of an add-on that are known to go with a Kubernetes version; None where no source says."""
    found: list[str] | None = table("add_ons").content.get(kubernetes, {}).get(add_on)
    return found


def add_on_source() -> str:
    """Where the add-ons' versions were taken from."""
    return table("add_ons").cited


def closed_zones(aws_region: str) -> dict[str, str]:
    """Zones of an AWS region in which EKS makes no control
    plane, to the zone's id (letters differ between accounts).
    """
    known = table("cluster_zones").content.get(aws_region)
    return {aws_region + letter: known["id"] for letter in known["letters"]} if known else {}


def zones_source() -> str:
    """Where the closed zones were taken from."""
    return table("cluster_zones").cited


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

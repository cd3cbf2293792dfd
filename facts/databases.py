"""RDS: between which regions it replicates automated backups. In which region a class is sold, no source has."""

from __future__ import annotations

from facts.table import table


def backup_regions(aws_region: str) -> frozenset[str] | None:
    """The AWS regions that backups of a region's databases
    can be replicated to; None where no source has the region.
    """
    known = table("backup_pairs").content.get(aws_region)
    return None if known is None else frozenset(known)


def backup_source() -> str:
    """Where the pairs were taken from."""
    return table("backup_pairs").cited

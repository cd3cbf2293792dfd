"""What a deployment stands on: account, domain, addresses, AWS regions, and whether anything runs in the clusters."""

from __future__ import annotations

from collections.abc import Iterator

from topology.steps.edit import Edit, Refusal


def account(edit: Edit) -> Iterator[Refusal]:
    """Another account has none of these resources."""
    if edit.before.account_id != edit.after.account_id:
        yield Refusal(
            "accountId",
            f"{edit.before.account_id} becomes {edit.after.account_id}: nothing that stands is in that account",
            "Make a stack of its own there, and move users by their shards' backups",
        )


def domain(edit: Edit) -> Iterator[Refusal]:
    """The domain is in the zone, the certificates and every client's address book."""
    for path, before, after in (
        ("domain", edit.before.domain, edit.after.domain),
        ("edge.hostedZoneId", edit.before.edge.hosted_zone_id, edit.after.edge.hosted_zone_id),
    ):
        if before != after:
            yield Refusal(
                path,
                f"{before or 'the zone of the program'} becomes {after or 'a zone of the program'}: "
                "zone, certificates and "
                "records are made anew, and the old name stops answering",
                "docs/runbooks/change.md, A new domain: the new name beside the old one first",
            )


def blocks(edit: Edit) -> Iterator[Refusal]:
    """A VPC cannot change its block: everything in it is made anew."""
    for before, after in edit.regions:
        if before.cidr != after.cidr:
            yield Refusal(
                f"regions.{after.name}.cidr",
                f"{before.cidr} becomes {after.cidr}: the VPC and all that is in it is made anew, databases included",
                "docs/runbooks/change.md, A region's address block: a new region beside it, then this one leaves",
            )


def aws_regions(edit: Edit) -> Iterator[Refusal]:
    """A region's name stays with the place that it was given to."""
    for before, after in edit.regions:
        if before.aws_region != after.aws_region:
            yield Refusal(
                f"regions.{after.name}.awsRegion",
                f"{before.aws_region} becomes {after.aws_region}: the whole region is made anew, empty, somewhere else",
                "docs/runbooks/change.md, Another AWS region: a new region beside it, then this one leaves",
            )


def zones(edit: Edit) -> Iterator[Refusal]:
    """A zone that leaves takes its subnets along, and what stands in them."""
    for before, after in edit.regions:
        if before.aws_region == after.aws_region and (gone := sorted(set(before.zones) - set(after.zones))):
            yield Refusal(
                f"regions.{after.name}.zones",
                f"{', '.join(gone)} leaves: its subnets are in use by nodes, load balancers, databases and Redis",
                "docs/runbooks/change.md, A zone: drain it first; a zone more is a step of its own",
            )


def emptied(edit: Edit) -> Iterator[Refusal]:
    """`deployed: false` is for the first `up` only: later it takes the app away from every region."""
    if edit.before.server.deployed and not edit.after.server.deployed:
        yield Refusal(
            "server.deployed",
            "true becomes false: every object in every cluster is deleted, and no region serves any more",
            "Leave it true; a region that has no image yet gets it by `make image` before its first `up`",
        )


def bared(edit: Edit) -> Iterator[Refusal]:
    """What keeps databases, stores and keys from a mistake is taken off only by somebody who says why."""
    way = "README, Deploy: before a destroy; say why, by `--accept`"
    if edit.before.protect and not edit.after.protect:
        yield Refusal(
            "protect",
            "true becomes false: the next edit, or `destroy`, deletes databases, stores and keys without a word",
            way,
        )
    if edit.before.protect and edit.before.keep_backups and not edit.after.keep_backups:
        yield Refusal(
            "keepBackups",
            "true becomes false: what is deleted leaves no final snapshot, no backups and no time of grace behind",
            way,
        )


RULES = (account, domain, blocks, aws_regions, zones, emptied, bared)

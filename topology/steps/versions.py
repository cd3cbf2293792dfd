"""Versions and sizes that go one way only, or by a procedure of their own."""

from __future__ import annotations

from collections.abc import Iterator

from topology.steps.edit import Edit, Refusal


def postgres(edit: Edit) -> Iterator[Refusal]:
    """A major version is an upgrade with replicas, extensions and statistics to look after."""
    before, after = edit.before.database.engine_version, edit.after.database.engine_version
    if _major(before) != _major(after):
        down = _numbers(after) < _numbers(before)
        yield Refusal(
            "database.engineVersion",
            f"Postgres {before} becomes {after}: "
            + (
                "RDS goes to no older version"
                if down
                else "RDS wants allowMajorVersionUpgrade, and replicas are made anew"
            ),
            "A restore into a new shard is the only way back"
            if down
            else "docs/runbooks/change.md, A major of Postgres",
        )
    elif _older(before, after):
        yield Refusal(
            "database.engineVersion", f"Postgres {before} becomes {after}", "RDS goes to no older version: leave it"
        )


def redis(edit: Edit) -> Iterator[Refusal]:
    """ElastiCache goes to no older version."""
    before, after = edit.before.redis.engine_version, edit.after.redis.engine_version
    if _older(before, after):
        yield Refusal(
            "redis.engineVersion",
            f"{before} becomes {after}: ElastiCache makes the nodes anew, and all sessions are lost",
            "Leave it: there is no way to an older version",
        )


def kubernetes(edit: Edit) -> Iterator[Refusal]:
    """EKS goes one minor at a time, and never back."""
    before, after = edit.before.cluster.version, edit.after.cluster.version
    if _older(before, after):
        yield Refusal(
            "cluster.version", f"Kubernetes {before} becomes {after}", "EKS goes to no older version: leave it"
        )
    elif _numbers(after) > [_numbers(before)[0], _numbers(before)[1] + 1]:
        yield Refusal(
            "cluster.version",
            f"Kubernetes {before} becomes {after}: EKS takes one minor at a time",
            f"First {_numbers(before)[0]}.{_numbers(before)[1] + 1}",
        )


def storage(edit: Edit) -> Iterator[Refusal]:
    """Storage never shrinks."""
    for path, before, after in (
        ("database.storageGib", edit.before.database.storage_gib, edit.after.database.storage_gib),
        ("database.maxStorageGib", edit.before.database.max_storage_gib, edit.after.database.max_storage_gib),
    ):
        if after < before:
            yield Refusal(
                path, f"{before} becomes {after}: RDS gives no storage back", "Leave it; a smaller one is a new shard"
            )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _major(version: str) -> int:
    return _numbers(version)[0]


def _older(before: str, after: str) -> bool:
    """Whether `after` is older, as far as both say: 16 is no older than 16.4."""
    one, other = _numbers(before), _numbers(after)
    shared = min(len(one), len(other))
    return other[:shared] < one[:shared]


RULES = (postgres, redis, kubernetes, storage)

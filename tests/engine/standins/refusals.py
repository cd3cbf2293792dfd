"""What AWS and its provider refuse of a change or a delete, as far as a program can bring it about.

Texts are the provider's or AWS's own where a source has them (hashicorp/terraform-provider-aws, its services rds and
elasticache, issues 27875 and 41931); each is raised before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facts.replacements import DATABASE, HELD, STORE
from tests.engine.standins.cloud import Refused

SECRET = "aws:secretsmanager/secret:Secret"
Values = Mapping[str, Any]


def of_update(token: str, before: Values, after: Values, live: Values) -> None:
    """Raises Refused where an update would be. `before` is what Pulumi's state has, `live` what AWS has."""
    for message in _of_database(before, after, live) if token == DATABASE else _of_store(token, before, after):
        raise Refused(message)


def of_delete(token: str, inputs: Values) -> None:
    """Raises Refused where a delete would be."""
    if token != DATABASE:
        return
    if inputs.get("deletionProtection"):
        raise Refused(
            "InvalidParameterCombination: Cannot delete protected DB Instance, please disable deletion protection"
        )
    if not inputs.get("skipFinalSnapshot") and not inputs.get("finalSnapshotIdentifier"):
        raise Refused("final_snapshot_identifier is required when skip_final_snapshot is false")


def settled(token: str, before: Values, after: Values) -> dict[str, Any]:
    """What AWS has after an update: what waits for the maintenance window is as it was."""
    waiting = HELD.get(token, frozenset()) if not after.get("applyImmediately") else frozenset()
    return {**after, **{name: before[name] for name in waiting if name in before and name in after}}


def name_kept_after(token: str, inputs: Values) -> bool:
    """Whether a deleted resource's name stays taken: a secret's, for its time of grace."""
    return token == SECRET and float(inputs.get("recoveryWindowInDays", 30)) > 0


def _of_database(before: Values, after: Values, live: Values) -> Iterator[str]:
    source, wanted = before.get("replicateSourceDb"), after.get("replicateSourceDb")
    if wanted and wanted != source:
        yield "cannot elect new source database for replication"
    if source and not wanted and not live.get("replicateSourceDb"):
        yield "InvalidDBInstanceState: DB Instance is not a read replica"
    if (
        float(after.get("allocatedStorage") or 0) < float(before.get("allocatedStorage") or 0)
        and "allocatedStorage" in after
    ):
        yield "InvalidParameterCombination: Invalid storage size: storage cannot be reduced"
    old, new = (str(values.get("engineVersion") or "") for values in (before, after))
    if old and new and old.split(".")[0] != new.split(".")[0]:
        if int(new.split(".")[0]) < int(old.split(".")[0]):
            yield f"InvalidParameterCombination: Cannot upgrade postgres from {old} to {new}"
        if not after.get("allowMajorVersionUpgrade"):
            yield (
                "InvalidParameterCombination: The AllowMajorVersionUpgrade flag must be present when "
                "upgrading to a new major version"
            )


def _of_store(token: str, before: Values, after: Values) -> Iterator[str]:
    if token == STORE and after.get("globalReplicationGroupId"):
        for name in ("nodeType", "engineVersion", "parameterGroupName"):
            if before.get(name) != after.get(name):
                yield "InvalidParameterValue: Cluster is part of a global cluster. Request rejected"

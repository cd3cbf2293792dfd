"""Names and tags: one rule for all of them.

Physical names carry project, stack and region, so that stacks and regions share an account; global services (IAM,
Route 53, CloudFront) need the region in the name as much as regional ones.
"""

from __future__ import annotations

from dataclasses import dataclass

PROJECT = "hal9"
GLOBAL = "global"
"""What stands in no region of the stack file, in place of a region's name: the edge, and all of us-east-1."""
DATABASE = "hal9"
"""The database that every shard has."""
CAPACITY_LABEL = "hal9.ai/capacity"
"""A node's label: `on-demand` or `spot`."""
SPOT_TAINT = ("spot", "true")
"""The specification's taint of spot nodes; `hal9-server` tolerates it, nothing else does."""
LONGEST_ROLE = "east-west"
"""The longest of the load balancers' target groups (load_balancers.py)."""
SHORTEST_LIMIT = 32
"""Characters of a target group's name (ELB API Reference, CreateTargetGroup): the least that AWS takes of all names here."""


@dataclass(frozen=True)
class Names:
    """Physical names and tags of one stack's resources."""

    stack: str
    owner: str

    def of(self, *parts: str) -> str:
        """`hal9-prod-us-west-gateway`: the name of a resource."""
        return "-".join((PROJECT, self.stack, *parts))

    def secret(self, name: str) -> str:
        """`hal9/prod/shard-0`: the name of a secret in Secrets Manager."""
        return f"{PROJECT}/{self.stack}/{name}"

    def tags(self, component: str, region: str, *, shard: int | None = None, name: str | None = None) -> dict[str, str]:
        """Tags of one resource. `region` is the specification's name of it, or `GLOBAL`."""
        tags = {
            "project": PROJECT,
            "stack": self.stack,
            "owner": self.owner,
            "region": region,
            "component": component,
        }
        if shard is not None:
            tags["shard"] = str(shard)
        if name is not None:
            tags["Name"] = name
        return tags

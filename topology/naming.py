"""Names and tags: one rule for all of them.

Physical names carry project, stack and region, so that stacks and regions share an account; global services (IAM,
Route 53, CloudFront) need the region in the name as much as regional ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from facts.account import limit

PROJECT = "hal9"
GLOBAL = "global"
"""What stands in no region of the stack file, in place of a region's name: the edge, and all of us-east-1."""
DATABASE = "hal9"
"""The database that every shard has."""
CAPACITY_LABEL = "hal9.ai/capacity"
"""A node's label: `on-demand` or `spot`."""
SPOT_TAINT = ("spot", "true")
"""The specification's taint of spot nodes; `hal9-server` tolerates it, nothing else does."""
"""The longest of the load balancers' target groups (load_balancers.py)."""
LIMIT = 63
"""Characters of a name that every service takes which says no less: RDS, EKS, IAM (facts/data/limits.json)."""
BALANCER_LIMIT = limit("target-group-name")
"""Characters of a load balancer's name and of a target group's."""
REDIS_LIMIT = limit("replication-group-id")
"""Characters of a replication group's id."""
_DIGEST = 7


@dataclass(frozen=True)
class Names:
    """Physical names and tags of one stack's resources."""

    stack: str
    owner: str

    def of(self, *parts: str) -> str:
        """`hal9-prod-us-west-gateway`: the name of a resource, within what every service takes."""
        return shortened("-".join((PROJECT, self.stack, *parts)), LIMIT)

    def of_balancer(self, *parts: str) -> str:
        """The name of a load balancer or target group."""
        return shortened(self.of(*parts), BALANCER_LIMIT)

    def of_redis(self, *parts: str) -> str:
        """The id of a replication group."""
        return shortened(self.of(*parts), REDIS_LIMIT)

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


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters: what is longer keeps its
    beginning, and a digest of the whole tells it apart.

    A name within the limit stays as it is, and a longer one is the same in every run.
    """
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name[: most - _DIGEST - 1].rstrip('-')}-{digest}"

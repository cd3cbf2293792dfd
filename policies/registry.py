"""Every policy there is, by name, in the order of the areas."""

from __future__ import annotations

from policies import cluster, compute, data, edge, identity, network
from policies.policy import Policy

POLICIES: dict[str, Policy] = {
    policy.name: policy for module in (network, data, compute, edge, identity, cluster) for policy in module.POLICIES
}

"""Every policy there is, by name, in the order of the areas."""

from __future__ import annotations

from policies import cluster, compute, data, edge, encryption, identity, mesh, network
from policies.policy import Policy

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for module in (network, data, encryption, compute, edge, identity, cluster, mesh)
    for policy in module.POLICIES
}

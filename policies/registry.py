"""Every policy there is, by name, in the order of the areas."""

from __future__ import annotations

from policies.policy import Policy
from policies.rules import cluster, compute, data, edge, encryption, iam, mesh, network

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for module in (network, data, encryption, compute, edge, iam, cluster, mesh)
    for policy in module.POLICIES
}

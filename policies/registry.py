"""Every policy there is, by name, in the order of the areas."""

from __future__ import annotations

from policies.policy import Policy
from policies.rules import (
    charts,
    cluster,
    compute,
    data,
    edge,
    encryption,
    examples,
    fields,
    iam,
    known,
    mesh,
    must_exist,
    network,
    principals,
    sources,
    steps,
)

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for module in (
        network,
        sources,
        data,
        encryption,
        compute,
        edge,
        iam,
        principals,
        cluster,
        charts,
        mesh,
        must_exist,
        fields,
        examples,
        known,
        steps,
    )
    for policy in module.POLICIES
}

"""One way to break each policy on prod's own plan, and nothing else with it.

A mutation puts a wrong value in one input; the tests also make the same input unknown, and take it out. `unknown` and
`absent` say what must follow: the policies that then fire, by default the broken one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policies import tokens
from tests.policies.edits import Path

REGIONS = ("us-west", "eu-central", "ap-south")
SERVER = tuple(f"{region}-deployment-hal9-hal9-server" for region in REGIONS)
GATEWAY = ("us-west-deployment-hal9-gateway-hal9-gateway",)
SCALERS = tuple(f"{region}-horizontalpodautoscaler-hal9-hal9-server-hpa" for region in REGIONS)
RULES = tuple(f"{region}-destinationrule-hal9-hal9-server" for region in REGIONS)
PARAMETERS = tuple(f"{region}-database" for region in REGIONS)
POD: Path = ("spec", "template", "spec")
BOX: Path = (*POD, "containers", 0)
ENFORCE = "pod-security.kubernetes.io/enforce"
WILD = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
ADMITS_ALL = {"rules": [{"from": [{"source": {"principals": ["cluster.local/ns/hal9/sa/hal9-server"]}}]}]}
NOTHING: frozenset[str] = frozenset()
_SOURCES = frozenset({"ingress-from-named-sources"})


@dataclass(frozen=True)
class Mutation:
    """`wrong` in the input at `path` of the resources `names` of a type must make `policy` fire, alone."""

    policy: str
    type: str
    names: tuple[str, ...]
    path: Path
    wrong: Any
    unknown: frozenset[str] | None = None
    absent: frozenset[str] | None = None
    also: frozenset[str] = NOTHING
    """Policies that cannot but fire as well, for the reason in `why`."""
    why: str = ""


MUTATIONS = (
    Mutation(
        "vpc-cidrs-disjoint",
        tokens.VPC,
        ("us-west",),
        ("cidrBlock",),
        "10.1.0.0/16",
        also=frozenset({"peering-mesh-complete", "data-routes-stay-inside", "ingress-from-named-sources"}),
        why="routes and groups of the other regions name a VPC's block, so no block changes without them",
    ),
    Mutation(
        "peering-mesh-complete",
        tokens.ROUTE,
        ("us-west-data-to-eu-central",),
        ("destinationCidrBlock",),
        "10.9.0.0/16",
        also=frozenset({"data-routes-stay-inside"}),
        why="the route is the data tier's: it leads to no VPC of the stack",
    ),
    Mutation(
        "three-azs-nat-per-az",
        tokens.SUBNET,
        ("us-west-public-us-west-2b",),
        ("availabilityZone",),
        "us-west-2a",
    ),
    Mutation(
        "subnets-give-no-public-address",
        tokens.SUBNET,
        ("us-west-public-us-west-2b",),
        ("mapPublicIpOnLaunch",),
        True,
    ),
    Mutation(
        "shards-reach-each-other",
        tokens.EGRESS,
        ("us-west-database-to-ap-south-1a-data",),
        ("fromPort",),
        5433,
        also=frozenset({"datastores-closed"}),
        why="a way out that is no database's port is a data store's way out",
    ),
    Mutation(
        "datastore-sg-source-restricted",
        tokens.INGRESS,
        ("us-west-database-from-eu-central-1a",),
        ("cidrIpv4",),
        "10.0.0.0/8",
        also=_SOURCES,
        why="10/8 is wider than the stack's VPCs",
        absent=frozenset({"datastore-sg-source-restricted"}),
    ),
    Mutation(
        "no-world-ingress-except-80-443",
        tokens.INGRESS,
        ("us-west-public-at-pods-8443",),
        ("cidrIpv4",),
        "0.0.0.0/0",
        also=_SOURCES,
        why="the world is no block of the stack's VPCs",
        unknown=_SOURCES,  # the world is judged at the deployment
        absent=NOTHING,
    ),
    Mutation(
        "default-security-group-closed",
        tokens.DEFAULT_SECURITY_GROUP,
        ("us-west-default",),
        ("ingress",),
        [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}],
    ),
    Mutation("flow-logs-on-every-vpc", tokens.FLOW_LOG, ("us-west",), ("trafficType",), "REJECT"),
    Mutation("replica-source-is-primary", tokens.RDS, ("shard-0-us-west-second",), ("tags", "shard"), "1"),
    Mutation("replica-promotable", tokens.RDS, ("shard-0-eu-central",), ("instanceClass",), "db.r6g.large"),
    Mutation("rds-private-encrypted-protected", tokens.RDS, ("shard-0-us-west",), ("publiclyAccessible",), True),
    Mutation("rds-watched", tokens.RDS, ("shard-0-us-west",), ("monitoringInterval",), 0),
    Mutation("rds-retention-explicit", tokens.RDS, ("shard-0-ap-south",), ("backupRetentionPeriod",), 0),
    Mutation("rds-tls-and-statement-log", tokens.RDS_PARAMETERS, PARAMETERS, ("parameters", 0, "value"), "0"),
    Mutation(
        "rds-backups-in-another-region",
        tokens.RDS_BACKUPS_ELSEWHERE,
        ("shard-0-us-west-backups-in-eu-central",),
        ("retentionPeriod",),
        1,
    ),
    Mutation("redis-tls-auth-multiaz", tokens.REDIS, ("us-west-cache",), ("transitEncryptionEnabled",), False),
    Mutation(
        "datastore-secondary-inherits",
        tokens.REDIS,
        ("eu-central-sessions-in-us-west",),
        ("nodeType",),
        "cache.r6g.large",
        absent=NOTHING,
    ),
    Mutation("global-datastore-parity", tokens.REDIS, ("eu-central-sessions-in-us-west",), ("numCacheClusters",), 1),
    Mutation("kms-keys-rotate", tokens.KEY, ("us-west-database",), ("enableKeyRotation",), False),
    Mutation("logs-kept-encrypted", tokens.LOG_GROUP, ("us-west-flows",), ("retentionInDays",), 1),
    Mutation("alarms-encrypted", tokens.TOPIC, ("us-west-alarms",), ("kmsMasterKeyId",), "", unknown=NOTHING),
    Mutation("secrets-under-customer-key", tokens.SECRET, ("shard-0-in-us-west",), ("recoveryWindowInDays",), 0),
    Mutation(
        "secret-inputs-marked",
        tokens.RDS,
        ("shard-0-us-west",),
        ("password",),
        "hunter2",
        unknown=NOTHING,
        absent=NOTHING,
    ),
    Mutation("registry-immutable-scanned", tokens.REPOSITORY, ("us-west",), ("imageTagMutability",), "MUTABLE"),
    Mutation(
        "spot-pools-diversified",
        tokens.NODE_GROUP,
        tuple(f"{region}-spot-{zone}" for region in REGIONS for zone in "abc"),
        ("instanceTypes",),
        ["m6i.2xlarge"],
    ),
    Mutation(
        "nodes-in-every-zone",
        tokens.SUBNET,
        ("us-west-private-us-west-2b",),
        ("availabilityZone",),
        "us-west-2a",
        also=frozenset({"three-azs-nat-per-az"}),
        why="a subnet is counted by both: where nodes are, and where anything is",
        unknown=frozenset({"three-azs-nat-per-az"}),
        absent=frozenset({"three-azs-nat-per-az"}),
    ),
    Mutation(
        "on-demand-floor",
        tokens.NODE_GROUP,
        tuple(f"{region}-on-demand-{zone}" for region in REGIONS for zone in "abc"),
        ("scalingConfig", "minSize"),
        0,
    ),
    Mutation(
        "region-capacity-n-minus-1",
        tokens.AUTOSCALER,
        SCALERS,
        ("spec", "minReplicas"),
        2,
        unknown=frozenset({"region-capacity-n-minus-1", "on-demand-floor"}),  # both ask for the minimum
        absent=frozenset({"region-capacity-n-minus-1", "on-demand-floor"}),
    ),
    Mutation("connection-budget", tokens.RDS_PARAMETERS, PARAMETERS, ("parameters", 4, "value"), "100"),
    Mutation("eks-private-logged-encrypted", tokens.EKS, ("us-west",), ("vpcConfig", "endpointPublicAccess"), True),
    Mutation(
        "nodes-hardened", tokens.LAUNCH_TEMPLATE, ("us-west-spot",), ("metadataOptions", "httpTokens"), "optional"
    ),
    Mutation("single-autoscaler-per-workload", tokens.DEPLOYMENT, SERVER[:1], ("spec", "replicas"), 10, absent=NOTHING),
    Mutation(
        "listener-tls13", tokens.LISTENER, ("us-west-public",), ("sslPolicy",), "ELBSecurityPolicy-TLS13-1-2-2021-06"
    ),
    Mutation("edge-firewalled", tokens.WEB_ACL, ("edge",), ("scope",), "REGIONAL"),
    Mutation(
        "edge-sets-security-headers",
        tokens.DISTRIBUTION,
        ("edge",),
        ("defaultCacheBehavior", "responseHeadersPolicyId"),
        "",
        unknown=NOTHING,
    ),
    Mutation(
        "edge-covers-all-regions",
        tokens.RECORD,
        ("origin-us-west",),
        ("latencyRoutingPolicies", 0, "region"),
        "us-east-1",
    ),
    Mutation(
        "origin-only-through-edge",
        tokens.INGRESS,
        ("us-west-public-https",),
        ("prefixListId",),
        "pl-00000000",
        also=_SOURCES,
        why="a list that is not CloudFront's is somebody else's",
        absent=frozenset({"origin-only-through-edge"}),
    ),
    Mutation(
        "no-wildcard-iam",
        tokens.ROLE_POLICY,
        ("us-west-cluster-autoscaler",),
        ("policy",),
        WILD,
        unknown=NOTHING,  # judged at the deployment
    ),
    Mutation("tags-owner-region", tokens.TOPIC, ("us-west-alarms",), ("tags", "owner"), "", unknown=NOTHING),
    Mutation("region-config-parity", tokens.ADD_ON, ("us-west-coredns",), ("addonVersion",), "v1.0.0-eksbuild.1"),
    Mutation("region-config-parity", tokens.NODE_GROUP, ("us-west-on-demand-a",), ("scalingConfig", "maxSize"), 2),
    Mutation(
        "namespace-pss-restricted",
        tokens.NAMESPACE,
        ("us-west-namespace-hal9",),
        ("metadata", "labels", ENFORCE),
        "baseline",
    ),
    Mutation(
        "pods-restricted",
        tokens.DEPLOYMENT,
        SERVER[:1],
        (*BOX, "securityContext", "readOnlyRootFilesystem"),
        False,
    ),
    Mutation(
        "no-host-mounts",
        tokens.DEPLOYMENT,
        SERVER[:1],
        (*POD, "volumes", 0, "hostPath"),
        {"path": "/"},
        absent=NOTHING,
    ),
    Mutation(
        "image-digest",
        tokens.DEPLOYMENT,
        GATEWAY,
        (*BOX, "image"),
        "nginx:1.28",
        unknown=NOTHING,  # judged at the deployment
    ),
    Mutation(
        "containers-request-resources",
        tokens.DEPLOYMENT,
        GATEWAY,
        (*BOX, "resources", "requests", "memory"),
        "lots",
    ),
    Mutation("probes-apart", tokens.DEPLOYMENT, SERVER[:1], (*BOX, "livenessProbe"), {}, unknown=NOTHING),
    Mutation("drains-before-it-ends", tokens.DEPLOYMENT, SERVER[:1], (*POD, "terminationGracePeriodSeconds"), 1),
    Mutation(
        "disruption-by-max-unavailable",
        tokens.DISRUPTION_BUDGET,
        ("us-west-poddisruptionbudget-hal9-hal9-server",),
        ("spec", "maxUnavailable"),
        "0%",
    ),
    Mutation(
        "spread-over-zones-and-hosts",
        tokens.DEPLOYMENT,
        SERVER[:1],
        (*POD, "topologySpreadConstraints", 0, "topologyKey"),
        "rack",
    ),
    Mutation(
        "no-plaintext-secret",
        tokens.CONFIG_MAP,
        ("us-west-configmap-monitoring-hal9-dashboard-service",),
        ("data", "extra"),
        "postgres://hal9:hunter2@db/hal9",
        unknown=NOTHING,
        absent=NOTHING,
    ),
    Mutation(
        "network-default-deny",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        ("us-west-networkpolicy-hal9-default-deny",),
        ("spec", "policyTypes"),
        ["Ingress"],
    ),
    Mutation(
        "network-policy-names-peers",
        tokens.NETWORK_POLICY,
        ("us-west-networkpolicy-hal9-hal9-server",),
        ("spec", "ingress", 0, "from"),
        [],
    ),
    Mutation(
        "mesh-mtls-strict",
        tokens.PEER_AUTHENTICATION,
        ("us-west-peerauthentication-istio-system-default",),
        ("spec", "mtls", "mode"),
        "PERMISSIVE",
    ),
    Mutation(
        "mesh-calls-with-mtls",
        tokens.DESTINATION_RULE,
        RULES,
        ("spec", "trafficPolicy", "tls", "mode"),
        "DISABLE",
        absent=NOTHING,  # the mesh then uses mutual TLS by itself
    ),
    Mutation(
        "mesh-default-deny",
        tokens.AUTHORIZATION,
        ("us-west-authorizationpolicy-istio-system-default-deny",),
        ("spec",),
        ADMITS_ALL,
        absent=NOTHING,  # no spec denies as well as an empty one
    ),
    Mutation(
        "mesh-admits-named-callers",
        tokens.AUTHORIZATION,
        ("us-west-authorizationpolicy-hal9-hal9-server",),
        ("spec", "rules", 0, "from", 0, "source", "principals"),
        ["*"],
    ),
    Mutation(
        "cluster-access-named",
        tokens.ACCESS_ENTRY,
        ("us-west-hal9-deployer",),
        ("principalArn",),
        "arn:aws:iam::123456789012:user/someone",
    ),
    Mutation(
        "no-way-in-beside-the-edge",
        tokens.SERVICE,
        ("us-west-service-hal9-hal9-server",),
        ("spec", "type"),
        "LoadBalancer",
        absent=NOTHING,
    ),
    Mutation("charts-pinned", "kubernetes:helm.sh/v3:Release", ("us-west-istiod",), ("version",), ">=1.20"),
)

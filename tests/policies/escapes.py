"""Unsafe changes of prod's plan that policies once let through, by what must catch each.

A row: what it is, a resource of the plan (its type and name), what is done to it, and the policy that must fire; others
may as well. Kinds, not cases: a type that the program does not use is one row for each that was tried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from plan.values import Unknown
from policies import tokens
from tests.policies.edits import Change, fields, gone, put
from tests.policies.mutations import BOX, POD, RULES, SERVER

RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET_OBJECT = "kubernetes:core/v1:Secret"
ALIAS = "aws:kms/alias:Alias"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
FOREIGN = "210987654321"
TEMPLATE = ("spec", "template", "metadata")


@dataclass(frozen=True)
class Escape:
    """One change, and the policy that must fire."""

    what: str
    type: str
    name: str
    change: Change
    policy: str


def document(**statement: Any) -> str:
    """A policy document of one statement that allows."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def trust(principal: Any, **more: Any) -> Change:
    """A role that trusts a principal."""
    return put(("assumeRolePolicy",), document(Action="sts:AssumeRole", Principal=principal, **more))


def _iam() -> list[Escape]:
    role, inline = (tokens.ROLE, "us-west-control-plane"), (tokens.ROLE_POLICY, "us-west-cluster-autoscaler")
    own, key = "principals-of-this-account", (tokens.KEY, "us-west-database")
    root = {"AWS": f"arn:aws:iam::{FOREIGN}:root"}
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    return [
        Escape("a managed policy by argument", *role, put(("managedPolicyArns",), [admin]), "arguments-known"),
        Escape(
            "an inline policy by argument",
            *role,
            put(("inlinePolicies",), [{"name": "a", "policy": "{}"}]),
            "arguments-known",
        ),
        Escape("a role trusts a foreign account", *role, trust(root), own),
        Escape("a role trusts a foreign account by number", *role, trust({"AWS": FOREIGN}), own),
        Escape("a role trusts any identity provider", *role, trust({"Federated": "*"}), own),
        Escape(
            "a role trusts everybody, under a condition that means nothing",
            *role,
            trust("*", Condition={"StringLike": {"aws:PrincipalArn": "*"}}),
            own,
        ),
        Escape("a role trusts every service", *role, trust({"Service": "*"}), own),
        Escape(
            "a key lets a foreign account in",
            *key,
            put(("policy",), document(Action="kms:*", Principal=root, Resource="*")),
            own,
        ),
        Escape(
            "every secret of the account",
            *inline,
            put(
                ("policy",),
                document(
                    Action="secretsmanager:GetSecretValue",
                    Resource="arn:aws:secretsmanager:us-west-2:123456789012:secret:*",
                ),
            ),
            "resources-named",
        ),
        Escape(
            "every role may be passed",
            *inline,
            put(("policy",), document(Action="iam:PassRole", Resource="arn:aws:iam::123456789012:role/*")),
            "resources-named",
        ),
        Escape(
            "a foreign role administers a cluster",
            tokens.ACCESS_ENTRY,
            "us-west-hal9-deployer",
            put(("principalArn",), f"arn:aws:iam::{FOREIGN}:role/x"),
            own,
        ),
        Escape(
            "a topic takes anybody's messages",
            tokens.TOPIC_POLICY,
            "us-west-alarms",
            put(
                ("policy",),
                document(Action="sns:Publish", Principal="*", Resource="arn:aws:sns:us-west-2:123456789012:a"),
            ),
            own,
        ),
        Escape(
            "an endpoint serves foreign accounts",
            ENDPOINT,
            "us-west-ecr.dkr",
            put(("policy",), document(Action="ecr:BatchGetImage", Principal=root, Resource="*")),
            own,
        ),
    ]


def _network() -> list[Escape]:
    rule, sources = (tokens.INGRESS, "us-west-public-at-pods-8443"), "ingress-from-named-sources"
    data, egress = (tokens.ROUTE, "us-west-data-to-eu-central"), (tokens.EGRESS, "us-west-internal-to-pods-9443")
    legacy = fields(type=tokens.SECURITY_GROUP_RULE)
    return [
        Escape("half of the internet", *rule, put(("cidrIpv4",), "0.0.0.0/1"), sources),
        Escape("all of IPv6 that is used", *rule, put(("cidrIpv6",), "2000::/3"), sources),
        Escape("a prefix list of somebody's", *rule, put(("prefixListId",), "pl-12345678"), sources),
        Escape("443 of the nodes for the world", *rule, put(("cidrIpv4",), "0.0.0.0/0"), sources),
        Escape("a foreign group", *rule, put(("referencedSecurityGroupId",), f"{FOREIGN}/sg-1"), sources),
        Escape("a rule of the older kind", *rule, legacy, "types-known"),
        Escape(
            "rules inside the group",
            tokens.SECURITY_GROUP,
            "us-west-nodes",
            put(("ingress",), [{"cidrBlocks": ["0.0.0.0/1"]}]),
            "arguments-known",
        ),
        Escape(
            "a second group on a primary",
            tokens.RDS,
            "shard-0-us-west",
            put(("vpcSecurityGroupIds",), [Unknown(), "sg-1"]),
            "datastores-closed",
        ),
        Escape(
            "a data route by prefix list", *data, put(("destinationPrefixListId",), "pl-1"), "data-routes-stay-inside"
        ),
        Escape(
            "a data route to half of the internet",
            *data,
            put(("destinationCidrBlock",), "0.0.0.0/1"),
            "data-routes-stay-inside",
        ),
        Escape("a data route through a NAT gateway", *data, put(("natGatewayId",), "nat-1"), "data-routes-stay-inside"),
        Escape("an egress rule of the older kind", *egress, legacy, "types-known"),
    ]


def _clusters() -> list[Escape]:
    server, istiod = (tokens.DEPLOYMENT, SERVER[0]), (RELEASE, "us-west-istiod")
    inside, harmless = "mesh-leaves-none-out", "charts-harmless"
    deny = (tokens.NETWORK_POLICY, "us-west-networkpolicy-hal9-hal9-server")
    return [
        Escape(
            "TLS off at one port",
            tokens.DESTINATION_RULE,
            RULES[0],
            put(
                ("spec", "trafficPolicy", "portLevelSettings"), [{"port": {"number": 8000}, "tls": {"mode": "DISABLE"}}]
            ),
            "mesh-calls-with-mtls",
        ),
        Escape("no sidecar, by label", *server, put((*TEMPLATE, "labels", "sidecar.istio.io/inject"), "false"), inside),
        Escape(
            "no sidecar, by annotation",
            *server,
            put((*TEMPLATE, "annotations", "sidecar.istio.io/inject"), "false"),
            inside,
        ),
        Escape(
            "a port around the sidecar",
            *server,
            put((*TEMPLATE, "annotations", "traffic.sidecar.istio.io/excludeInboundPorts"), "8000"),
            inside,
        ),
        Escape(
            "a namespace without injection",
            tokens.NAMESPACE,
            "us-west-namespace-hal9",
            put(("metadata", "labels", "istio-injection"), "disabled"),
            inside,
        ),
        Escape(
            "every principal of the cluster",
            tokens.AUTHORIZATION,
            "us-west-authorizationpolicy-hal9-hal9-server",
            put(("spec", "rules", 0, "from", 0, "source", "principals"), ["cluster.local/*"]),
            "mesh-admits-named-callers",
        ),
        Escape(
            "a network policy for the world",
            *deny,
            put(("spec", "ingress", 0, "from"), [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
            "network-policy-names-peers",
        ),
        Escape(
            "a network policy for half of it",
            *deny,
            put(("spec", "ingress", 0, "from"), [{"ipBlock": {"cidr": "128.0.0.0/1"}}]),
            "network-policy-names-peers",
        ),
        Escape(
            "a password in a chart's values", *istiod, put(("values", "grafana", "adminPassword"), "hunter2"), harmless
        ),
        Escape("a chart on the host's network", *istiod, put(("values", "pilot", "hostNetwork"), True), harmless),
        Escape("a privileged chart", *istiod, put(("values", "securityContext"), {"privileged": True}), harmless),
        Escape("a chart's own load balancer", *istiod, put(("values", "service"), {"type": "LoadBalancer"}), harmless),
        Escape(
            "a chart of somebody else's",
            *istiod,
            put(("repositoryOpts", "repo"), "https://charts.example.com"),
            harmless,
        ),
        Escape(
            "a path of the host in a chart",
            *istiod,
            put(("values", "volumes"), [{"hostPath": {"path": "/"}}]),
            harmless,
        ),
        Escape("a password as argument", *server, put((*BOX, "args"), ["--password=hunter2"]), "no-secret-argument"),
        Escape(
            "a Secret in clear",
            SECRET_OBJECT,
            "us-west-secret-monitoring-grafana-admin",
            put(("stringData",), {"password": "hunter2"}),
            "kubernetes-secrets-marked",
        ),
        Escape("the host's processes", *server, put((*POD, "hostPID"), True), "pods-restricted"),
    ]


def _what_must_exist() -> list[Escape]:
    acl, limit = (tokens.WEB_ACL, "edge"), ("rules", 1, "statement", "rateBasedStatement", "limit")
    return [
        Escape(
            "sessions without protection",
            tokens.REDIS,
            "us-west-sessions-in-us-west",
            fields(protect=False),
            "session-stores-protected",
        ),
        Escape("no Global Datastore", tokens.DATASTORE, "us-west-sessions", gone, "sessions-copied"),
        Escape("no topic", tokens.TOPIC, "us-west-alarms", gone, "regions-are-watched"),
        Escape(
            "nobody is told",
            "aws:sns/topicSubscription:TopicSubscription",
            "us-west-alarms-email",
            gone,
            "regions-are-watched",
        ),
        Escape(
            "an alarm that tells nobody",
            ALARM,
            "shard-0-ap-south-cpu",
            put(("alarmActions",), []),
            "regions-are-watched",
        ),
        Escape(
            "an alarm that is off",
            ALARM,
            "shard-0-ap-south-cpu",
            put(("actionsEnabled",), False),
            "regions-are-watched",
        ),
        Escape("a limit that nobody reaches", *acl, put(limit, 2_000_000_000), "firewall-bites"),
        Escape("a limit that only counts", *acl, put(("rules", 1, "action"), {"count": {}}), "firewall-bites"),
        Escape("AWS's rules only count", *acl, put(("rules", 3, "overrideAction"), {"count": {}}), "firewall-bites"),
        Escape(
            "an origin that takes any CloudFront",
            tokens.DISTRIBUTION,
            "edge",
            put(("origins", 0, "customHeaders"), []),
            "origin-verifies-edge",
        ),
    ]


NOT_USED = """
aws:s3/bucketV2:BucketV2 aws:s3/bucketPolicy:BucketPolicy aws:s3/bucketAclV2:BucketAclV2
aws:ecr/repositoryPolicy:RepositoryPolicy aws:sqs/queuePolicy:QueuePolicy aws:secretsmanager/secretPolicy:SecretPolicy
aws:ecrpublic/repository:Repository aws:iam/user:User aws:iam/accessKey:AccessKey
aws:iam/userPolicyAttachment:UserPolicyAttachment aws:ec2/instance:Instance aws:elb/loadBalancer:LoadBalancer
aws:lambda/functionUrl:FunctionUrl aws:lambda/permission:Permission aws:rds/cluster:Cluster aws:rds/snapshot:Snapshot
aws:efs/fileSystem:FileSystem aws:ebs/volume:Volume aws:ssm/parameter:Parameter
aws:iam/rolePoliciesExclusive:RolePoliciesExclusive aws:iam/policyAttachment:PolicyAttachment
aws:iam/openIdConnectProvider:OpenIdConnectProvider aws:dynamodb/table:Table aws:elasticache/cluster:Cluster
aws:ec2/networkAcl:NetworkAcl aws:apigatewayv2/api:Api aws:kms/grant:Grant aws:rds/proxy:Proxy
aws:lightsail/instance:Instance gcp:storage/bucket:Bucket kubernetes:core/v1:PersistentVolume
kubernetes:networking.istio.io/v1alpha3:EnvoyFilter kubernetes:security.istio.io/v1:RequestAuthentication
kubernetes:admissionregistration.k8s.io/v1:MutatingWebhookConfiguration kubernetes:helm.sh/v4:Chart
kubernetes:yaml/v2:ConfigFile command:local:Command
""".split()
"""Types that the program does not use, each unsafe in some form."""

ESCAPES: tuple[Escape, ...] = (
    *_iam(),
    *_network(),
    *_clusters(),
    *_what_must_exist(),
    *tuple(
        Escape(f"a resource of {token}", ALIAS, "us-west-database", fields(type=token), "types-known")
        for token in NOT_USED
    ),
)

"""Policies of what no other policy has looked at: a type, or an
argument that decides who may do what, is known or refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from plan.record import Resource
from policies import tokens
from policies.policy import Finding, Violation, resource_policy
from policies.rules import (
    charts,
    cluster,
    compute,
    data,
    edge,
    encryption,
    iam,
    mesh,
    must_exist,
    network,
    principals,
    sources,
)

_FIREWALL = "what passes is the firewall's and the distribution's: edge-firewalled, edge-requests-logged"
_ROUTING = "where a subnet's packets go is judged by its routes: peering-mesh-complete, data-routes-stay-inside"
_NAME = "a name, or a wire between two resources that are judged"
_MADE = "made in the engine; where it is kept is judged: secret-inputs-marked, secrets-under-customer-key"
_MESH = "routes of the mesh; who may call is mesh-admits-named-callers"

LET_THROUGH: dict[str, str] = {
    "aws:acm/certificate:Certificate": "the name is the stack file's domain; what is spoken with it is listener-tls13",
    "aws:acm/certificateValidation:CertificateValidation": _NAME,
    "aws:cloudfront/cachePolicy:CachePolicy": "what is cached is tests/components' own; no secret is in it",
    "aws:cloudfront/originRequestPolicy:OriginRequestPolicy": "which headers reach the origin; it trusts none of them",
    "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": "edge-sets-security-headers asks for it",
    "aws:cloudwatch/logDelivery:LogDelivery": _FIREWALL,
    "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": _FIREWALL,
    "aws:cloudwatch/logDeliverySource:LogDeliverySource": _FIREWALL,
    "aws:cloudwatch/metricAlarm:MetricAlarm": "regions-are-watched asks for them",
    "aws:ec2/eip:Eip": "the NAT gateways' addresses",
    "aws:ec2/flowLog:FlowLog": "flow-logs-on-every-vpc asks for it",
    "aws:ec2/internetGateway:InternetGateway": _ROUTING,
    "aws:ec2/launchTemplate:LaunchTemplate": "nodes-hardened judges it",
    "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions": _ROUTING,
    "aws:ec2/route:Route": _ROUTING,
    "aws:ec2/routeTable:RouteTable": _ROUTING,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ROUTING,
    "aws:ec2/vpcEndpoint:VpcEndpoint": "principals-of-this-account reads its policy; its groups are "
    "ingress-from-named-sources'",
    "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter": _ROUTING,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": "what is kept of old images",
    "aws:ecr/replicationConfiguration:ReplicationConfiguration": "copies images between this account's own registries",
    "aws:elasticache/parameterGroup:ParameterGroup": "cluster mode and eviction; TLS is the group's own",
    "aws:elasticache/subnetGroup:SubnetGroup": "rds-subnets-not-public judges it",
    "aws:kms/alias:Alias": _NAME,
    "aws:lb/targetGroup:TargetGroup": "who may connect is the groups'",
    "aws:rds/eventSubscription:EventSubscription": "sends to a topic that is judged",
    "aws:route53/healthCheck:HealthCheck": "edge-covers-all-regions asks for it",
    "aws:sns/topicSubscription:TopicSubscription": "sends to the stack file's own alarmEmail",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "datastores-closed judges the data tier's",
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": _FIREWALL,
    "kubernetes:core/v1:Secret": "kubernetes-secrets-marked judges it",
    "kubernetes:core/v1:ServiceAccount": "what it may do is pod-identity-per-workload's and cluster-access-named's",
    "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding": _NAME,
    "kubernetes:monitoring.coreos.com/v1:PodMonitor": "what Prometheus reads",
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule": "alerts; promtool judges them",
    "kubernetes:networking.istio.io/v1:Gateway": _MESH,
    "kubernetes:networking.istio.io/v1:ServiceEntry": _MESH,
    "kubernetes:networking.istio.io/v1:VirtualService": _MESH,
    "kubernetes:networking.istio.io/v1:WorkloadEntry": _MESH,
    "kubernetes:scheduling.k8s.io/v1:PriorityClass": "who goes first where there is no room",
    "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass": "names secrets; whether they may be read is IAM's",
    "kubernetes:storage.k8s.io/v1:StorageClass": "encryption is asked of it by tests/components",
    "random:index/randomPassword:RandomPassword": _MADE,
    "tls:index/certRequest:CertRequest": _MADE,
    "tls:index/locallySignedCert:LocallySignedCert": _MADE,
    "tls:index/privateKey:PrivateKey": _MADE,
    "tls:index/selfSignedCert:SelfSignedCert": _MADE,
}
"""Types of the program that no policy is about by name, and why."""

_NETWORK = frozenset(("description", "name", "tags", "vpcId", "region"))
_RULE = frozenset(
    "cidrIpv4 description fromPort ipProtocol prefixListId referencedSecurityGroupId securityGroupId "
    "tags toPort region cidrIpv6".split()
)
ARGUMENTS: dict[str, frozenset[str]] = {
    tokens.ROLE: frozenset(
        ("assumeRolePolicy", "description", "maxSessionDuration", "name", "path", "permissionsBoundary", "tags")
    ),
    tokens.ROLE_POLICY: frozenset(("name", "policy", "role")),
    tokens.ROLE_ATTACHMENT: frozenset(("policyArn", "role")),
    tokens.IAM_POLICY: frozenset(("description", "name", "path", "policy", "tags")),
    tokens.POD_IDENTITY: frozenset(("clusterName", "namespace", "roleArn", "serviceAccount", "tags")),
    tokens.ACCESS_ENTRY: frozenset(("clusterName", "kubernetesGroups", "principalArn", "tags", "type")),
    tokens.ACCESS_POLICY: frozenset(("accessScope", "clusterName", "policyArn", "principalArn")),
    tokens.KEY: frozenset(
        (
            "deletionWindowInDays",
            "description",
            "enableKeyRotation",
            "multiRegion",
            "policy",
            "rotationPeriodInDays",
            "tags",
        )
    ),
    tokens.TOPIC_POLICY: frozenset(("arn", "policy")),
    tokens.SECURITY_GROUP: _NETWORK,
    tokens.INGRESS: _RULE,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _RULE,
}
"""The arguments that a policy reads, or that decide nothing, of the types that say who may do what."""
_REPLACED = {tokens.SECURITY_GROUP_RULE: "rules of their own, SecurityGroupIngressRule and SecurityGroupEgressRule"}
"""Types with a successor that policies read."""


@resource_policy("*")
def types_known(resource: Resource) -> Iterator[Finding]:
    """What no policy has looked at may be open to the world: a public
    bucket is a resource like any other. (Well-Architected SEC01-BP06)

    Fix: a policy about the type in policies/rules/, or the type and
    why none is needed in LET_THROUGH of policies/rules/known.py.
    """
    if not resource.custom or resource.is_provider:
        return
    if (successor := _REPLACED.get(resource.type)) is not None:
        yield Violation(resource, f"{resource.type} is not read by the policies", successor)
    elif resource.type not in LET_THROUGH and not _judged_by_name(resource.type):
        yield Violation(resource, f"no policy knows the type {resource.type}", "a type that is judged")


@functools.cache
def _judged_by_name(token: str) -> bool:
    modules = (charts, cluster, compute, data, edge, encryption, iam, mesh, must_exist, network, principals, sources)
    return any(token in policy.types for module in modules for policy in module.POLICIES)


@resource_policy(*ARGUMENTS)
def arguments_known(resource: Resource) -> Iterator[Finding]:
    """An argument that no policy reads gives rights that none has
    weighed, such as a role's managedPolicyArns. (CIS AWS 1.16)

    Fix: a resource of its own, such as RolePolicy; or the argument in
    ARGUMENTS of policies/rules/known.py, with a policy that reads it.
    """
    for name in sorted(resource.inputs.keys() - ARGUMENTS[resource.type]):
        if resource.inputs[name] not in (None, [], {}, ""):
            yield Violation(resource, f"no policy reads {name}", f"none of {name}")


POLICIES = (types_known, arguments_known)

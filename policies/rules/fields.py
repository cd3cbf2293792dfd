"""Policies of single fields: what a value must be, from where in the
stack it must come, and which fields have been looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown
from policies.policy import Finding, Violation, resource_policy, stack_policy
from policies.rules.charts import RELEASE
from policies.rules.pods import containers, template
from policies.stack import Stack
from topology.stackfile import NAMESPACE

ARGUMENTS = Path(__file__).with_name("arguments.json")
"""The arguments that the program sets, by type, and the fields of its pods: `make policies-doc` writes it again."""
SOMETIMES: dict[str, tuple[str, ...]] = {
    tokens.RDS: ("allowMajorVersionUpgrade", "blueGreenUpdate"),
    "random:index/randomPassword:RandomPassword": ("keepers",),
}
"""Arguments that the program sets for some stack files, and for none of those in the repository."""
PODS = ("pod", "container", "podSecurity", "containerSecurity")
_CURVES = ("P256", "P384")


@dataclass(frozen=True)
class Wanted:
    """What a field must be: `good` says so of a known value that is there, `absent` whether it may be left out."""

    good: Callable[[Any], bool]
    words: str
    absent: bool = True


def _is(*values: Any, absent: bool = True) -> Wanted:
    return Wanted(lambda value: value in values, " or ".join(map(shown, values)), absent)


def _least(number: float, absent: bool = True) -> Wanted:
    return Wanted(lambda value: isinstance(value, int | float) and value >= number, f"at least {number:g}", absent)


def _major(least: int) -> Wanted:
    def good(value: Any) -> bool:
        found = re.match(r"[0-9]+", str(value))
        return found is not None and int(found[0]) >= least

    return Wanted(good, f"{least} or newer, which is still supported")


def _like(pattern: str, words: str, absent: bool = True) -> Wanted:
    return Wanted(lambda value: re.fullmatch(pattern, str(value)) is not None, words, absent)


def _typed_in(value: Any) -> bool:
    return isinstance(value, str) and not is_unknown(value)


def _routed(rule: Any) -> bool:
    hosts = {at(route, "destination.host") for route in rule.get("route", ())}
    return hosts <= {"hal9-server"} and not rule.keys() & {
        "mirror",
        "mirrors",
        "corsPolicy",
        "redirect",
        "directResponse",
        "fault",
    }


_SERVICE = "com.amazonaws.{region}.NAME, a service of AWS"
FIELDS: dict[str, dict[str, Wanted]] = {
    tokens.RDS: {
        "caCertIdentifier": _is("rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"),
        "engineVersion": _major(14),
    },
    "aws:rds/eventSubscription:EventSubscription": {
        "enabled": _is(True),
        "eventCategories": Wanted(
            lambda value: {"failover", "failure", "low storage"} <= set(value),
            "failover, failure and low storage among them",
        ),
    },
    tokens.REDIS: {
        "autoMinorVersionUpgrade": _is(True),
        "replicasPerNodeGroup": _least(1),
        "engineVersion": _major(7),
    },
    tokens.KEY: {"deletionWindowInDays": _least(7), "isEnabled": _is(True)},
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "evaluationPeriods": Wanted(lambda value: value <= 60, "at most 60, an hour of minutes"),
        "treatMissingData": _is("breaching", "notBreaching", "missing"),
    },
    "aws:sns/topicSubscription:TopicSubscription": {"protocol": _is("email", "email-json", "https", "sqs", "lambda")},
    tokens.ROLE: {"maxSessionDuration": Wanted(lambda value: value <= 3600, "an hour at most")},
    tokens.ROLE_ATTACHMENT: {"policyArn": _like(r"arn:aws[\w-]*:iam::aws:policy/.+", "AWS's own, or the stack's")},
    tokens.EKS: {"zonalShiftConfig.enabled": _is(True, absent=False), "upgradePolicy.supportType": _is("STANDARD")},
    tokens.NODE_GROUP: {"updateConfig.maxUnavailablePercentage": Wanted(lambda value: value <= 50, "half at most")},
    tokens.POD_IDENTITY: {"serviceAccount": Wanted(lambda value: value != "default", "a service account of its own")},
    tokens.VPC: {"enableDnsSupport": _is(True), "enableDnsHostnames": _is(True)},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {
        "serviceName": _like(r"(com|cn\.com)\.amazonaws\.[a-z]+-[\w-]+-[0-9]\.(?!vpce)[\w.-]+", _SERVICE)
    },
    tokens.EGRESS: {
        "cidrIpv6": Wanted(lambda _value: False, "no IPv6: the VPCs have none"),
        "prefixListId": Wanted(lambda _value: False, "no prefix list"),
    },
    tokens.INGRESS: {"toPort": Wanted(lambda value: value != 65535, "the ports that are used")},
    tokens.LISTENER: {"port": Wanted(lambda value: value not in (80, 8080), "a port of TLS")},
    "aws:lb/targetGroup:TargetGroup": {"protocol": _is("TCP", "TLS", "HTTPS"), "healthCheck.enabled": _is(True)},
    tokens.DISTRIBUTION: {
        "defaultCacheBehavior.functionAssociations": _is([]),
        "defaultCacheBehavior.lambdaFunctionAssociations": _is([]),
        "enabled": _is(True),
        "aliases": Wanted(bool, "the domain"),
        "origins[0].customOriginConfig.originSslProtocols": _is(["TLSv1.2"]),
    },
    "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": {
        "securityHeadersConfig.strictTransportSecurity.accessControlMaxAgeSec": _least(31536000, absent=False),
    },
    tokens.WEB_ACL: {
        "defaultAction.block": Wanted(lambda _value: False, "allow: rules block, not the rest"),
        "visibilityConfig.cloudwatchMetricsEnabled": _is(True),
    },
    tokens.WEB_ACL_LOG: {
        "redactedFields": Wanted(
            lambda value: {"authorization", "cookie"} <= {str(at(one, "singleHeader.name")) for one in value},
            "authorization and cookie",
            absent=False,
        ),
    },
    "aws:cloudfront/cachePolicy:CachePolicy": {
        "minTtl": _is(0),
        "parametersInCacheKeyAndForwardedToOrigin.headersConfig.headerBehavior": _is("whitelist", absent=False),
    },
    "aws:route53/record:Record": {
        "records": Wanted(lambda value: not any(_typed_in(one) for one in value), "names of the stack's own")
    },
    "kubernetes:networking.istio.io/v1:VirtualService": {
        "spec.http": Wanted(
            lambda value: all(_routed(one) for one in value), "routes to hal9-server, without mirrors or CORS"
        )
    },
    "aws:route53/healthCheck:HealthCheck": {"type": _is("HTTPS", "CLOUDWATCH_METRIC")},
    "aws:acm/certificate:Certificate": {"validationMethod": _is("DNS", absent=False)},
    "tls:index/privateKey:PrivateKey": {
        "algorithm": _is("ECDSA", absent=False),
        "ecdsaCurve": _is(*_CURVES, absent=False),
    },
    "random:index/randomPassword:RandomPassword": {"length": _least(32, absent=False)},
    "random:index/randomBytes:RandomBytes": {"length": _least(32, absent=False)},
    tokens.DEPLOYMENT: {
        "spec.strategy.type": _is("RollingUpdate"),
        "spec.template.spec.serviceAccountName": Wanted(
            lambda value: value != "default", "a service account of its own"
        ),
    },
    tokens.JOB: {
        "spec.template.spec.serviceAccountName": Wanted(
            lambda value: value != "default", "a service account of its own"
        )
    },
    tokens.SERVICE: {"spec.externalName": Wanted(lambda _value: False, "none: what is called stands in the stack")},
    "kubernetes:core/v1:ServiceAccount": {
        "automountServiceAccountToken": _is(False, absent=False),
        "metadata.annotations": _is({}),
    },
    tokens.DESTINATION_RULE: {"spec.host": Wanted(lambda value: "*" not in str(value), "one service by name")},
    "kubernetes:networking.istio.io/v1:Gateway": {
        "spec.servers[0].hosts": _is(["*.local"]),
        "spec.servers[0].port.protocol": _is("TLS"),
        "spec.servers[0].tls.mode": _is("AUTO_PASSTHROUGH"),
    },
    "kubernetes:networking.istio.io/v1:WorkloadEntry": {
        "spec.serviceAccount": _is("hal9-server"),
        "spec.address": Wanted(lambda _value: False, "none: the region's network leads there"),
    },
    tokens.AUTHORIZATION: {"spec.action": _is("ALLOW", "DENY")},
    "kubernetes:storage.k8s.io/v1:StorageClass": {
        "parameters.encrypted": _is("true", absent=False),
        "provisioner": _is("ebs.csi.aws.com", absent=False),
    },
    "kubernetes:scheduling.k8s.io/v1:PriorityClass": {"globalDefault": _is(False)},
    "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass": {
        "spec.provider": _is("aws"),
        "spec.secretObjects": _is([]),
    },
    "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding": {"spec.networking": _is({})},
}
"""What a field must be, by type and path, where no other policy says so."""

_KEPT = ("forceDelete", "forceDestroy")
"""What deletes a thing with all that is in it."""

WIRES: dict[str, dict[str, str]] = {
    tokens.RDS: {"parameterGroupName": tokens.RDS_PARAMETERS},
    tokens.REDIS: {"subnetGroupName": tokens.REDIS_SUBNETS},
    tokens.LOAD_BALANCER: {"securityGroups": tokens.SECURITY_GROUP},
    tokens.NODE_GROUP: {"launchTemplate": tokens.LAUNCH_TEMPLATE, "nodeRoleArn": tokens.ROLE},
    tokens.LAUNCH_TEMPLATE: {"vpcSecurityGroupIds": tokens.SECURITY_GROUP},
    tokens.FLOW_LOG: {"logDestination": tokens.LOG_GROUP},
    tokens.PEERING: {"peerVpcId": tokens.VPC, "vpcId": tokens.VPC},
    "aws:route53/record:Record": {"zoneId": tokens.ZONE},
}
"""Inputs that must come from a resource of this stack: what is written in their place is somebody else's."""


@resource_policy(*FIELDS, tokens.REPOSITORY, tokens.ZONE)
def fields_as_decided(resource: Resource) -> Iterator[Finding]:
    """One field is enough: a certificate by mail, a listener on port 80, an alarm that waits a day. Each is written
    down with what it must be. (docs/weakest.md, with the reference of each)

    Fix: the component that sets the field; where another value is as good, FIELDS of policies/rules/fields.py.
    """
    for path in _KEPT:
        if resource.protect and at(resource, path):
            yield Violation(resource, f"{path} is {shown(at(resource, path))}", f"{path} false, as it is protected")
    for path, wanted in FIELDS.get(resource.type, {}).items():
        value = at(resource, path)
        if value is None:
            if not wanted.absent:
                yield Violation(resource, f"{path} is absent", wanted.words)
        elif not is_unknown(value) and not _good(wanted, value):
            yield Violation(resource, f"{path} is {shown(value)}", wanted.words)


def _good(wanted: Wanted, value: Any) -> bool:
    try:
        return wanted.good(value)
    except TypeError:
        return False  # of another kind altogether


@stack_policy(*WIRES, tokens.DISTRIBUTION, tokens.EKS)
def wired_within_stack(stack: Stack) -> Iterator[Finding]:
    """An id that was typed in leads out of the stack: another's group, template or network, which no policy has seen.
    (Well-Architected SEC05-BP02)

    Fix: the component that sets the field, from the resource that it means.
    """
    for token, inputs in WIRES.items():
        for resource in stack.of(token):
            for name, source in inputs.items():
                if token == tokens.RECORD and not stack.of(tokens.ZONE):
                    continue  # hal9:edge.hostedZoneId names one that was there before
                if not stack.sources(resource, name, source):
                    yield Violation(resource, f"{name} is none of this stack's", f"{name} of one of its own")
    for resource in stack.of(tokens.EKS):
        for path in ("vpcConfig.securityGroupIds", "vpcConfig.subnetIds"):
            if any(_typed_in(one) for one in items(resource, path)):
                yield Violation(resource, f"{path} has an id that was typed in", "the stack's own")
    yield from _addressed_within(stack)
    yield from _called_within(stack)


def _called_within(stack: Stack) -> Iterator[Finding]:
    """AWS's services are called inside the network."""
    for resource in stack.of("aws:ec2/vpcEndpoint:VpcEndpoint"):
        if at(resource, "vpcEndpointType") == "Interface":
            if not stack.sources(resource, "securityGroupIds", tokens.SECURITY_GROUP):
                yield Violation(resource, "securityGroupIds is none of this stack's", "one of its own")
            if at(resource, "privateDnsEnabled") is not True:
                yield Violation(resource, "privateDnsEnabled is not true", "true: calls would leave by the NAT gateway")


def _addressed_within(stack: Stack) -> Iterator[Finding]:
    """What goes to an account, an address or a name goes to the stack file's own."""
    account, email, domain = (
        str(stack.config.get(f"{NAMESPACE}:{key}", "")) for key in ("accountId", "alarmEmail", "domain")
    )
    for resource in stack.of("aws:ecr/replicationConfiguration:ReplicationConfiguration"):
        for rule in items(resource, "replicationConfiguration.rules"):
            for target in rule.get("destinations", ()):
                if at(target, "registryId") != account:
                    yield Violation(resource, f"copies images to {shown(at(target, 'registryId'))}", "hal9:accountId")
    for resource in stack.of("aws:sns/topicSubscription:TopicSubscription"):
        if at(resource, "protocol") == "email" and at(resource, "endpoint") != email:
            yield Violation(resource, f"tells {shown(at(resource, 'endpoint'))}", "hal9:alarmEmail")
    for resource in stack.of(tokens.DISTRIBUTION):
        for origin in items(resource, "origins"):
            if (
                isinstance(origin, dict)
                and not str(at(origin, "domainName")).endswith(domain)
                and not is_unknown(at(origin, "domainName"))
            ):
                yield Violation(resource, f"an origin is {shown(at(origin, 'domainName'))}", "a name below hal9:domain")


@cache
def _arguments() -> dict[str, frozenset[str]]:
    read = json.loads(ARGUMENTS.read_text("utf-8"))
    return {key: frozenset(names) | frozenset(SOMETIMES.get(key, ())) for key, names in read.items()}


def pod_fields(resource: Resource) -> Iterator[tuple[str, str, Any]]:
    """Each place of a workload that the pods' fields are in: which of PODS, its path, what is there."""
    spec = f"{template(resource)}spec"
    yield "pod", spec, at(resource, spec)
    yield "podSecurity", f"{spec}.securityContext", at(resource, f"{spec}.securityContext")
    for path, container in containers(resource):
        yield "container", path, container
        yield "containerSecurity", f"{path}.securityContext", at(container, "securityContext")


@resource_policy("aws:*", "tls:*", "random:*", RELEASE, *tokens.WORKLOADS)
def fields_known(resource: Resource) -> Iterator[Finding]:
    """A field that nobody has looked at is the next way in: user data, a
    second account's role, IPv6, a host's alias. (Well- Architected SEC01-BP06)

    Fix: take it out, or `make policies-doc` once the program sets it, and a policy about it in policies/rules/.
    """
    known = _arguments()
    if resource.type in tokens.WORKLOADS:
        for place, path, value in pod_fields(resource):
            for name in sorted(value.keys() - known[place]) if isinstance(value, dict) else ():
                yield Violation(resource, f"no policy has looked at {path}.{name}", "a field that is known")
            if place == "container" and "-c" in items(value, "command"):
                yield Violation(resource, f"{path}.command is a script", "a file of the image, or of a ConfigMap")
        return
    if resource.type not in known:
        return  # types-known says so
    filled = {"__defaults", *map(str, items(resource, "__defaults"))}  # what AWS's provider fills in by itself
    for name in sorted(resource.inputs.keys() - known[resource.type] - filled):
        if resource.inputs[name] not in (None, [], {}, ""):
            yield Violation(resource, f"no policy has looked at {name}", "an argument that is known")


POLICIES = (fields_as_decided, wired_within_stack, fields_known)

"""Policies of the edge and of the ways in: TLS, the firewall, names, load balancers."""

from __future__ import annotations

from collections.abc import Iterator

from plan.record import Resource
from policies import tokens
from policies.expect import at, items, shown, wants, wants_any, wants_one_of
from policies.policy import Finding, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack
from topology.catalog import CLOUDFRONT_PREFIX_LISTS, GLOBAL_AWS_REGION

TLS13_LISTENERS = (
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09",
)
_ENCRYPTED = {"TLS", "HTTPS"}


@resource_policy(
    tokens.LISTENER,
    tokens.DISTRIBUTION,
    listeners=Setting(TLS13_LISTENERS, "load balancer policies of TLS 1.3 and nothing older"),
    viewers=Setting(("TLSv1.3_2025",), "CloudFront policies of TLS 1.3 and nothing older"),
)
def listener_tls13(resource: Resource, listeners: tuple[str, ...], viewers: tuple[str, ...]) -> Iterator[Finding]:
    """Old TLS, or none, lets whoever is on the way read sessions and tokens. (CKV_AWS_103, CKV_AWS_174, CKV_AWS_34)

    Fix: components/load_balancers.py TLS_POLICY, components/edge.py VIEWER_TLS.
    """
    if resource.type == tokens.LISTENER:
        yield from wants_one_of(resource, "protocol", ["HTTPS", "TCP", "TLS"])
        if at(resource, "protocol") in _ENCRYPTED:
            yield from wants_one_of(resource, "sslPolicy", listeners)
            yield from wants_any(resource, "certificateArn", "a certificate")
        return
    yield from wants_one_of(resource, "viewerCertificate.minimumProtocolVersion", viewers)
    behaviors = ["defaultCacheBehavior"]
    behaviors += [f"orderedCacheBehaviors[{i}]" for i, _ in enumerate(items(resource, "orderedCacheBehaviors"))]
    for path in behaviors:
        yield from wants_one_of(resource, f"{path}.viewerProtocolPolicy", ["https-only", "redirect-to-https"])
    for index, _ in enumerate(items(resource, "origins")):
        yield from wants(resource, f"origins[{index}].customOriginConfig.originProtocolPolicy", "https-only")


@stack_policy(tokens.DISTRIBUTION, tokens.WEB_ACL)
def edge_firewalled(stack: Stack) -> Iterator[Finding]:
    """Without a firewall one address can take the whole capacity, and known attacks reach the app; without its log
    nobody sees them. (CKV_AWS_68, CKV_AWS_192, CKV2_AWS_31, CKV2_AWS_47)

    Fix: components/firewall.py; hal9:edge.addressLimitPerFiveMinutes.
    """
    for distribution in stack.of(tokens.DISTRIBUTION):
        if not stack.sources(distribution, "webAclId", tokens.WEB_ACL):
            yield Violation(distribution, "webAclId is none of this stack's", "the edge's web ACL")
    for acl in stack.of(tokens.WEB_ACL):
        yield from wants(acl, "scope", "CLOUDFRONT")
        if acl.region != GLOBAL_AWS_REGION:
            yield Violation(acl, f"is in {acl.region or 'no region'}", f"{GLOBAL_AWS_REGION}, where CloudFront looks")
        rules = items(acl, "rules")
        managed = {at(rule, "statement.managedRuleGroupStatement.name") for rule in rules}
        if not any(at(rule, "statement.rateBasedStatement.limit") and _blocks(rule) for rule in rules):
            yield Violation(acl, "rules limit no address", "a rate-based rule that blocks")
        for group in ("AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"):
            if group not in managed:
                yield Violation(acl, f"rules lack {group}", "AWS's managed rules")
        for index, rule in enumerate(rules):
            if at(rule, "overrideAction.count") is not None:
                yield Violation(acl, f"rules[{index}] only counts", "a rule group that blocks")
        if not stack.users(acl, tokens.WEB_ACL_LOG, "resourceArn"):
            yield Violation(acl, "no log", "a logging configuration")


def _blocks(rule: object) -> bool:
    return isinstance(rule, dict) and at(rule, "action.block") is not None


@stack_policy(tokens.DISTRIBUTION)
def edge_requests_logged(stack: Stack) -> Iterator[Finding]:
    """Without a log of requests an attack on users cannot be told from their own use, then or later. (CKV_AWS_86)

    Fix: components/edge.py, a log delivery of the distribution.
    """
    for distribution in stack.of(tokens.DISTRIBUTION):
        if not stack.users(distribution, tokens.LOG_SOURCE, "resourceArn") and not at(distribution, "loggingConfig"):
            yield Violation(distribution, "no log of its requests", "a log delivery of ACCESS_LOGS")


@resource_policy(tokens.DISTRIBUTION)
def edge_sets_security_headers(distribution: Resource) -> Iterator[Finding]:
    """Without HSTS the first request of a browser goes over plain HTTP, where anybody answers. (CKV2_AWS_32)

    Fix: components/edge.py, responseHeadersPolicyId of every behavior.
    """
    yield from wants_any(distribution, "defaultCacheBehavior.responseHeadersPolicyId", "the security headers")
    for index, _ in enumerate(items(distribution, "orderedCacheBehaviors")):
        path = f"orderedCacheBehaviors[{index}].responseHeadersPolicyId"
        yield from wants_any(distribution, path, "the security headers")


@stack_policy(tokens.RECORD, tokens.LOAD_BALANCER)
def edge_covers_all_regions(stack: Stack) -> Iterator[Finding]:
    """A region without a latency record gets no user; a record without a health check keeps sending users to a region
    that is dead. (Route 53 Developer Guide, latency routing)

    Fix: components/edge.py makes a record for each of hal9:regions.
    """
    led: dict[str, list[Resource]] = {region: [] for region in stack.regions}
    for record in stack.of(tokens.RECORD):
        for policy in items(record, "latencyRoutingPolicies"):
            led.setdefault(str(at(policy, "region")), []).append(record)
    names = {at(record, "name") for records in led.values() for record in records}
    for region, vpc in stack.regions.items():
        if not led[region]:
            yield Violation(vpc, f"no latency record leads to {region}", "one for each region, with a health check")
        for record in led[region]:
            balancers = stack.sources(record, "aliases", tokens.LOAD_BALANCER)
            if {balancer.region for balancer in balancers} != {region}:
                yield Violation(record, f"aliases lead to no load balancer of {region}", "the region's own")
            if not stack.sources(record, "healthCheckId"):
                yield Violation(record, "healthCheckId is absent", "a health check of the region")
            if len(names) > 1:
                yield Violation(record, f"name is {shown(at(record, 'name'))}", "one name for all regions")


@stack_policy(tokens.LOAD_BALANCER)
def origin_only_through_edge(stack: Stack) -> Iterator[Finding]:
    """A load balancer that takes anybody's connections lets users, and attackers, pass the firewall and its limits by.
    (CloudFront Developer Guide, restrict access to load balancers)

    Fix: components/load_balancers.py, ingress from CloudFront's prefix list alone.
    """
    for balancer in stack.of(tokens.LOAD_BALANCER):
        if at(balancer, "internal") is True:
            continue
        groups = stack.sources(balancer, "securityGroups", tokens.SECURITY_GROUP)
        if not groups:
            yield Violation(balancer, "securityGroups are none of this stack's", "a group of its own")
        for rule in [rule for group in groups for rule in stack.users(group, tokens.INGRESS, "securityGroupId")]:
            wanted = CLOUDFRONT_PREFIX_LISTS.get(rule.region)
            if at(rule, "prefixListId") != wanted or wanted is None:
                source = shown(at(rule, "prefixListId") or at(rule, "cidrIpv4"))
                yield Violation(rule, f"its source is {source}", f"CloudFront's prefix list, {wanted}")
        for listener in stack.users(balancer, tokens.LISTENER, "loadBalancerArn"):
            if at(listener, "protocol") not in _ENCRYPTED:
                yield Violation(listener, f"protocol is {shown(at(listener, 'protocol'))}", "TLS or HTTPS")


POLICIES = (
    listener_tls13,
    edge_firewalled,
    edge_requests_logged,
    edge_sets_security_headers,
    edge_covers_all_regions,
    origin_only_through_edge,
)

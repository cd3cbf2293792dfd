"""Policies of what must be there: the copies, alarms and locks whose
absence nobody notices until the day that they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown
from policies.policy import Finding, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
VERIFY = "X-Origin-Verify"


@stack_policy(tokens.REDIS, tokens.DATASTORE)
def sessions_copied(stack: Stack) -> Iterator[Finding]:
    """A region without a Global Datastore logs all its users out when it is lost, and nothing else says that it has
    none. (ElastiCache User Guide, global datastores; Well-Architected REL13-BP02)

    Fix: hal9:regions.*.sessionReplicas.
    """
    if len(stack.regions) < 2:
        return  # there is no other region to copy to
    held = {datastore.region for datastore in stack.of(tokens.DATASTORE)}
    for region in sorted(stack.regions.keys() - held):
        yield Violation(stack.regions[region], f"no Global Datastore in {region}", "one of each region's sessions")


@resource_policy(tokens.REDIS, sessions=Setting(True, "whether session stores must be protected"))
def session_stores_protected(group: Resource, sessions: bool) -> Iterator[Finding]:
    """A session store that a mistaken command deletes logs every user of its region out. (Pulumi, protect)

    Fix: hal9:protect.
    """
    if sessions and at(group, "numNodeGroups") is None and not group.protect:  # a cache is filled anew
        yield Violation(group, "protect is false", "protect true")


@stack_policy(ALARM, tokens.TOPIC, SUBSCRIPTION, least=Setting(10, "fewest alarms of a region", 1))
def regions_are_watched(stack: Stack, least: int) -> Iterator[Finding]:
    """A region without alarms, or whose alarms reach nobody, fails in silence. (Well-Architected REL06-BP03; CIS AWS 4)

    Fix: hal9:alarmEmail; the alarms are components/alarms.py's.
    """
    alarms, topics = stack.by_region(stack.of(ALARM)), stack.by_region(stack.of(tokens.TOPIC))
    for region, vpc in stack.regions.items():
        if len(alarms[region]) < least:
            yield Violation(vpc, f"{len(alarms[region])} alarms in {region}", f"at least {least}")
        if not topics[region]:
            yield Violation(vpc, f"no topic for alarms in {region}", "one, with a subscription")
        reached = [topic for topic in topics[region] if stack.users(topic, SUBSCRIPTION, "topic")]
        if topics[region] and not reached:
            yield Violation(topics[region][0], "nobody is subscribed to the region's topics", "a subscription")
    for alarm in stack.of(ALARM):
        if not items(alarm, "alarmActions"):
            yield Violation(alarm, "alarmActions is absent", "the region's topic")
        if at(alarm, "actionsEnabled") is False:
            yield Violation(alarm, "actionsEnabled is false", "true")


@stack_policy(tokens.DISTRIBUTION)
def origin_verifies_edge(stack: Stack) -> Iterator[Finding]:
    """Anybody's CloudFront is in CloudFront's prefix list: without the secret header it reaches the origin past the
    firewall. (CloudFront Developer Guide, restrict access to load balancers)

    Fix: components/edge.py, the origin's custom header X-Origin-Verify.
    """
    for distribution in stack.of(tokens.DISTRIBUTION):
        for index, origin in enumerate(items(distribution, "origins")):
            headers = {at(header, "name"): at(header, "value") for header in items(origin, "customHeaders")}
            value = headers.get(VERIFY)
            if not value:
                yield Violation(distribution, f"origins[{index}].customHeaders lacks {VERIFY}", f"{VERIFY}, a secret")


@resource_policy(
    tokens.WEB_ACL,
    mostRequests=Setting(100_000, "most requests of one address in five minutes", 10),
    groups=Setting(
        (
            "AWSManagedRulesAmazonIpReputationList",
            "AWSManagedRulesCommonRuleSet",
            "AWSManagedRulesKnownBadInputsRuleSet",
        ),
        "AWS's rule groups that must be there",
    ),
)
def firewall_bites(acl: Resource, mostRequests: int, groups: tuple[str, ...]) -> Iterator[Finding]:
    """A rule that only counts, or whose limit nobody reaches, is
    there and stops nothing. (CKV_AWS_192; AWS WAF Developer Guide)

    Fix: hal9:edge.addressLimitPerFiveMinutes; the rules are components/firewall.py's.
    """
    held, limited = set(), False
    for index, rule in enumerate(items(acl, "rules")):
        path, group = f"rules[{index}]", at(rule, "statement.managedRuleGroupStatement.name")
        if at(rule, "overrideAction.count") is not None or at(rule, "action.count") is not None:
            yield Violation(acl, f"{path} ({shown(at(rule, 'name'))}) only counts", "that it blocks")
        elif group is not None:
            held.add(group)
        if (limit := at(rule, "statement.rateBasedStatement.limit")) is not None:
            limited = limited or at(rule, "action.block") is not None
            if is_unknown(limit) or not isinstance(limit, int | float) or limit > mostRequests:
                yield Violation(acl, f"{path}.limit is {shown(limit)}", f"at most {mostRequests}")
    if not limited:
        yield Violation(acl, "no rule limits one address", "a rate-based rule that blocks")
    for name in groups:
        if name not in held:
            yield Violation(acl, f"{name} is absent", "a rule that blocks by it")


POLICIES = (sessions_copied, session_stores_protected, regions_are_watched, origin_verifies_edge, firewall_bites)

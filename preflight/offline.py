"""The plan asked against the facts. Each question yields every finding, and knows nothing of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from facts import account, databases, instances, kubernetes, metrics, replacements
from plan.values import is_unknown, reveal
from policies import tokens
from policies.expect import at, items
from policies.stack import Stack
from preflight.finding import Finding

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ADD_ON = "aws:eks/addon:Addon"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
SLR_PATH = "/aws-service-role/"
POLICY_INPUTS = ("policy", "assumeRolePolicy", "keyPolicy", "resourcePolicy", "accessPolicies")
"""The inputs that hold a resource's policy, of whatever type."""


def alarms_can_fire(stack: Stack, _today: date) -> Iterator[Finding]:
    """Each alarm is on a metric that exists, under dimensions that it has: else it waits for ever."""
    for alarm in stack.of(ALARM):
        asked = [(at(alarm, "namespace"), at(alarm, "metricName"), at(alarm, "dimensions"), alarm.name)]
        asked += [
            (
                at(q, "metric.namespace"),
                at(q, "metric.metricName"),
                at(q, "metric.dimensions"),
                f"{alarm.name} {at(q, 'id')}",
            )
            for q in items(alarm, "metricQueries")
            if at(q, "metric") is not None
        ]
        for namespace, metric, dimensions, name in asked:
            if isinstance(namespace, str) and isinstance(metric, str) and not is_unknown(dimensions):
                yield from _alarm(f"{name} ({ALARM})", namespace, metric, frozenset(dimensions or {}))


def _alarm(resource: str, namespace: str, metric: str, dimensions: frozenset[str]) -> Iterator[Finding]:
    if not namespace.startswith(metrics.OWN):
        return  # somebody's own metric
    sets, check = metrics.dimension_sets(namespace, metric), "alarms can fire"
    if sets is None:
        near = metrics.nearest_metric(namespace, metric)
        fact = f"no source has a metric {metric} of {namespace}"
        instead = (
            f"{near}" if near else "a metric of a known namespace, or its line in facts/data/metrics_of_guides.json"
        )
        yield Finding(check, resource, fact, metrics.source(namespace, metric), instead)
    elif dimensions not in sets:
        known = " or ".join(sorted("{" + ", ".join(sorted(names)) + "}" for names in sets))
        fact = f"{namespace} {metric} does not exist under {{{', '.join(sorted(dimensions))}}}"
        yield Finding(check, resource, fact, metrics.source(namespace, metric), known)


def principals_exist(stack: Stack, _today: date) -> Iterator[Finding]:
    """No policy names, as principal, a role that a fresh account lacks: the service refuses the whole policy."""
    roles = account.service_linked_roles()
    made = {str(at(r, "awsServiceName")) for r in stack.of("aws:iam/serviceLinkedRole:ServiceLinkedRole")}
    for resource in stack.resources:
        if resource.package != "aws":
            continue
        for name in POLICY_INPUTS:
            for principal in _principals(at(resource, name)):
                service = principal.partition(SLR_PATH)[2].partition("/")[0]
                if SLR_PATH not in principal or service in made:
                    continue
                yield Finding(
                    "principals exist",
                    f"{resource.name} ({resource.type})",
                    f"{name} has the principal {principal}, and a fresh account has no "
                    f"{roles.get(service, 'such role')} "
                    f"before {service} made something",
                    account.roles_source(),
                    "the principal * with the conditions kms:CallerAccount and ArnEquals aws:PrincipalArn, "
                    f"or an aws.iam.ServiceLinkedRole for {service}",
                )


def _principals(document: Any) -> Iterator[str]:
    """The AWS principals of a policy document's statements that allow something."""
    document = reveal(document)
    if isinstance(document, str) and not is_unknown(document):
        try:
            document = json.loads(document)
        except ValueError:
            return
    if not isinstance(document, dict):
        return
    statements = document.get("Statement") or []
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Principal") if isinstance(statement, dict) else None
        listed = named.get("AWS", []) if isinstance(named, dict) else []
        yield from (one for one in ([listed] if isinstance(listed, str) else listed) if isinstance(one, str))


def types_sold(stack: Stack, _today: date) -> Iterator[Finding]:
    """Each type of a node group is sold in every zone that the group is in: EKS refuses the group."""
    for group in stack.of(tokens.NODE_GROUP):
        zones = sorted({str(at(s, "availabilityZone")) for s in stack.sources(group, "subnetIds", tokens.SUBNET)})
        for name in map(str, items(group, "instanceTypes")):
            selling = instances.zones_selling(group.region, name)
            if selling is not None and (missing := [zone for zone in zones if zone not in selling]):
                near = instances.nearest(name, group.region, zones, but=[str(t) for t in items(group, "instanceTypes")])
                yield Finding(
                    "types are sold",
                    f"{group.name} ({group.type})",
                    f"{name} is not sold in {', '.join(missing)}",
                    instances.source(),
                    near or "another type",
                )


def nodes_stay(stack: Stack, _today: date) -> Iterator[Finding]:
    """No change of a node group takes its nodes away before others
    stand: a fixed name does, with what cannot be changed.
    """
    for group in stack.of(tokens.NODE_GROUP):
        name = at(group, "nodeGroupName")
        if name is None and not group.delete_before_replace:
            continue
        given = (path for path in group.inputs if path != "nodeGroupName")
        replacing = sorted(replacements.replacing(group.type, given))
        why = f"its name is {name}, which no second group may have," if name is not None else "it is deleted before"
        yield Finding(
            "nodes stay",
            f"{group.name} ({group.type})",
            f"{why} and a change of {', '.join(replacing)} replaces it: the old nodes go before the new ones come",
            replacements.source(),
            "no nodeGroupName (or a nodeGroupNamePrefix), and no deleteBeforeReplace",
        )


def logs_kept(stack: Stack, _today: date) -> Iterator[Finding]:
    """CloudWatch keeps logs for some numbers of days only."""
    for group in stack.of(LOG_GROUP):
        days = at(group, "retentionInDays")
        if isinstance(days, int | float) and days and int(days) not in metrics.retention_days():
            yield Finding(
                "log retention",
                f"{group.name} ({group.type})",
                f"CloudWatch takes no retention of {int(days)} days",
                metrics.retention_source(),
                f"{metrics.nearest_retention(int(days))}",
            )


def versions_supported(stack: Stack, today: date) -> Iterator[Finding]:
    """Each cluster's version is in standard support today, and its add-ons go with it as far as a source says."""
    for cluster in stack.of(tokens.EKS):
        version = str(at(cluster, "version"))
        end, left = kubernetes.supported_until(version), kubernetes.supported(today)
        if version not in kubernetes.versions() or (end and end < today):
            fact = f"Kubernetes {version} left standard support on {end}" if end else f"EKS has no version {version}"
            instead = f"{left[0]}, and one minor version at a time"
            yield Finding("versions supported", f"{cluster.name} ({cluster.type})", fact, kubernetes.source(), instead)
        for add_on in stack.of(ADD_ON):
            mine = add_on.region == cluster.region
            known = kubernetes.add_on_versions(version, str(at(add_on, "addonName"))) if mine else None
            if known and at(add_on, "addonVersion") not in known and str(at(add_on, "addonName")) == "kube-proxy":
                minor = str(at(add_on, "addonVersion")).removeprefix("v").rpartition("-")[0].rpartition(".")[0]
                if minor != version:
                    yield Finding(
                        "versions supported",
                        f"{add_on.name} ({add_on.type})",
                        f"kube-proxy {at(add_on, 'addonVersion')} is not Kubernetes {version}'s",
                        kubernetes.add_on_source(),
                        known[-1],
                    )
        for subnet in stack.sources(cluster, "vpcConfig", tokens.SUBNET):
            zone = str(at(subnet, "availabilityZone"))
            if zone in (closed := kubernetes.closed_zones(cluster.region)):
                yield Finding(
                    "versions supported",
                    f"{cluster.name} ({cluster.type})",
                    f"EKS makes no control plane in {closed[zone]}, which is mostly {zone}",
                    kubernetes.zones_source(),
                    "another zone",
                )


def backups_paired(stack: Stack, _today: date) -> Iterator[Finding]:
    """RDS replicates automated backups between some pairs of regions only."""
    for copy in stack.of(tokens.RDS_BACKUPS_ELSEWHERE):
        for source in stack.sources(copy, "sourceDbInstanceArn", tokens.RDS):
            allowed = databases.backup_regions(source.region)
            if allowed is not None and copy.region not in allowed:
                yield Finding(
                    "backup pairs",
                    f"{copy.name} ({copy.type})",
                    f"RDS does not replicate backups from {source.region} to {copy.region}",
                    databases.backup_source(),
                    f"hal9:regions.*.backupRegion, a region in {', '.join(sorted(allowed))}",
                )


def groups_hold_their_rules(stack: Stack, _today: date) -> Iterator[Finding]:
    """A security group takes its rules: a managed prefix list counts as many as its weight."""
    limit, weight = account.limit("security-group-rules"), account.limit("prefix-list-weight")
    for group in stack.of("aws:ec2/securityGroup:SecurityGroup"):
        for kind in ("Ingress", "Egress"):
            token = f"aws:vpc/securityGroup{kind}Rule:SecurityGroup{kind}Rule"
            rules = stack.users(group, token, "securityGroupId")
            count = sum(weight if at(rule, "prefixListId") is not None else 1 for rule in rules)
            if count > limit:
                yield Finding(
                    "rules of a group",
                    f"{group.name} ({group.type})",
                    f"its {kind.lower()} rules count as {count}, and a group takes {limit}",
                    account.limit_source("prefix-list-weight"),
                    "a group of its own for the prefix list, or fewer rules",
                )


def replicas_can_go(stack: Stack, _today: date) -> Iterator[Finding]:
    """A replica asks for no final snapshot: AWS takes none of it, and refuses to delete it."""
    for db in stack.of(tokens.RDS):
        if at(db, "replicateSourceDb") is not None and at(db, "skipFinalSnapshot") is not True:
            yield Finding(
                "replicas can go",
                f"{db.name} ({db.type})",
                "a read replica has no final snapshot, and with skipFinalSnapshot false it cannot be deleted",
                'Amazon RDS User Guide, "Deleting a DB instance"',
                "skipFinalSnapshot true",
            )


Question = Callable[[Stack, date], Iterator[Finding]]

QUESTIONS: dict[str, Question] = {
    "alarms can fire": alarms_can_fire,
    "principals exist": principals_exist,
    "types are sold": types_sold,
    "nodes stay": nodes_stay,
    "log retention": logs_kept,
    "versions supported": versions_supported,
    "backup pairs": backups_paired,
    "rules of a group": groups_hold_their_rules,
    "replicas can go": replicas_can_go,
}


def findings(stack: Stack, today: date, questions: Sequence[str] = tuple(QUESTIONS)) -> list[Finding]:
    """Every finding of the questions in a stack, in their order."""
    return [finding for name in questions for finding in QUESTIONS[name](stack, today)]

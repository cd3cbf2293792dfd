"""AWS itself, asked by reading alone: quotas, offerings, the image, subscriptions, the zone, backup pairs, add-ons.

Each question is one of `CHECKS`. What AWS does not answer (no leave, no such operation where it is asked) is a finding
of its question too: what could not be asked is not passed. boto3 is loaded here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from facts import account
from policies import tokens
from policies.expect import at, items
from policies.stack import Stack
from preflight import needs
from preflight.finding import Finding
from topology.topology import Topology

ADD_ON = "aws:eks/addon:Addon"


@dataclass
class Clients:
    """boto3's clients, one a service and region, with short time-outs. `endpoint`: where AWS is, for a test."""

    endpoint: str | None = None
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def of(self, service: str, region: str) -> Any:
        """The client of a service in an AWS region."""
        if (service, region) not in self._made:
            settings = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2, "mode": "standard"})
            self._made[service, region] = boto3.client(
                service, region_name=region, endpoint_url=self.endpoint, config=settings
            )
        return self._made[service, region]


def findings(topology: Topology, stack: Stack, clients: Clients) -> list[Finding]:
    """Every finding of every question."""
    found: list[Finding] = []
    for check, question in QUESTIONS.items():
        try:
            found += question(topology, stack, clients)
        except (ClientError, BotoCoreError) as error:
            said = str(error).splitlines()[0]
            found.append(
                Finding(check, "AWS", f"did not answer: {said}", "asked now", "credentials that may read this")
            )
            if check == _ACCOUNT:
                break  # nothing else would be answered
    return found


def the_account(topology: Topology, _stack: Stack, clients: Clients) -> Iterator[Finding]:
    """The credentials are of the stack file's account."""
    have = clients.of("sts", "us-east-1").get_caller_identity()["Account"]
    if have != topology.account_id:
        yield Finding(
            _ACCOUNT,
            "hal9:accountId",
            f"is {topology.account_id}, the credentials are {have}'s",
            "asked now",
            "one of both",
        )


def the_quotas(_topology: Topology, stack: Stack, clients: Clients) -> Iterator[Finding]:
    """What the account is granted in each region is enough for the plan and for an upgrade of its nodes."""
    for need in needs.needs(stack):
        known = account.quota(need.quota)
        try:
            answer = clients.of("service-quotas", need.region).get_service_quota(
                ServiceCode=known.service, QuotaCode=known.code
            )
            have = int(answer["Quota"]["Value"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchResourceException", "NoSuchResource"):
                raise
            have = known.default  # never asked for
        if have < need.most:
            fact = f"{need.region} needs {need.most}: {need.why}; granted are {have} {known.what}"
            yield Finding("quotas granted", need.quota, fact, "asked now", f"`{needs.request(need)}`")


def the_offerings(_topology: Topology, stack: Stack, clients: Clients) -> Iterator[Finding]:
    """Each node type is sold today in the zones of its group."""
    sold: dict[str, set[tuple[str, str]]] = {}
    for group in stack.of(tokens.NODE_GROUP):
        types = [str(name) for name in items(group, "instanceTypes")]
        zones = {str(at(s, "availabilityZone")) for s in stack.sources(group, "subnetIds", tokens.SUBNET)}
        if group.region not in sold:
            wanted = sorted({str(t) for g in stack.of(tokens.NODE_GROUP) for t in items(g, "instanceTypes")})
            pages = clients.of("ec2", group.region).get_paginator("describe_instance_type_offerings")
            asked = pages.paginate(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": wanted}]
            )
            sold[group.region] = {
                (o["InstanceType"], o["Location"]) for page in asked for o in page["InstanceTypeOfferings"]
            }
        for name in types:
            if missing := sorted(zone for zone in zones if (name, zone) not in sold[group.region]):
                fact = f"{name} is not sold in {', '.join(missing)} today"
                yield Finding("types sold today", f"{group.name} ({group.type})", fact, "asked now", "another type")


def the_roles(topology: Topology, _stack: Stack, clients: Clients) -> Iterator[Finding]:
    """The clusters' administrators exist: EKS refuses an access entry for a role that does not."""
    for arn in topology.cluster.admin_role_arns:
        name = arn.rpartition("/")[2]
        try:
            clients.of("iam", "us-east-1").get_role(RoleName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            yield Finding(
                "roles exist",
                "hal9:cluster.adminRoleArns",
                f"there is no role {name}",
                "asked now",
                f"`aws iam create-role --role-name {name} ...`, or another role",
            )


def the_image(topology: Topology, _stack: Stack, clients: Clients) -> Iterator[Finding]:
    """The image's digest is in every region's registry: ECR copies only what is pushed after a region was added."""
    digest = topology.server.image.partition("@")[2]
    if not topology.server.deployed or not digest:
        return
    for region in topology.ordered_regions:
        try:
            clients.of("ecr", region.aws_region).describe_images(
                repositoryName=topology.repository,
                imageIds=[{"imageDigest": digest}],
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("RepositoryNotFoundException", "ImageNotFoundException"):
                raise
            yield Finding(
                "image in every region",
                "hal9:server.image",
                f"{digest[:19]}... is not in {region.aws_region}'s registry",
                "asked now",
                f"`make image STACK={topology.stack}`, which pushes to all",
            )


def the_subscriptions(topology: Topology, _stack: Stack, clients: Clients) -> Iterator[Finding]:
    """Somebody has confirmed each region's alarm subscription: until then every alarm goes nowhere."""
    for region in topology.ordered_regions:
        name = topology.names.of(region.name, "alarms")
        arn = f"arn:aws:sns:{region.aws_region}:{topology.account_id}:{name}"
        try:
            held = clients.of("sns", region.aws_region).list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NotFound", "NotFoundException"):
                raise
            continue  # not deployed yet
        if not any(s["SubscriptionArn"].startswith("arn:") for s in held):
            yield Finding(
                "alarms reach somebody",
                name,
                f"no subscription is confirmed; {topology.alarm_email} got a mail",
                "asked now",
                "the link in that mail",
            )


def the_zone(topology: Topology, _stack: Stack, clients: Clients) -> Iterator[Finding]:
    """The hosted zone that the stack file names is there, and the domain's."""
    zone_id = topology.edge.hosted_zone_id
    if not zone_id:
        return
    try:
        zone = clients.of("route53", "us-east-1").get_hosted_zone(Id=zone_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchHostedZone":
            raise
        yield Finding(
            "zone is there", "hal9:edge.hostedZoneId", f"there is no zone {zone_id}", "asked now", "its id, or none"
        )
        return
    name = zone["HostedZone"]["Name"].rstrip(".")
    if topology.domain != name and not topology.domain.endswith(f".{name}"):
        fact = f"zone {zone_id} is {name}'s, and hal9:domain is {topology.domain}"
        yield Finding("zone is there", "hal9:edge.hostedZoneId", fact, "asked now", f"the zone of {topology.domain}")


def the_backup_pairs(_topology: Topology, stack: Stack, clients: Clients) -> Iterator[Finding]:
    """RDS replicates backups from each primary's region to where the plan sends them."""
    for copy in stack.of(tokens.RDS_BACKUPS_ELSEWHERE):
        answer = clients.of("rds", copy.region).describe_source_regions()["SourceRegions"]
        able = {s["RegionName"] for s in answer if s.get("SupportsDBInstanceAutomatedBackupsReplication")}
        for source in stack.sources(copy, "sourceDbInstanceArn", tokens.RDS):
            if source.region not in able:
                fact = f"{copy.region} takes no backups from {source.region}"
                yield Finding(
                    "backup pairs today",
                    f"{copy.name} ({copy.type})",
                    fact,
                    "asked now",
                    f"one of {', '.join(sorted(able))}",
                )


def the_add_ons(topology: Topology, stack: Stack, clients: Clients) -> Iterator[Finding]:
    """EKS has each add-on's version for the clusters' version."""
    seen: dict[tuple[str, str], set[str]] = {}
    for add_on in stack.of(ADD_ON):
        name, version = str(at(add_on, "addonName")), str(at(add_on, "addonVersion"))
        if (add_on.region, name) not in seen:
            answer = clients.of("eks", add_on.region).describe_addon_versions(
                kubernetesVersion=topology.cluster.version, addonName=name
            )
            seen[add_on.region, name] = {
                v["addonVersion"] for a in answer.get("addons", []) for v in a.get("addonVersions", [])
            }
        if version not in (known := seen[add_on.region, name]):
            fact = f"EKS {topology.cluster.version} has no {name} {version}"
            yield Finding(
                "add-ons today", f"{add_on.name} ({add_on.type})", fact, "asked now", max(known, default="none")
            )


_ACCOUNT = "account"
Question = Callable[[Topology, Stack, Clients], Iterator[Finding]]
QUESTIONS: dict[str, Question] = {
    _ACCOUNT: the_account,
    "roles exist": the_roles,
    "quotas granted": the_quotas,
    "types sold today": the_offerings,
    "zone is there": the_zone,
    "backup pairs today": the_backup_pairs,
    "add-ons today": the_add_ons,
    "image in every region": the_image,
    "alarms reach somebody": the_subscriptions,
}
CHECKS = list(QUESTIONS)

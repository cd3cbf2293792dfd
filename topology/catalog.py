"""Facts about AWS that a stack file is checked against: regions, zones, instance sizes, limits.

Pure data and arithmetic: nothing here asks the cloud, so a preview stays offline and stable. What is not
in a table is refused with a message that says so. Tables with a source and a date of their own are in facts/.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from facts import instances

AWS_REGIONS: dict[str, str] = {
    "af-south-1": "abc",
    "ap-east-1": "abc",
    "ap-northeast-1": "acd",
    "ap-northeast-2": "abcd",
    "ap-northeast-3": "abc",
    "ap-south-1": "abc",
    "ap-south-2": "abc",
    "ap-southeast-1": "abc",
    "ap-southeast-2": "abc",
    "ap-southeast-3": "abc",
    "ap-southeast-4": "abc",
    "ca-central-1": "abd",
    "ca-west-1": "abc",
    "eu-central-1": "abc",
    "eu-central-2": "abc",
    "eu-north-1": "abc",
    "eu-south-1": "abc",
    "eu-south-2": "abc",
    "eu-west-1": "abc",
    "eu-west-2": "abc",
    "eu-west-3": "abc",
    "il-central-1": "abc",
    "me-central-1": "abc",
    "me-south-1": "abc",
    "mx-central-1": "abc",
    "sa-east-1": "abc",
    "us-east-1": "abcdef",
    "us-east-2": "abc",
    "us-west-1": "abc",
    "us-west-2": "abcd",
}
"""Commercial AWS regions and the letters of their zones (AWS General Reference)."""

POLICY_VERSION = "2012-10-17"
"""Of the language that IAM's documents are written in."""
CLOUDWATCH, RDS_EVENTS, POD_IDENTITY = "cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "pods.eks.amazonaws.com"
"""AWS's services as principals, where more than one document names them."""
GLOBAL_AWS_REGION = "us-east-1"
"""Where CloudFront's certificate and web ACL must be."""

# Families that the database and the cache come in (RDS and ElastiCache User Guides, "Supported node types").
_RDS_FAMILIES = frozenset("t3 t4g m5 m6i m6g m6in m7i m7g m8g r5 r6i r6g r6gd r6in r7i r7g r8g".split())
_ELASTICACHE_FAMILIES = frozenset("t3 t4g m5 m6g m7g r5 r6g r6gd r7g c7gn".split())


@dataclass(frozen=True)
class InstanceSize:
    """vCPUs, memory in GiB, and processor architecture of an instance type."""

    vcpus: int
    memory_gib: float
    architecture: str
    burstable: bool


def instance_size(instance_type: str) -> InstanceSize | None:
    """The size of an EC2 type such as m6i.large, or None where facts/ does not have it."""
    known = instances.size(instance_type)
    if known is None:
        return None
    return InstanceSize(known.vcpus, known.memory_gib, known.architecture, burstable=instance_type.startswith("t"))


def database_size(instance_class: str) -> InstanceSize | None:
    """The size of an RDS class such as db.r6g.large, or None where the tables do not know it."""
    return _size_of(instance_class, "db.", _RDS_FAMILIES)


def cache_size(node_type: str) -> InstanceSize | None:
    """The size of an ElastiCache node type such as cache.r6g.large, or None where the tables do not know it."""
    return _size_of(node_type, "cache.", _ELASTICACHE_FAMILIES)


def _size_of(name: str, prefix: str, families: frozenset[str]) -> InstanceSize | None:
    instance_type = name.removeprefix(prefix)
    if (
        prefix == "cache."
        and instance_type.startswith("t")
        and not instance_type.endswith((".micro", ".small", ".medium"))
    ):
        return None  # ElastiCache's burstable nodes end there
    known = name.startswith(prefix) and instance_type.partition(".")[0] in families
    return instance_size(instance_type) if known else None


def default_max_connections(instance_class: str) -> int | None:
    """`max_connections` that RDS gives a Postgres class: LEAST(DBInstanceClassMemory / 9531392, 5000).

    DBInstanceClassMemory is what is left of the nominal memory for the database process; 90% is taken for it.
    (RDS User Guide, "Maximum number of database connections")
    """
    size = database_size(instance_class)
    return None if size is None else min(5000, int(size.memory_gib * 1024**3 * 0.9) // 9531392)


MAX_DATASTORE_SECONDARIES = 2
"""Secondary regions that a Global Datastore takes (ElastiCache User Guide, "Prerequisites and limitations")."""


def global_datastore_takes(node_type: str) -> bool:
    """Whether a Global Datastore takes this node type: m5, r5 or newer, no t class (ElastiCache User Guide)."""
    return cache_size(node_type) is not None and node_type.removeprefix("cache.")[0] in "mr"


NODE_RESERVED_CPU = 0.8
"""vCPUs of a node that pods of ours cannot have: kubelet's and the system's reserve, and the daemon sets' requests."""
NODE_RESERVED_MEMORY_GIB = 2.5
"""GiB likewise."""


def pods_on_node(size: InstanceSize, cpu: float, memory_gib: float) -> int:
    """How many pods that request `cpu` cores and `memory_gib` GiB fit a node of `size`."""
    by_cpu = (size.vcpus - NODE_RESERVED_CPU) / cpu
    by_memory = (size.memory_gib - NODE_RESERVED_MEMORY_GIB) / memory_gib
    return max(0, math.floor(min(by_cpu, by_memory) + 1e-9))  # (2 - 0.8) / 0.1 is 12, not 11.999...


COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()
)
"""ISO 3166-1 alpha-2 codes, as CloudFront's viewer country and WAF's geographic match use them."""

CLOUDFRONT_PREFIX_LISTS: dict[str, str] = {
    "ap-northeast-1": "pl-58a04531",
    "ap-northeast-2": "pl-22a6434b",
    "ap-south-1": "pl-9aa247f3",
    "ap-southeast-1": "pl-31a34658",
    "ap-southeast-2": "pl-b8a742d1",
    "ca-central-1": "pl-38a64351",
    "eu-central-1": "pl-a3a144ca",
    "eu-north-1": "pl-fab65393",
    "eu-west-1": "pl-4fa04526",
    "eu-west-2": "pl-93a247fa",
    "eu-west-3": "pl-75b1541c",
    "sa-east-1": "pl-5da64334",
    "us-east-1": "pl-3b927c52",
    "us-east-2": "pl-b6a144df",
    "us-west-1": "pl-4ea04527",
    "us-west-2": "pl-82a045eb",
}
"""AWS's managed prefix list `com.amazonaws.global.cloudfront.origin-facing` by AWS region: its id differs in each and
never changes. (aws ec2 describe-managed-prefix-lists)"""

CLUSTER_AUTOSCALER_CHARTS = "https://kubernetes.github.io/autoscaler"
CLUSTER_AUTOSCALERS: dict[str, str] = {
    **dict.fromkeys(("9.45.0", "9.45.1", *(f"9.46.{patch}" for patch in range(7))), "1.32"),
    **dict.fromkeys(("9.47.0", "9.48.0", "9.49.0", "9.50.0", "9.50.1", "9.51.0"), "1.33"),
    **dict.fromkeys(("9.52.0", "9.52.1", "9.53.0"), "1.34"),
    **dict.fromkeys(("9.54.0", "9.54.1", "9.55.0", "9.55.1", "9.56.0", "9.57.0", "9.58.0", "9.59.0"), "1.35"),
}
"""The minor of cluster-autoscaler that each version of its chart brings, and has the rights for (kubernetes/autoscaler,
`appVersion` of its charts, read 2026-11-28). With the rights of an older chart it waits for ever, Running and Ready."""


_POSTGRES = {15: (2, 19), 16: (1, 15), 17: (1, 11), 18: (1, 5)}
"""Minor versions of each major: RDS's first, and the last that PostgreSQL's calendar has by 2026-11 ("Versioning
policy": one a quarter). Whether RDS has that one already no source here says, and what comes after it is not known.
"""


def postgres_version(text: str) -> str:
    """A Postgres version of RDS, such as 16 or 16.4. ValueError with those that there are."""
    found = re.fullmatch(r"([0-9]{1,3})(?:\.(0|[1-9][0-9]{0,2}))?", text)
    major = int(found[1]) if found else 0
    if not found or major not in _POSTGRES:
        majors = ", ".join(map(str, _POSTGRES))
        raise ValueError(
            f"{text[:20]!r} is no Postgres version of RDS; there are {majors}, alone or with a minor such as 16.4"
        )
    first, last = _POSTGRES[major]
    if found[2] and int(found[2]) < first:
        raise ValueError(
            f"{text!r} is no Postgres version of RDS, whose first is {major}.{first}; {major} alone takes its newest"
        )
    if found[2] and int(found[2]) > last:
        raise ValueError(
            f"{text!r} is not known: by PostgreSQL's calendar {major}.{last} is the last of 2026-11; "
            f"{major} alone takes RDS's newest"
        )
    return text


NO_INSIGHTS = frozenset(("db.t3.micro", "db.t3.small", "db.t4g.micro", "db.t4g.small"))
"""Classes for which RDS has no Performance Insights, without which no database of ours is (RDS User Guide)."""
MOST_CACHE_NODES = 500
"""Nodes of a Redis cluster (ElastiCache User Guide, "Quotas for ElastiCache")."""
INTERFACE_ENDPOINTS = frozenset(
    """
    access-analyzer acm-pca application-autoscaling appmesh aps-workspaces athena autoscaling autoscaling-plans
    backup cloudformation cloudtrail codebuild config dms ds ebs ec2 ec2messages ecr.api ecr.dkr ecs ecs-agent
    ecs-telemetry eks eks-auth elasticache elasticfilesystem elasticloadbalancing email-smtp events evidently
    execute-api fis guardduty-data inspector2 kinesis-firehose kinesis-streams kms lambda logs monitoring
    organizations rds rds-data redshift s3 secretsmanager securityhub servicecatalog servicediscovery sns sqs ssm
    ssm-contacts ssm-incidents ssmmessages states sts synthetics tagging transfer wafv2 xray
    """.split()
)
"""AWS services with an interface endpoint, by the end of `com.amazonaws.REGION.` (PrivateLink Guide)."""
MEANT_COUNTRIES = {"UK": "GB", "EL": "GR", "EN": "GB", "SF": "FI", "XK": "RS", "SU": "RU", "UAE": "AE", "USA": "US"}
"""What is often written for a country's code."""

"""Regions, their network, and the edge before them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from topology import addressing, forms
from topology.forms import Like
from topology.settings.autoscaling import Pods
from topology.settings.base import AS_NUMBER, Block, LogDays, Positive, Settings, Switch

Clock = Annotated[str, AfterValidator(forms.clock)]


class ScheduleWindow(Settings):
    """A daily window, in the region's local time, in which at least `min_replicas` pods run."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(min_length=1, examples=[["mon"]])
    start: Clock = Field(examples=["00:00"])
    end: Clock = Field(examples=["00:01"])
    min_replicas: Pods = Field(examples=[10])


class Region(Settings):
    """One region: where it is, its address block, its zones, and the countries whose users it serves."""

    name: str = Field("", alias="$name")
    aws_region: str = Field(examples=["us-west-2"])
    cidr: Block = Field(examples=["172.16.0.0/16"])
    zones: tuple[str, ...] = Field(min_length=1, max_length=addressing.MAX_ZONES, examples=[["us-west-2a"]])
    nat_gateways: Literal["zone", "one"] = "zone"
    timezone: str = "Etc/UTC"
    countries: tuple[str, ...] = ()
    schedule: tuple[ScheduleWindow, ...] = ()
    on_demand_instance_types: tuple[str, ...] | None = None
    """The on-demand nodes' types here, the first the one that is wanted. Default: cluster.onDemand's."""
    spot_instance_types: tuple[str, ...] | None = None
    """The spot nodes' types here. Default: cluster.spot's."""
    node_release: str | None = None
    """The nodes' image here, so that regions are patched one after the other. Default: cluster.nodeRelease."""
    backup_region: str | None = None
    """Where the backups of databases at home here are replicated to. Default: the first other
    region that RDS replicates them to."""
    session_replicas: tuple[str, ...] | None = None
    """Regions with a secondary of this region's Global Datastore. Default: the first two other regions."""
    session_generations: dict[str, Positive] = Field(default_factory=dict)
    """How often a member of this region's Global Datastore was made anew, by the region that it stands in."""
    leaving: Switch = False
    """True: being emptied, to be taken out in a later step. No shard, copy or country has it any more."""

    @property
    def private_blocks(self) -> dict[str, IPv4Network]:
        """The private subnets' address blocks by zone: where the app's pods, and no others, are."""
        return self._blocks(addressing.Tier.PRIVATE)

    @property
    def data_blocks(self) -> dict[str, IPv4Network]:
        """The data subnets' address blocks by zone: where databases and stores, and nothing else, are."""
        return self._blocks(addressing.Tier.DATA)

    def _blocks(self, tier: addressing.Tier) -> dict[str, IPv4Network]:
        return {zone: addressing.subnet(self.cidr, tier, addressing.place(zone)) for zone in self.zones_in_order}

    @property
    def zones_in_order(self) -> tuple[str, ...]:
        """The zones by letter: in which order the stack file lists them means nothing."""
        return tuple(sorted(self.zones))


class Network(Settings):
    """Each region's VPC. `interface_endpoints` are AWS services
    reached without the internet; each costs by the hour.
    """

    interface_endpoints: tuple[str, ...] = (
        "ecr.api",
        "ecr.dkr",
        "sts",
        "secretsmanager",
        "kms",
        "logs",
        "ec2",
        "elasticloadbalancing",
        "autoscaling",
        "eks",
        "eks-auth",
    )
    flow_log_retention_days: LogDays = 90


class Edge(Settings):
    """CloudFront, WAF and DNS before the regions. `hosted_zone_id` empty: the program makes the zone."""

    hosted_zone_id: Annotated[
        str,
        AfterValidator(
            Like(r"(Z[A-Z0-9]{1,31})?", "a Route 53 zone id such as Z0123456789ABC (without /hostedzone/), or empty")
        ),
    ] = ""
    price_class: Literal["PriceClass_100", "PriceClass_200", "PriceClass_All"] = "PriceClass_All"
    shield_advanced: Switch = False
    address_limit_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000), AS_NUMBER] = 30_000
    """WAF's limit for one address: the specification's 100 r/s of nginx over WAF's window of 300 s."""
    blocked_countries: tuple[str, ...] = ("CU", "IR", "KP", "SY")
    default_region: str = ""
    """Region of users whose country is in no region's list; empty: the first region."""
    log_retention_days: LogDays = 90

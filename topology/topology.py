"""The stack file as one typed, frozen model: the single source of every number that is a setting.

`load.load()` reads the running stack's configuration; everything else in the program takes its values from the
result, settings and what follows from them alike. Nothing here makes a resource or asks the cloud.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, Field

from facts import databases, instances
from topology import catalog, forms
from topology.forms import Like
from topology.instances import Instance
from topology.naming import Names
from topology.settings import (
    Acceptance,
    Autoscaling,
    Cache,
    Charts,
    Cluster,
    Credentials,
    Database,
    Edge,
    Gateway,
    Identity,
    Lab,
    Limits,
    Mesh,
    Monitoring,
    Network,
    PolicyException,
    Pools,
    Redis,
    Region,
    Server,
    Sessions,
    Settings,
    Shard,
)
from topology.settings.base import Switch


class Topology(Settings):
    """The whole stack. `regions` is ordered by address block, so that
    a region added behind the others changes no order.
    """

    stack: str = Field("", alias="$stack")
    account_id: Annotated[str, AfterValidator(Like(r"(?!0{12})[0-9]{12}", "an AWS account id of twelve digits"))] = (
        Field(examples=["123456789012"])
    )
    owner: Annotated[str, AfterValidator(forms.tag_value)] = Field(examples=["platform"])
    domain: Annotated[str, AfterValidator(forms.domain)] = Field(examples=["example.com"])
    alarm_email: Annotated[str, AfterValidator(Like(r"[^@\s]+@[^@\s]+", "an e-mail address"))] = Field(
        examples=["oncall@example.com"]
    )
    protect: Switch = True
    keep_backups: Switch = True
    """Whether what is deleted leaves its final snapshot, its
    automated backups and its secrets' time of grace behind.
    """
    quotas: dict[str, int] = Field({})
    """What the account was granted in each region, by the
    names of facts/data/quotas.json: `make preflight` compares.
    """
    regions: dict[str, Region] = Field(min_length=1)
    network: Network = Network()
    cluster: Cluster = Field(examples=[{"adminRoleArns": ["arn:aws:iam::123456789012:role/deployer"]}])
    server: Server = Server()
    autoscaling: Autoscaling = Autoscaling()
    database: Database = Database()
    shards: tuple[Shard, ...] = Field(min_length=1, examples=[[{"id": 0, "home": "", "slots": ["0-999"]}]])
    pools: Pools = Pools()
    credentials: Credentials = Credentials()
    redis: Redis = Redis()
    cache: Cache = Cache()
    sessions: Sessions = Field(examples=[{"keyring": [{"id": "k1", "state": "active"}]}])
    limits: Limits = Limits()
    identity: Identity = Field(examples=[{}])
    edge: Edge = Edge()
    mesh: Mesh = Mesh()
    gateway: Gateway = Gateway()
    monitoring: Monitoring = Monitoring()
    charts: Charts = Charts()
    lab: Lab = Lab()
    policy_exceptions: tuple[PolicyException, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    """Refused edits that this step makes all the same; each holds once."""

    @cached_property
    def ordered_regions(self) -> tuple[Region, ...]:
        """Regions by address block: the order of the specification's
        lists, and stable when a region is added behind.
        """
        return tuple(sorted(self.regions.values(), key=lambda r: (r.cidr.network_address, r.name)))

    @cached_property
    def names(self) -> Names:
        """The rule for this stack's names and tags."""
        return Names(self.stack, self.owner)

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions' names, in order."""
        return tuple(region.name for region in self.ordered_regions)

    @cached_property
    def data_blocks(self) -> dict[str, IPv4Network]:
        """The data subnets' address blocks of every region, by zone."""
        return {zone: block for region in self.ordered_regions for zone, block in region.data_blocks.items()}

    @cached_property
    def private_blocks(self) -> dict[str, IPv4Network]:
        """The private subnets' address blocks of every region, by zone: a zone's name tells its region."""
        return {zone: block for region in self.ordered_regions for zone, block in region.private_blocks.items()}

    @property
    def repository(self) -> str:
        """The image's repository, without tag or digest."""
        return self.server.image.partition("@")[0].partition(":")[0]

    @property
    def origin(self) -> str:
        """The name by which CloudFront finds the nearest region's load balancer."""
        return f"origin.{self.domain}"

    @property
    def production(self) -> bool:
        """Whether a mistake must not lose data: protection, image digest and final snapshots are then required."""
        return self.protect

    def others(self, region: str) -> tuple[Region, ...]:
        """Every region but one, in order."""
        return tuple(r for r in self.ordered_regions if r.name != region)

    @cached_property
    def staying(self) -> tuple[Region, ...]:
        """The regions that are not being emptied, in order: where copies and users may live."""
        return tuple(region for region in self.ordered_regions if not region.leaving)

    def replica_regions(self, shard: Shard) -> tuple[str, ...]:
        """Where a shard's read replicas are: one in every other region first, then beside the primary."""
        order = [*(r.name for r in self.staying if r.name != shard.at), shard.at]
        factor = self.database.replication_factor
        return tuple(order[: len(order) if factor is None else factor])

    def instances(self, shard: Shard) -> tuple[Instance, ...]:
        """A shard's Postgres instances by place, the primary first."""
        made = shard.generations.get(shard.at, 1)
        primary = Instance(
            shard.id,
            shard.at,
            generation=made,
            primary=True,
            born_primary=made == 1 and shard.at == shard.home,
        )
        replicas = [Instance(shard.id, name, second=name == shard.at) for name in self.replica_regions(shard)]
        return (primary, *(replace(one, generation=shard.generations.get(one.place, 1)) for one in replicas))

    def session_replica_regions(self, region: Region) -> tuple[str, ...]:
        """Where the secondaries of a region's Global Datastore are."""
        if region.session_replicas is not None:
            return region.session_replicas
        others = [r.name for r in self.staying if r.name != region.name]
        return tuple(others[: catalog.MAX_DATASTORE_SECONDARIES]) if not region.leaving else ()

    def backup_region(self, region: str) -> str | None:
        """Where a home region's database backups are replicated to: as the
        stack file says, or the first other region that RDS replicates them to.
        """
        allowed, others = databases.backup_regions(self.regions[region].aws_region), self.others(region)
        others = tuple(other for other in others if not other.leaving)
        paired = [other for other in others if allowed is None or other.aws_region in allowed]
        return self.regions[region].backup_region or next((r.name for r in paired or others), None)

    def on_demand_types(self, region: Region) -> tuple[str, ...]:
        """The types that a region's on-demand nodes may be of, the wanted one first."""
        nodes, others = self.cluster.on_demand, self.cluster.on_demand.other_instance_types
        if others is None:  # alike everywhere, as the regions are to be
            sold = [instances.alike(nodes.instance_type, r.aws_region, r.zones) for r in self.ordered_regions]
            others = tuple(name for name in sold[0] if all(name in names for names in sold))[:2]
        return region.on_demand_instance_types or (nodes.instance_type, *others)

    def spot_types(self, region: Region) -> tuple[str, ...]:
        """The types that a region's spot nodes may be of."""
        return region.spot_instance_types or self.cluster.spot.instance_types

    def round_trip_seconds(self, first: str, second: str) -> float:
        """The lab's round trip between two regions."""
        table, pair = self.lab.round_trip_ms, (f"{first}--{second}", f"{second}--{first}")
        return next((table[key] for key in pair if key in table), self.lab.default_round_trip_ms) / 1000

    @cached_property
    def weights(self) -> dict[str, int]:
        """Percent of requests without a region that each region
        gets; by default even, the first regions take the rest.
        """
        if self.mesh.weights is not None:
            return self.mesh.weights
        share, rest = divmod(100, len(self.staying) or 1)
        even = {region.name: share + (1 if place < rest else 0) for place, region in enumerate(self.staying)}
        return {r.name: even.get(r.name, 0) for r in self.ordered_regions}

    @cached_property
    def default_region(self) -> str:
        """The region of a user whose country no region lists."""
        return self.edge.default_region or (self.staying or self.ordered_regions)[0].name

    @cached_property
    def countries(self) -> dict[str, str]:
        """Viewer's country to region."""
        return {country: region.name for region in self.ordered_regions for country in region.countries}

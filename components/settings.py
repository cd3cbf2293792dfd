"""The parts of a stack file, each a frozen model: what may be set, its unit, and its default.

Defaults are the specification's values. Keys are camelCase in the stack file, as in Pulumi and Kubernetes.
`topology.py` puts the parts together; `rules` checks what no single part can see.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from ipaddress import IPv4Network
from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic.alias_generators import to_camel

from app.deployment import CacheConfig, KeyRange, LimitConfig, PoolConfig, ReadPreference, SessionConfig
from components import addressing, forms
from components.forms import Like

Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=1, le=100)]
Quantity = Annotated[float, BeforeValidator(forms.number), Field(gt=0, allow_inf_nan=False)]
Block = Annotated[IPv4Network, PlainValidator(forms.block)]
Clock = Annotated[str, AfterValidator(Like(r"([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day such as 07:00"))]
HttpsUrl = Annotated[str, AfterValidator(Like(r"https://\S+", "an https:// address"))]
RoleArn = Annotated[
    str,
    AfterValidator(Like(r"arn:aws:iam::[0-9]{12}:role/\S+", "a role such as arn:aws:iam::123456789012:role/deployer")),
]

_POOLS = PoolConfig(primary_size=0, replica_size=0)
_SESSIONS = SessionConfig(keyring=())


class Settings(pydantic.BaseModel):
    """Base of every part: immutable, camelCase keys, unknown keys refused, no silent conversion."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class ScheduleWindow(Settings):
    """A daily window, in the region's local time, in which at least `min_replicas` pods run."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(min_length=1, examples=[["mon"]])
    start: Clock = Field(examples=["00:00"])
    end: Clock = Field(examples=["00:01"])
    min_replicas: Positive = Field(examples=[10])


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
    session_replicas: tuple[str, ...] | None = None
    """Regions with a secondary of this region's Global Datastore. Default: the first two other regions."""

    @property
    def private_blocks(self) -> dict[str, IPv4Network]:
        """The private subnets' address blocks by zone: where the app's pods, and no others, are."""
        return {
            zone: addressing.subnet(self.cidr, addressing.Tier.PRIVATE, place) for place, zone in enumerate(self.zones)
        }


class Network(Settings):
    """Each region's VPC. `interface_endpoints` are AWS services reached without the internet; each costs by the hour."""

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
    flow_log_retention_days: Positive = 90


class OnDemandNodes(Settings):
    """The on-demand node group of each region. `min_nodes` must hold minReplicas pods."""

    instance_type: str = "m6i.2xlarge"
    min_nodes: Positive = 3
    max_nodes: Positive = 6


class SpotNodes(Settings):
    """The spot node group of each region: five or more types of one size."""

    instance_types: tuple[str, ...] = (
        "m6i.2xlarge",
        "m6a.2xlarge",
        "m5.2xlarge",
        "m5a.2xlarge",
        "m7i.2xlarge",
        "m5n.2xlarge",
    )
    min_nodes: Annotated[int, Field(ge=0)] = 0
    max_nodes: Positive = 20


class AddOns(Settings):
    """Pinned EKS add-on versions; `aws eks describe-addon-versions --kubernetes-version` lists what a version takes."""

    vpc_cni: str = "v1.21.1-eksbuild.3"
    kube_proxy: str = "v1.35.0-eksbuild.2"
    coredns: str = "v1.13.2-eksbuild.1"
    pod_identity_agent: str = "v1.3.10-eksbuild.2"
    ebs_csi_driver: str = "v1.55.0-eksbuild.2"


class Cluster(Settings):
    """EKS in each region. The endpoint is private; `public_access_cidrs` opens it to the listed addresses."""

    version: Annotated[str, AfterValidator(Like(r"1\.[0-9]{2}", "a Kubernetes version such as 1.35"))] = "1.35"
    admin_role_arns: tuple[RoleArn, ...] = Field(min_length=1, examples=[["arn:aws:iam::123456789012:role/deployer"]])
    public_access_cidrs: tuple[Block, ...] = Field((), examples=[["172.16.0.0/16"]])
    disk_gib: Positive = 100
    log_retention_days: Positive = 90
    on_demand: OnDemandNodes = OnDemandNodes()
    spot: SpotNodes = SpotNodes()
    add_ons: AddOns = AddOns()


class Resources(Settings):
    """What one `hal9-server` pod asks for and may use (specification: 1 and 2 CPUs, 2 and 4 GiB). CPUs in cores, memory in GiB."""

    cpu_request: Quantity = 1
    cpu_limit: Quantity = 2
    memory_request_gib: Quantity = 2
    memory_limit_gib: Quantity = 4
    sidecar_cpu_request: Quantity = 0.1
    sidecar_memory_request_gib: Quantity = 0.125


class Server(Settings):
    """The `hal9-server` workload. `image` is a repository path below the registry with a digest; `make image` writes it."""

    image: Annotated[
        str,
        AfterValidator(
            Like(
                r"[a-z0-9][a-z0-9/._-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
                "a repository with a tag or digest, such as hal9-server@sha256: and 64 hexadecimal digits",
            )
        ),
    ] = "hal9-server"
    deployed: bool = True
    """False: AWS alone, nothing inside the clusters yet. For the first `up`, when there is no registry to push to."""
    resources: Resources = Resources()
    max_surge_percent: Percent = 25


class Gateway(Settings):
    """nginx in each region. `image` is a whole reference; in production with its digest. Rates are the specification's."""

    image: Annotated[
        str,
        AfterValidator(
            Like(
                r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
                "an image with a tag or digest, such as public.ecr.aws/nginx/nginx-unprivileged:1.28.0",
            )
        ),
    ] = "public.ecr.aws/nginx/nginx-unprivileged:1.28.0"
    replicas: Annotated[int, Field(ge=2)] = 3
    address_rate: Positive = 100
    address_burst: Positive = 200


class Charts(Settings):
    """Pinned versions of the Helm charts that every cluster gets."""

    istio: str = "1.31.4"
    metrics_server: str = "3.13.1"
    prometheus_stack: str = "77.11.1"
    prometheus_adapter: str = "4.14.1"
    cluster_autoscaler: str = "9.50.1"
    load_balancer_controller: str = "3.2.2"
    secrets_store_driver: str = "1.5.3"
    secrets_store_provider: str = "2.2.0"


class Monitoring(Settings):
    """Prometheus in each region. `distance_seconds`: the round trip that distance alone costs, by pair `source destination`;
    the specification's alert on latency between regions is about what comes on top of it."""

    retention_days: Positive = 15
    storage_gib: Positive = 50
    session_key_days: Positive = 90
    distance_seconds: dict[str, Annotated[float, Field(ge=0)]] = {}


class ScalePolicy(Settings):
    """One step of an autoscaler: at most `value` pods or percent in `period_seconds`."""

    type: Literal["Percent", "Pods"]
    value: Positive
    period_seconds: Positive = 60


class ScaleRules(Settings):
    """Steps in one direction and how they combine. `stabilization_window_seconds`: how long the recommendation must hold."""

    stabilization_window_seconds: Annotated[int, Field(ge=0)]
    policies: tuple[ScalePolicy, ...] = Field(min_length=1, examples=[[{"type": "Pods", "value": 1}]])
    select_policy: Literal["Max", "Min"] | None = None


class Autoscaling(Settings):
    """The horizontal pod autoscaler of each region; defaults are the specification's section 1."""

    min_replicas: Positive = 10
    max_replicas: Positive = 100
    cpu_utilization: Percent = 70
    memory_utilization: Percent = 80
    users_per_pod: Positive = 20
    scale_down: ScaleRules = ScaleRules(
        stabilization_window_seconds=300, policies=(ScalePolicy(type="Percent", value=50),)
    )
    scale_up: ScaleRules = ScaleRules(
        stabilization_window_seconds=0,
        policies=(ScalePolicy(type="Percent", value=100), ScalePolicy(type="Pods", value=10)),
    )
    scheduled_scale_down: ScaleRules = ScaleRules(
        stabilization_window_seconds=300,
        policies=(ScalePolicy(type="Pods", value=10, period_seconds=300),),
        select_policy="Min",
    )
    scheduled_scale_up: ScaleRules = ScaleRules(
        stabilization_window_seconds=0, policies=(ScalePolicy(type="Pods", value=20),), select_policy="Max"
    )


class Shard(Settings):
    """One shard: the region of its primary and the slots that it owns, as ranges such as 0-333.

    A new shard has none: it gets its slots from the others, by `python -m app.reshard`, while all serve.
    """

    id: Annotated[int, Field(ge=0)] = Field(examples=[999])
    home: str = Field(examples=[""])
    slots: tuple[Annotated[str, AfterValidator(Like(r"[0-9]+-[0-9]+", "a range of slots such as 0-333"))], ...] = Field(
        (), examples=[["0-999"]]
    )

    @cached_property
    def key_ranges(self) -> tuple[KeyRange, ...]:
        """The slot ranges as the deployment document writes them."""
        ends = [tuple(map(int, text.split("-"))) for text in self.slots]
        return tuple(KeyRange(start=start, end=end) for start, end in ends)


class Database(Settings):
    """Every shard's Postgres. `replication_factor` read replicas, one a region: other regions first, then home."""

    engine_version: Annotated[
        str,
        BeforeValidator(forms.digits),
        AfterValidator(Like(r"1[5-9](\.[0-9]+)?", "a Postgres version from 15 on, such as 16 or 16.4")),
    ] = "16"
    instance_class: str = "db.r6g.2xlarge"
    storage_gib: Annotated[int, Field(ge=20)] = 200
    max_storage_gib: Annotated[int, Field(ge=20)] = 1000
    max_connections: Positive = 5000
    reserved_connections: Positive = 100
    multi_az: bool = True
    backup_retention_days: Annotated[int, Field(ge=1, le=35)] = 14
    monitoring_interval_seconds: Literal[0, 1, 5, 10, 15, 30, 60] = 30
    replication_factor: Annotated[int, Field(ge=0)] | None = None
    """Default: one replica in each region."""
    read_preference: Annotated[ReadPreference, Field(strict=False)] = ReadPreference.NEAREST
    slot_wal_limit_mib: Positive = 20_480
    """WAL that an unread replication slot may keep on disk before Postgres gives the slot up."""
    replica_lag_alarm_seconds: Positive = 30
    map_epoch: Positive = 1
    """Grows with every change of a slot's owner; `python -m app.reshard` prints the value to write here."""


class Pools(Settings):
    """Connection pools. `size` is derived from the budget where it is absent; the specification's values are the caps."""

    size: Positive | None = None
    max_connections: Positive = _POOLS.max_connections
    connect_timeout_seconds: Quantity = _POOLS.connect_timeout_seconds
    idle_timeout_seconds: Quantity = _POOLS.idle_timeout_seconds
    max_lifetime_seconds: Quantity = _POOLS.max_lifetime_seconds
    statement_cache_capacity: Positive = _POOLS.statement_cache_capacity
    statement_timeout_seconds: Quantity = _POOLS.statement_timeout_seconds


class CacheNodes(Settings):
    """A region's cache: Redis in cluster mode, local to the region."""

    node_type: str = "cache.r6g.large"
    shards: Positive = 3
    replicas_per_shard: Annotated[int, Field(ge=0, le=5)] = 1


class SessionNodes(Settings):
    """A region's session store: the primary of a Global Datastore with read-only secondaries in other regions."""

    node_type: str = "cache.r6g.large"
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    snapshot_retention_days: Annotated[int, Field(ge=0, le=35)] = 7


class Redis(Settings):
    """ElastiCache in each region."""

    engine_version: Annotated[str, AfterValidator(Like(r"7\.[0-9]", "a Redis version such as 7.1"))] = "7.1"
    cache: CacheNodes = CacheNodes()
    sessions: SessionNodes = SessionNodes()


class SessionKey(Settings):
    """A session key by id. Rotation (docs/runbooks): add it as `decrypt`, make it `active`, wait the TTL, then `retired`."""

    id: Annotated[
        str,
        BeforeValidator(forms.digits),
        AfterValidator(Like(r"[a-z0-9][a-z0-9-]{0,30}", "an id of at most 31 small letters, digits and hyphens")),
    ] = Field(examples=["k1"])
    state: Literal["active", "decrypt", "retired"] = Field(examples=["active"])


class Sessions(Settings):
    """Sessions and their keyring. Key bytes are made by the program and live in Secrets Manager, never here."""

    keyring: tuple[SessionKey, ...] = Field(examples=[[{"id": "k1", "state": "active"}]])
    ttl_seconds: Positive = _SESSIONS.ttl_seconds
    fallback_deadline_seconds: Quantity = _SESSIONS.fallback_deadline_seconds


class Cache(Settings):
    """The app's two cache levels; the specification's 60 s is L1's."""

    ttl_seconds: Quantity = CacheConfig().ttl_seconds
    l2_ttl_seconds: Quantity = CacheConfig().l2_ttl_seconds
    max_bytes: Positive = CacheConfig().max_bytes


class Limits(Settings):
    """The app's rate limits, requests a second and bursts."""

    user_rate: Quantity = LimitConfig().user_rate
    user_burst: Positive = LimitConfig().user_burst
    global_rate: Quantity = LimitConfig().global_rate
    global_burst: Positive = LimitConfig().global_burst


class Identity(Settings):
    """The identity provider whose tokens the app takes."""

    issuer: HttpsUrl = Field(examples=["https://id.example.com/"])
    audience: str = Field(examples=["hal9"])
    service_audience: str = Field(examples=["hal9-users"])
    jwks: HttpsUrl = Field(examples=["https://id.example.com/jwks.json"])


class Edge(Settings):
    """CloudFront, WAF and DNS before the regions. `hosted_zone_id` empty: the program makes the zone."""

    hosted_zone_id: Annotated[
        str, AfterValidator(Like(r"(Z[A-Z0-9]+)?", "a Route 53 zone id such as Z0123456789ABC, or empty"))
    ] = ""
    price_class: Literal["PriceClass_100", "PriceClass_200", "PriceClass_All"] = "PriceClass_All"
    shield_advanced: bool = False
    address_limit_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)] = 30_000
    """WAF's limit for one address: the specification's 100 r/s of nginx over WAF's window of 300 s."""
    blocked_countries: tuple[str, ...] = ("CU", "IR", "KP", "SY")
    default_region: str = ""
    """Region of users whose country is in no region's list; empty: the first region."""
    log_retention_days: Positive = 90


class Lab(Settings):
    """The lab: every region on one machine (`make lab`). `round_trip_ms` is the delay between two regions, by pair
    `first--second` in either order; a pair that is not listed has `default_round_trip_ms`."""

    round_trip_ms: dict[str, Annotated[float, Field(ge=0)]] = {}
    default_round_trip_ms: Annotated[float, Field(ge=0)] = 150
    app_processes: Positive = 1
    users: Positive = 1000


class PolicyException(Settings):
    """A resource that a policy does not judge until a day: `resource` is its logical name, `reason` for whoever reads it.

    Whether there is such a policy, and whether the day has come, is the policies' own to say (policies/exceptions.py).
    """

    policy: Annotated[
        str, AfterValidator(Like(r"[a-z0-9]+(-[a-z0-9]+)*", "a policy's name such as rds-retention-explicit"))
    ] = Field(examples=["none"])
    resource: Annotated[str, AfterValidator(Like(r"\S+", "a resource's logical name such as shard-0-primary"))] = Field(
        examples=["none"]
    )
    reason: Annotated[str, AfterValidator(Like(r".*\S.*", "a reason"))] = Field(examples=["none"])
    until: Annotated[date, PlainValidator(forms.day)] = Field(examples=["2000-01-01"])


class Mesh(Settings):
    """Istio. `weights` split requests that carry no region, in percent; default: evenly, as the specification's 34/33/33."""

    weights: dict[str, Annotated[int, Field(ge=0, le=100)]] | None = None

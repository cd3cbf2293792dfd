"""The deployment document: all that a HAL9 process knows of where it runs.

The Pulumi program renders it from the stack file and the resources it makes, the lab renders it from the
same stack file and the processes it starts, and the app reads it from a file. This module is the only
definition of its shape, so the three cannot drift apart. It imports msgspec alone: the program and the
lab load it without the app's own dependencies.

On disk it is JSON with camelCase keys. Secrets are never in it; it names the directory they are mounted in.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

SLOTS = 1000
"""Number of hash slots. The specification's shard ranges run from 0 to 999; resharding moves slots, never this."""

SECRETS_DIRECTORY = "/var/run/secrets/hal9"
"""Where a pod has its secrets, one file each."""


class Document(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the document: immutable, camelCase on disk, unknown keys refused."""


class ReadPreference(enum.StrEnum):
    """Where a read may go: only the primary, a replica first, or whatever is nearest."""

    PRIMARY = "primary"
    REPLICA = "replica"
    NEAREST = "nearest"


class Endpoint(Document, frozen=True):
    """A host and TCP port. `tls` is verified against the host's name; the lab's loopback servers have none."""

    host: str
    port: int
    tls: bool = True


class DatabaseConnection(Document, frozen=True):
    """One Postgres instance of a shard and the region it stands in."""

    region: str
    endpoint: Endpoint


class KeyRange(Document, frozen=True):
    """Slots `start` to `end`, both included, as the specification writes them (0-333)."""

    start: int
    end: int


class ShardConfig(Document, frozen=True):
    """One shard: the primary in `home`, its read replicas, and the slots it owns.

    The credentials are in the secret file `shard-<id>` as JSON with `username` and `password`.
    """

    id: int
    home: str
    primary: DatabaseConnection
    replicas: tuple[DatabaseConnection, ...]
    key_ranges: tuple[KeyRange, ...]


class ShardingConfig(Document, frozen=True):
    """All shards. `epoch` grows with every change of owner; Postgres refuses a writer with an old one."""

    shards: tuple[ShardConfig, ...]
    replication_factor: int
    read_preference: ReadPreference = ReadPreference.NEAREST
    epoch: int = 1
    database: str = "hal9"


class RegionalEndpoint(Document, frozen=True):
    """An endpoint and the region it stands in."""

    region: str
    endpoint: Endpoint


class SessionStore(Document, frozen=True):
    """A region's session store: `primary` takes writes, each of `replicas` is a read-only copy in another region."""

    primary: Endpoint
    replicas: tuple[RegionalEndpoint, ...] = ()


class RegionConfig(Document, frozen=True):
    """One region: its cache (Redis, cluster mode where `cache_cluster`) and its session store.

    The Redis passwords are in the secret files `cache-<region>` and `sessions-<region>`, as plain text;
    no file means no password.
    """

    name: str
    cache: Endpoint
    sessions: SessionStore
    cache_cluster: bool = True


class PoolConfig(Document, frozen=True):
    """Connection pools of one process. Defaults are the specification's (section 3); times in seconds.

    `max_connections` is the cap for one pool. What a process really opens is the budget: `primary_size` for
    each shard's primary and `replica_size` for each replica, derived so that all pods of all regions together
    stay under the server's own limit.
    """

    primary_size: int
    replica_size: int
    max_connections: int = 100
    connect_timeout_seconds: float = 5
    idle_timeout_seconds: float = 300
    max_lifetime_seconds: float = 3600
    statement_cache_capacity: int = 1000
    statement_timeout_seconds: float = 2


class CacheConfig(Document, frozen=True):
    """The two cache levels. `ttl_seconds` is the specification's 60 s of L1; L2 keeps `l2_ttl_seconds`."""

    ttl_seconds: float = 60
    l2_ttl_seconds: float = 300
    negative_ttl_seconds: float = 5
    stale_seconds: float = 300
    max_bytes: int = 256 * 1024 * 1024


class SessionKey(Document, frozen=True):
    """A key of the session keyring by id. `active` encrypts and decrypts, `decrypt` only decrypts, `retired` neither.

    The 32 key bytes are in the secret file `session-key-<id>`, base64.
    """

    id: str
    state: Literal["active", "decrypt", "retired"]


class SessionConfig(Document, frozen=True):
    """Sessions: lifetime (specification: 3600 s), the deadline of reads from other regions, and the keyring."""

    keyring: tuple[SessionKey, ...]
    ttl_seconds: int = 3600
    fallback_deadline_seconds: float = 0.25


class LimitConfig(Document, frozen=True):
    """Rate limits in requests a second with their bursts: one user, and everything together; a user's items."""

    user_rate: float = 100
    user_burst: int = 200
    global_rate: float = 12_000
    global_burst: int = 24_000
    items_per_user: int = 10_000


class IdentityConfig(Document, frozen=True):
    """Whose bearer tokens are taken: the issuer, the audiences, and where its public keys (JWKS) are.

    `service_audience` is what the identity provider's own token carries when it registers a user.
    `jwks` is an https URL, or a file path for the lab and tests.
    """

    issuer: str
    audience: str
    service_audience: str
    jwks: str


class ServerConfig(Document, frozen=True):
    """One process's server: ports (specification: 9000 http,
    9001 metrics), body limit, deadlines and drain in seconds.
    """

    port: int = 9000
    metrics_port: int = 9001
    max_body_bytes: int = 256 * 1024
    max_in_flight: int = 256
    request_timeout_seconds: float = 5
    drain_delay_seconds: float = 5
    drain_timeout_seconds: float = 30


class Deployment(Document, frozen=True):
    """The whole document. `region` is the region of the process that reads it; it is one of `regions`."""

    region: str
    regions: tuple[RegionConfig, ...]
    sharding: ShardingConfig
    pools: PoolConfig
    sessions: SessionConfig
    identity: IdentityConfig
    cache: CacheConfig = CacheConfig()
    limits: LimitConfig = LimitConfig()
    server: ServerConfig = ServerConfig()
    countries: dict[str, str] = {}
    """Viewer's country (ISO 3166-1 alpha-2) to region, for users whose request carries no region."""
    networks: dict[str, str] = {}
    """Network (CIDR) to region, for users whose request carries no region; the longest prefix wins over the country."""
    secrets_directory: str = SECRETS_DIRECTORY
    ca_file: str = ""
    """Bundle that the Postgres and Redis certificates are verified against; empty: the system's."""

    def encode(self) -> bytes:
        """The document as JSON, keys in a stable order, so that its hash changes only when it does."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2)

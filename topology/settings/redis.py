"""Redis: its nodes, and the app's cache and sessions on them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from app.deployment import CacheConfig, SessionConfig
from topology import forms
from topology.forms import Like
from topology.settings.base import AS_NUMBER, Positive, Quantity, Settings, Switch

_SESSIONS = SessionConfig(keyring=())


class CacheNodes(Settings):
    """A region's cache: Redis in cluster mode, local to the region."""

    node_type: str = "cache.r6g.large"
    shards: Positive = 3
    replicas_per_shard: Annotated[int, Field(ge=0, le=5), AS_NUMBER] = 1


class SessionNodes(Settings):
    """A region's session store: the primary of a Global Datastore with read-only secondaries in other regions."""

    node_type: str = "cache.r6g.large"
    replicas: Annotated[int, Field(ge=1, le=5), AS_NUMBER] = 1
    snapshot_retention_days: Annotated[int, Field(ge=0, le=35), AS_NUMBER] = 7


class Redis(Settings):
    """ElastiCache in each region."""

    engine_version: Annotated[
        str, AfterValidator(Like(r"7\.[01]", "a Redis version of ElastiCache; there are 7.0 and 7.1"))
    ] = "7.1"
    apply_immediately: Switch = False
    """Changes of node type or version now, at the price of a failover, or in the next maintenance window."""
    cache: CacheNodes = CacheNodes()
    sessions: SessionNodes = SessionNodes()


class SessionKey(Settings):
    """A session key by id. Rotation (docs/runbooks): add it as
    `decrypt`, make it `active`, wait the TTL, then `retired`.
    """

    id: Annotated[
        str,
        BeforeValidator(forms.digits),
        AfterValidator(Like(r"[a-z0-9][a-z0-9-]{0,30}", "an id of at most 31 small letters, digits and hyphens")),
    ] = Field(examples=["k1"])
    state: Literal["active", "decrypt", "retired"] = Field(examples=["active"])
    since: Annotated[datetime, BeforeValidator(forms.instant)] | None = None
    """When it got this state. A key that only decrypts says so, as it may be retired a session's lifetime later."""


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

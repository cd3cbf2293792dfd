"""The parts of a stack file, each a frozen model: what may be set, its unit, and its default.

Defaults are the specification's values. Keys are camelCase in the stack file, as in Pulumi and Kubernetes.
`topology.py` puts the parts together; `rules` checks what no single part can see.
"""

from __future__ import annotations

from topology.settings.autoscaling import Autoscaling, ScalePolicy, ScaleRules
from topology.settings.base import Settings
from topology.settings.clusters import AddOns, Charts, Cluster, OnDemandNodes, SpotNodes
from topology.settings.credentials import Credentials
from topology.settings.databases import Database, Move, Pools, Shard
from topology.settings.lab import Lab
from topology.settings.platform import Gateway, Mesh, Monitoring
from topology.settings.policies import Acceptance, PolicyException
from topology.settings.redis import Cache, CacheNodes, Redis, SessionKey, SessionNodes, Sessions
from topology.settings.regions import Edge, Network, Region, ScheduleWindow
from topology.settings.server import Identity, Limits, Resources, Server

__all__ = [
    "Acceptance",
    "AddOns",
    "Autoscaling",
    "Cache",
    "CacheNodes",
    "Charts",
    "Cluster",
    "Credentials",
    "Database",
    "Edge",
    "Gateway",
    "Identity",
    "Lab",
    "Limits",
    "Mesh",
    "Monitoring",
    "Move",
    "Network",
    "OnDemandNodes",
    "PolicyException",
    "Pools",
    "Redis",
    "Region",
    "Resources",
    "ScalePolicy",
    "ScaleRules",
    "ScheduleWindow",
    "Server",
    "SessionKey",
    "SessionNodes",
    "Sessions",
    "Settings",
    "Shard",
    "SpotNodes",
]

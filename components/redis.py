"""Redis: a region's cache and session store, and the Global Datastores that carry sessions to other regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pulumi
import pulumi_aws as aws

from components.alarms import RegionAlarms
from components.data_access import data_security_group
from components.keys import RegionKeys
from components.network import RegionNetwork
from components.secrets import ReplicatedSecret, Vault, password
from topology import ports
from topology.addressing import Tier
from topology.settings import Region
from topology.topology import Topology


class RegionRedis(pulumi.ComponentResource):
    """What a region's Redis nodes share: subnets, who may connect, parameters, the slow log.

    The cache evicts what was used least; the session store refuses writes when it is full, as an evicted session is a
    log-out. Every region's private subnets may connect: invalidations and log-outs go to each region's own Redis.

    Outputs: subnet_group, security_group_id, parameter_groups of `cache` and `sessions`, slow_log.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        network: RegionNetwork,
        keys: RegionKeys,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:redis:RegionRedis", f"{region.name}-redis", {}, opts)
        child, names = pulumi.ResourceOptions(parent=self), topology.names
        name, physical, tags = f"{region.name}-redis", names.of(region.name, "redis"), names.tags("redis", region.name)
        self.subnet_group = aws.elasticache.SubnetGroup(
            name,
            name=physical,
            description="Data subnets",
            subnet_ids=network.subnet_ids[Tier.DATA],
            tags=tags,
            opts=child,
        )
        self.security_group_id = data_security_group(
            name,
            "Redis",
            ports.REDIS,
            physical_name=physical,
            network=network,
            topology=topology,
            tags=tags,
            opts=child,
        )
        family = f"redis{topology.redis.engine_version.partition('.')[0]}"
        wanted = {
            "cache": {"cluster-enabled": "yes", "maxmemory-policy": "allkeys-lru"},
            "sessions": {"cluster-enabled": "no", "maxmemory-policy": "noeviction"},
        }
        self.parameter_groups = {
            role: aws.elasticache.ParameterGroup(
                f"{region.name}-{role}",
                name=names.of(region.name, role),
                family=family,
                description=f"Redis as {role}",
                parameters=[
                    aws.elasticache.ParameterGroupParameterArgs(name=key, value=value) for key, value in values.items()
                ],
                tags=tags,
                opts=child,
            )
            for role, values in wanted.items()
        }
        self.slow_log = aws.cloudwatch.LogGroup(
            f"{name}-slow",
            name=f"/{names.secret(region.name)}/redis-slow",
            retention_in_days=topology.cluster.log_retention_days,
            kms_key_id=keys.arns["telemetry"],
            tags=tags,
            opts=child,
        )
        self.register_outputs({"security_group_id": self.security_group_id})


class Cell(Protocol):
    """What a cache or session store needs of the region that it is in."""

    region: Region
    provider: aws.Provider
    keys: RegionKeys
    redis: RegionRedis
    alarms: RegionAlarms


class RegionCache(pulumi.ComponentResource):
    """One region's cache: Redis in cluster mode, local to the region and replicated nowhere else.

    Outputs: host, the cluster's configuration endpoint; port.
    """

    def __init__(
        self,
        cell: Cell,
        topology: Topology,
        vaults: Mapping[str, Vault],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cell.region.name}-cache"
        super().__init__("hal9:redis:RegionCache", name, {}, opts)
        settings = topology.redis.cache
        token = _token(f"cache-{cell.region.name}", self, topology, vaults)
        group = aws.elasticache.ReplicationGroup(
            name,
            replication_group_id=topology.names.of_redis(cell.region.name, "cache"),
            description=f"HAL9's cache in {cell.region.name}",
            engine="redis",
            engine_version=topology.redis.engine_version,
            node_type=settings.node_type,
            port=ports.REDIS,
            num_node_groups=settings.shards,
            replicas_per_node_group=settings.replicas_per_shard,
            automatic_failover_enabled=True,  # cluster mode asks for it, with or without replicas
            multi_az_enabled=settings.replicas_per_shard > 0,
            parameter_group_name=cell.redis.parameter_groups["cache"].name,
            snapshot_retention_limit=1,
            apply_immediately=topology.redis.apply_immediately,
            **_private(cell, token),
            tags=topology.names.tags("redis", cell.region.name),
            opts=pulumi.ResourceOptions(parent=self, provider=cell.provider),
        )
        self.host, self.port = group.configuration_endpoint_address, ports.REDIS
        members = [
            f"{shard:04}-{node:03}"
            for shard in range(1, settings.shards + 1)
            for node in range(1, settings.replicas_per_shard + 2)
        ]
        _watch(cell, topology, name, group, members, self)
        self.register_outputs({"endpoint": group.configuration_endpoint_address})


class RegionSessions(pulumi.ComponentResource):
    """One region's session store, and its copies: the primary of a Global Datastore with read-only secondaries.

    The secondaries take node type, engine, parameters, encryption in transit and the password from the primary; what
    they have of their own is their region's key, subnets and security group. No region fails over by itself: another
    region reads its local copy, and takes a session over by writing it to its own store.

    Each member is named by the region of the sessions and by the region that it stands in, with a generation where a
    copy was made anew.

    Outputs: host, the primary's endpoint; copies, the endpoint of each region with a copy; port.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        cells: Mapping[str, Cell],
        vaults: Mapping[str, Vault],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{region.name}-sessions"
        super().__init__("hal9:redis:RegionSessions", name, {}, opts)
        cell, settings, protect = cells[region.name], topology.redis.sessions, topology.protect
        elsewhere = topology.session_replica_regions(region)
        token = _token(f"sessions-{region.name}", self, topology, vaults)
        member, identifier = _member(region, region.name, topology)
        primary = aws.elasticache.ReplicationGroup(
            member,
            replication_group_id=identifier,
            description=f"HAL9's sessions of {region.name}",
            engine="redis",
            engine_version=topology.redis.engine_version,
            node_type=settings.node_type,
            port=ports.REDIS,
            num_cache_clusters=1 + settings.replicas,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            parameter_group_name=cell.redis.parameter_groups["sessions"].name,
            snapshot_retention_limit=settings.snapshot_retention_days,
            final_snapshot_identifier=topology.names.of(region.name, "sessions-final")
            if topology.keep_backups
            else None,
            apply_immediately=topology.redis.apply_immediately,
            **_private(cell, token),
            tags=topology.names.tags("redis", region.name),
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=cell.provider,
                protect=protect,
                # in a datastore a member's size and version are the datastore's: AWS refuses a change of its own
                ignore_changes=["nodeType", "engineVersion"] if elsewhere else None,
            ),
        )
        _watch(cell, topology, member, primary, _nodes(1 + settings.replicas), self)
        if any(region.name in topology.session_replica_regions(other) for other in topology.others(region.name)):
            self._watch_lag(cell, topology)
        self.copies: dict[str, pulumi.Output[str]] = {}
        if elsewhere:
            datastore = aws.elasticache.GlobalReplicationGroup(
                name,
                global_replication_group_id_suffix=topology.names.of_redis(region.name, "sessions"),
                global_replication_group_description=f"HAL9's sessions of {region.name}",
                primary_replication_group_id=primary.id,
                cache_node_type=settings.node_type,
                engine_version=topology.redis.engine_version,
                opts=pulumi.ResourceOptions(parent=self, provider=cell.provider, protect=protect),
            )
            self.copies = {other: self._secondary(region, cells[other], datastore, topology) for other in elsewhere}
        self.host, self.port = primary.primary_endpoint_address, ports.REDIS
        self.register_outputs({"primary": self.host, "replicas": self.copies})

    def _secondary(
        self, region: Region, cell: Cell, datastore: aws.elasticache.GlobalReplicationGroup, topology: Topology
    ) -> pulumi.Output[str]:
        settings = topology.redis.sessions
        member, identifier = _member(region, cell.region.name, topology)
        secondary = aws.elasticache.ReplicationGroup(
            member,
            replication_group_id=identifier,
            description=f"HAL9's sessions of {region.name}, copied to {cell.region.name}",
            global_replication_group_id=datastore.global_replication_group_id,
            num_cache_clusters=1 + settings.replicas,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            kms_key_id=cell.keys.arns["redis"],
            subnet_group_name=cell.redis.subnet_group.name,
            security_group_ids=[cell.redis.security_group_id],
            log_delivery_configurations=[_slow_log(cell)],
            tags=topology.names.tags("redis", cell.region.name),
            opts=pulumi.ResourceOptions(parent=self, provider=cell.provider, protect=topology.protect),
        )
        _watch(cell, topology, member, secondary, _nodes(1 + settings.replicas), self)
        return secondary.reader_endpoint_address

    def _watch_lag(self, cell: Cell, topology: Topology) -> None:
        """An alarm for the copies that a region holds: the metric exists for all of its nodes together."""
        cell.alarms.alarm(
            f"{cell.region.name}-sessions-copies-lag",
            description=f"Copies of other regions' sessions lag in {cell.region.name}: docs/runbooks/redis.md",
            namespace="AWS/ElastiCache",
            metric="GlobalDatastoreReplicationLag",
            dimensions={},
            above=30,
            statistic="Maximum",
            tags=topology.names.tags("redis", cell.region.name),
            opts=pulumi.ResourceOptions(parent=self, provider=cell.provider),
        )


def _member(region: Region, place: str, topology: Topology) -> tuple[str, str]:
    """A member's name in the program and in AWS: whose sessions, where it stands, and which one there."""
    generation = region.session_generations.get(place, 1)
    suffix = (f"g{generation}",) if generation > 1 else ()
    parts = (region.name, "sessions", "in", place, *suffix)
    return "-".join(parts), topology.names.of_redis(region.name, "in", place, *suffix)


def _token(name: str, parent: pulumi.Resource, topology: Topology, vaults: Mapping[str, Vault]) -> dict[str, Any]:
    """A Redis password for the group, with a copy of the one in use for every region's pods.

    ElastiCache accepts the newest, which is set here, and by ROTATE the one before it as well, until SET takes that out
    (ElastiCache User Guide, "Modifying the AUTH token").
    """
    generations = topology.credentials.redis
    tokens = {generation: password(f"{name}-{generation}", parent) for generation in generations}
    ReplicatedSecret(
        name,
        description=f"Redis password of {name}",
        value=tokens[generations[0]],
        vaults=vaults,
        topology=topology,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return {
        "auth_token": tokens[max(generations)],
        "auth_token_update_strategy": "ROTATE" if len(generations) > 1 else "SET",
    }


def _private(cell: Cell, token: dict[str, Any]) -> dict[str, Any]:
    """Encryption, password and place of a replication group that inherits nothing."""
    return {
        "at_rest_encryption_enabled": True,
        "kms_key_id": cell.keys.arns["redis"],
        "transit_encryption_enabled": True,
        "transit_encryption_mode": "required",
        **token,
        "subnet_group_name": cell.redis.subnet_group.name,
        "security_group_ids": [cell.redis.security_group_id],
        "snapshot_window": "02:00-03:00",
        "maintenance_window": "sun:06:00-sun:07:00",
        "auto_minor_version_upgrade": True,
        "log_delivery_configurations": [_slow_log(cell)],
    }


def _slow_log(cell: Cell) -> aws.elasticache.ReplicationGroupLogDeliveryConfigurationArgs:
    return aws.elasticache.ReplicationGroupLogDeliveryConfigurationArgs(
        destination=cell.redis.slow_log.name,
        destination_type="cloudwatch-logs",
        log_format="json",
        log_type="slow-log",
    )


def _nodes(count: int) -> list[str]:
    """What ElastiCache adds to a group's name for each of its nodes where cluster mode is off."""
    return [f"{node:03}" for node in range(1, count + 1)]


def _watch(
    cell: Cell,
    topology: Topology,
    name: str,
    group: aws.elasticache.ReplicationGroup,
    members: Sequence[str],
    parent: pulumi.Resource,
) -> None:
    """Alarms for the memory and the engine's processor of each node: the metrics exist by node, not by group."""
    for metric, what in (("DatabaseMemoryUsagePercentage", "memory"), ("EngineCPUUtilization", "cpu")):
        for member in members:
            cell.alarms.alarm(
                f"{name}-{member}-{what}",
                description=f"{metric} of {name}, node {member}: docs/runbooks/redis.md",
                namespace="AWS/ElastiCache",
                metric=metric,
                dimensions={"CacheClusterId": pulumi.Output.concat(group.replication_group_id, "-", member)},
                above=80,
                statistic="Maximum",
                tags=topology.names.tags("redis", cell.region.name),
                opts=pulumi.ResourceOptions(parent=parent, provider=cell.provider),
            )

"""Postgres: what a region's instances share, and each shard with its replicas over the regions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import pulumi
import pulumi_aws as aws

from app.databases.credentials import APP, OWNER
from components.alarms import RegionAlarms
from components.data_access import data_security_group
from components.iam import service_trust
from components.keys import RegionKeys
from components.network import RegionNetwork
from components.secrets import ReplicatedSecret, Vault, password
from topology import catalog, ports
from topology.addressing import Tier
from topology.instances import Instance
from topology.naming import DATABASE
from topology.settings import Region, Shard
from topology.topology import Topology

MASTER = "hal9_master"
"""RDS makes the instance with it. Only a migration logs in as it, to make the accounts (app/databases/accounts.py)."""
_AUTHORITY = "rds-ca-rsa2048-g1"
_LOGS = ["postgresql", "upgrade"]
_BACKUPS = "03:00-04:00"
"""UTC, apart from every maintenance window, as AWS asks for."""


class RegionDatabase(pulumi.ComponentResource):
    """What every Postgres instance in a region shares: subnets, parameters, who may connect, the monitoring role.

    TLS 1.3 is forced. Logical replication is on, for online resharding; a slot that nobody reads may keep
    `max_slot_wal_keep_size` of WAL and no more, so that it cannot fill the disk. Only the private subnets of the
    regions may connect: another region's reach the primary over the peering.

    Outputs: subnet_group, parameter_group, security_group_id, monitoring_role_arn.
    """

    def __init__(
        self, region: Region, topology: Topology, network: RegionNetwork, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:database:RegionDatabase", f"{region.name}-database", {}, opts)
        child, names = pulumi.ResourceOptions(parent=self), topology.names
        name, tags = f"{region.name}-database", names.tags("database", region.name)
        physical = names.of(region.name, "database")
        self.subnet_group = aws.rds.SubnetGroup(
            name,
            name=physical,
            description="Data subnets",
            subnet_ids=network.subnet_ids[Tier.DATA],
            tags=tags,
            opts=child,
        )
        # A group cannot go while an instance is in it, and an instance leaves the old major version's in its own time.
        stays = pulumi.ResourceOptions(parent=self, retain_on_delete=topology.database.allow_major_upgrade)
        self.parameter_group = aws.rds.ParameterGroup(
            name,
            name=f"{physical}-{_major(topology)}",
            family=f"postgres{_major(topology)}",
            description="TLS forced, logical replication, bounded slots, slow statements logged",
            parameters=[
                aws.rds.ParameterGroupParameterArgs(name=key, value=value, apply_method=method)
                for key, value, method in _parameters(topology)
            ],
            tags=tags,
            opts=stays,
        )
        self.security_group_id = data_security_group(
            name,
            "Postgres",
            ports.POSTGRES,
            physical_name=physical,
            network=network,
            topology=topology,
            tags=tags,
            peers=True,
            opts=child,
        )
        role = aws.iam.Role(
            f"{name}-monitoring",
            name=f"{physical}-monitoring",
            assume_role_policy=service_trust("monitoring.rds.amazonaws.com", topology.account_id),
            tags=tags,
            opts=child,
        )
        attached = aws.iam.RolePolicyAttachment(
            f"{name}-monitoring",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
            opts=child,
        )
        # by value: an instance that takes this role waits for what the role may do
        self.monitoring_role_arn = pulumi.Output.all(role.arn, attached.id).apply(lambda both: str(both[0]))
        self.register_outputs({"security_group_id": self.security_group_id})


def _major(topology: Topology) -> str:
    return topology.database.engine_version.partition(".")[0]


def _parameters(topology: Topology) -> list[tuple[str, str, str]]:
    """Name, value, and when it applies."""
    return [
        ("rds.force_ssl", "1", "immediate"),
        ("ssl_min_protocol_version", "TLSv1.3", "immediate"),
        ("rds.logical_replication", "1", "pending-reboot"),
        ("max_slot_wal_keep_size", str(topology.database.wal_limit_mib), "immediate"),
        ("max_connections", str(topology.database.max_connections), "pending-reboot"),
        ("log_statement", "ddl", "immediate"),
        ("log_min_duration_statement", "1000", "immediate"),
        # A parameter may be a user's item, or what a subscription connects with (app/migrations/0006_guard.sql).
        ("log_parameter_max_length", "0", "immediate"),
        ("idle_in_transaction_session_timeout", "60000", "immediate"),
        ("hot_standby_feedback", "1", "immediate"),
    ]


class Cell(Protocol):
    """What a shard needs of a region that holds one of its instances."""

    region: Region
    provider: aws.Provider
    keys: RegionKeys
    database: RegionDatabase
    alarms: RegionAlarms


class ShardDatabase(pulumi.ComponentResource):
    """One shard: a primary, read replicas over the regions, backups in another region too.

    Each instance is named by the place where it stands; which one is the primary is the stack file's to say. Every
    replica can be promoted: it has its own region's key, subnets, parameters and security group, the primary's class,
    backups of its own, and Multi-AZ from its promotion on; a promotion is then `replicate_source_db` that is no more.
    In production an instance that is taken out of the stack is left standing in AWS. Passwords are made here and kept
    in secrets in every region. Replicas are maintained on Saturday, their primary on Sunday, no two shards' in the same
    hour.

    Outputs: hosts, each instance's address by its name; port.
    """

    def __init__(
        self,
        shard: Shard,
        topology: Topology,
        cells: Mapping[str, Cell],
        vaults: Mapping[str, Vault],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:database:ShardDatabase", f"shard-{shard.id}", {}, opts)
        self._shard, self._topology, self._settings = shard, topology, topology.database
        secret = self._accounts(vaults)
        place, *places = topology.instances(shard)
        primary = self._primary(place, cells[place.region], secret)
        made = {place.name: primary, **{one.name: self._replica(one, cells[one.region], primary) for one in places}}
        if backup := topology.backup_region(shard.at):
            self._backups_elsewhere(place, cells[backup], primary)
        self.port = ports.POSTGRES
        self.hosts: dict[str, pulumi.Output[str]] = {name: instance.address for name, instance in made.items()}
        self.register_outputs({"hosts": self.hosts})

    def _accounts(self, vaults: Mapping[str, Vault]) -> pulumi.Output[str]:
        """The accounts' passwords as secrets, by who reads them: the
        app, the tables' owner, who makes both. The master's.
        """
        number, generations = self._shard.id, self._topology.credentials.database
        master = password(f"shard-{number}-master", self)
        accounts = [
            pulumi.Output.all(
                username=f"{role}_{generation}",
                password=password(f"shard-{number}-{role.removeprefix('hal9_')}-{generation}", self),
                role=role,
            )
            for generation in generations
            for role in (APP, OWNER)
        ]
        app, owner = accounts[:2]
        all_of_them = pulumi.Output.all(master, *accounts).apply(
            lambda made: {"master": {"username": MASTER, "password": made[0]}, "accounts": made[1:]}
        )
        for kind, what, value in (
            ("shard", "The app's account", app),
            ("owner", "The account for migrations and moves of slots", owner),
            ("admin", "The master and every account", all_of_them),
        ):
            ReplicatedSecret(
                f"{kind}-{number}",
                description=f"{what} in shard {number}",
                value=value.apply(json.dumps),
                vaults=vaults,
                topology=self._topology,
                shard=number,
                opts=pulumi.ResourceOptions(parent=self),
            )
        return master

    def _identifier(self, place: Instance, *parts: str) -> str:
        return self._topology.names.of(*place.parts, *parts)

    def _tags(self, region: str) -> dict[str, str]:
        return self._topology.names.tags("database", region, shard=self._shard.id)

    def _primary(self, place: Instance, cell: Cell, secret: pulumi.Output[str]) -> aws.rds.Instance:
        """The instance that takes the writes. One that was born a replica has its database and its user already."""
        keep = self._topology.keep_backups
        born: dict[str, Any] = {"engine": "postgres", "db_name": DATABASE, "username": MASTER, "password": secret}
        instance = aws.rds.Instance(
            place.name,
            identifier=self._identifier(place),
            engine_version=self._settings.engine_version,
            allocated_storage=self._settings.storage_gib,
            skip_final_snapshot=not keep,
            final_snapshot_identifier=self._identifier(place, "final") if keep else None,
            allow_major_version_upgrade=self._settings.allow_major_upgrade or None,
            db_subnet_group_name=cell.database.subnet_group.name,
            kms_key_id=cell.keys.arns["database"],
            maintenance_window=self._maintenance("sun"),
            # given once: where a promoted instance's region becomes the home, they are there already
            multi_az=self._settings.multi_az,
            opts=self._stateful(place, cell, ignore_changes=["dbName", "username"]),
            **(born if place.born_primary else {}),
            **self._alike(cell),
        )
        self._alarms(place.name, cell, instance, replica=False)
        return instance

    def _replica(self, place: Instance, cell: Cell, primary: aws.rds.Instance) -> aws.rds.Instance:
        """A read replica. Beside its primary it has that one's
        key and subnets by itself; elsewhere its own region's.
        """
        instance = aws.rds.Instance(
            place.name,
            identifier=self._identifier(place),
            replicate_source_db=primary.identifier if place.second else primary.arn,
            db_subnet_group_name=None if place.second else cell.database.subnet_group.name,
            kms_key_id=None if place.second else cell.keys.arns["database"],
            skip_final_snapshot=True,  # AWS takes none of a replica, and would not let it go
            maintenance_window=self._maintenance("sat"),
            multi_az=self._settings.multi_az and self._settings.replicas_multi_az,
            opts=self._stateful(place, cell),
            **self._alike(cell),
        )
        self._alarms(place.name, cell, instance, replica=True)
        return instance

    def _stateful(self, place: Instance, cell: Cell, ignore_changes: list[str] | None = None) -> pulumi.ResourceOptions:
        protect = self._topology.protect
        return pulumi.ResourceOptions(
            parent=self,
            provider=cell.provider,
            protect=protect,
            retain_on_delete=protect,
            ignore_changes=ignore_changes,
            depends_on=self._logs(place, cell),
        )

    def _maintenance(self, day: str) -> str:
        """An hour of a day (UTC), another for each of eight
        shards; Postgres wants a minor version on replicas first.
        """
        begin = 5 + 2 * (self._shard.id % 8)
        return f"{day}:{begin:02}:00-{day}:{begin + 1:02}:00"

    def _logs(self, place: Instance, cell: Cell) -> list[pulumi.Resource]:
        """The log groups that an instance writes to: made by AWS they would be unencrypted and kept for ever."""
        return [
            aws.cloudwatch.LogGroup(
                f"{place.name}-{log}",
                name=f"/aws/rds/instance/{self._identifier(place)}/{log}",
                retention_in_days=self._topology.cluster.log_retention_days,
                kms_key_id=cell.keys.arns["telemetry"],
                tags=self._tags(cell.region.name),
                opts=pulumi.ResourceOptions(parent=self, provider=cell.provider),
            )
            for log in _LOGS
        ]

    def _alike(self, cell: Cell) -> dict[str, Any]:
        """What a primary and its replicas share, so that any of them can take the primary's place."""
        protect = self._topology.protect
        return {
            "instance_class": self._settings.instance_class,
            "max_allocated_storage": self._settings.max_storage_gib,
            "storage_type": "gp3",
            "storage_encrypted": True,
            "publicly_accessible": False,
            "port": ports.POSTGRES,
            "vpc_security_group_ids": [cell.database.security_group_id],
            "parameter_group_name": cell.database.parameter_group.name,
            "ca_cert_identifier": _AUTHORITY,
            "iam_database_authentication_enabled": True,
            "backup_retention_period": self._settings.backup_retention_days,
            "copy_tags_to_snapshot": True,
            "backup_window": _BACKUPS,
            "delete_automated_backups": not self._topology.keep_backups,
            "deletion_protection": protect,
            "auto_minor_version_upgrade": True,
            "apply_immediately": self._settings.apply_immediately,
            "performance_insights_enabled": True,
            "performance_insights_kms_key_id": cell.keys.arns["database"],
            "performance_insights_retention_period": 7,
            "monitoring_interval": self._settings.monitoring_interval_seconds,
            "monitoring_role_arn": cell.database.monitoring_role_arn
            if self._settings.monitoring_interval_seconds
            else None,
            "enabled_cloudwatch_logs_exports": _LOGS,
            "tags": self._tags(cell.region.name),
        }

    def _backups_elsewhere(self, place: Instance, cell: Cell, primary: aws.rds.Instance) -> None:
        aws.rds.InstanceAutomatedBackupsReplication(
            f"{place.name}-backups-in-{cell.region.name}",
            source_db_instance_arn=primary.arn,
            kms_key_id=cell.keys.arns["database"],
            retention_period=self._settings.backup_retention_days,
            opts=pulumi.ResourceOptions(parent=self, provider=cell.provider),
        )

    def _alarms(self, name: str, cell: Cell, instance: aws.rds.Instance, *, replica: bool) -> None:
        """Alarms for what ends in an outage or in lost data: CPU, disk, connections, lag, a slot that is not read."""
        gib, settings = 1024**3, self._settings
        size = catalog.database_size(settings.instance_class)
        assert size is not None, "the stack file's rules know every class"
        wanted: dict[str, tuple[str, float | None, float | None]] = {
            "cpu": ("CPUUtilization", 80, None),
            "disk": ("FreeStorageSpace", None, settings.storage_gib * gib * 0.15),
            "memory": ("FreeableMemory", None, size.memory_gib * gib * 0.05),
            "connections": ("DatabaseConnections", settings.max_connections * 0.9, None),
        }
        if replica:
            wanted["lag"] = ("ReplicaLag", settings.replica_lag_alarm_seconds, None)
        else:
            wanted["slot-lag"] = ("OldestReplicationSlotLag", settings.wal_limit_mib * 1024**2 * 0.5, None)
        for what, (metric, above, below) in wanted.items():
            cell.alarms.alarm(
                f"{name}-{what}",
                description=f"{metric} of shard {self._shard.id} in {cell.region.name}: docs/runbooks/database.md",
                namespace="AWS/RDS",
                metric=metric,
                dimensions={"DBInstanceIdentifier": instance.identifier},
                above=above,
                below=below,
                tags=self._tags(cell.region.name),
                opts=pulumi.ResourceOptions(parent=self, provider=cell.provider),
            )

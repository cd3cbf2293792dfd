"""Shards: primaries, replicas that can be promoted, backups elsewhere (controls 1 to 4, 21, 25)."""

from __future__ import annotations

import functools
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest

from components.database import ShardDatabase
from tests.components.mocked import Built, Registered, build, cells, vaults
from tests.stackfiles import put, topology

REGIONS = ("us-west", "eu-central", "ap-south")
AWS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}
HOMES = dict(enumerate(REGIONS))


@functools.cache
def shards(
    stack: str = "prod",
    preview: bool = False,
    connections: int | None = None,
    settings: tuple[tuple[str, Any], ...] = (),
) -> Built:
    def make() -> Any:
        edits = [put("database.maxConnections", connections)] if connections else []
        edits += [put(path, value) for path, value in settings]
        parsed = topology(stack, *edits)
        ground = cells(parsed)
        made = [ShardDatabase(shard, parsed, ground, vaults(ground)) for shard in parsed.shards]
        return [shard.hosts for shard in made]

    return build(make, stack=stack, preview=preview)


def primaries(built: Built) -> list[Registered]:
    return [i for i in built.of("Instance") if "replicateSourceDb" not in i.inputs]


def replicas(built: Built) -> list[Registered]:
    return [i for i in built.of("Instance") if "replicateSourceDb" in i.inputs]


def named(shard: int, region: str) -> str:
    """A replica's name: by the place where it stands."""
    return f"shard-{shard}-{region}" + ("-second" if HOMES[shard] == region else "")


def test_each_shards_primary_is_in_its_home_region() -> None:
    assert {i.name: i.region for i in primaries(shards())} == {
        f"shard-{n}-{home}": AWS[home] for n, home in HOMES.items()
    }


def test_each_shard_has_a_replica_in_every_region() -> None:
    assert {(i.name, i.region) for i in replicas(shards())} == {
        (named(n, region), AWS[region]) for n in HOMES for region in REGIONS
    }


def test_a_replica_elsewhere_follows_the_primarys_arn_and_one_at_home_its_identifier() -> None:
    sources = {i.name: i.inputs["replicateSourceDb"] for i in replicas(shards())}
    assert sources["shard-0-eu-central"] == "arn:Instance:shard-0-us-west"
    assert sources["shard-0-us-west-second"] == "hal9-prod-shard-0-us-west"


def test_a_replica_takes_from_its_primary_what_it_must_not_set() -> None:
    for replica in replicas(shards()):
        assert (
            not {"username", "password", "dbName", "engine", "engineVersion", "allocatedStorage"}
            & replica.inputs.keys()
        )


def test_every_replica_elsewhere_has_its_own_regions_key_and_subnets() -> None:
    for replica in replicas(shards()):
        n, region = replica.inputs["tags"]["shard"], replica.inputs["tags"]["region"]
        if HOMES[int(n)] == region:
            continue  # AWS refuses both for a replica beside its primary, which has them
        assert replica.inputs["kmsKeyId"] == f"arn:Key:{region}-database"
        assert replica.inputs["dbSubnetGroupName"] == f"hal9-prod-{region}-database"


def test_a_replica_at_home_leaves_key_and_subnets_to_its_primary() -> None:
    for n, home in HOMES.items():
        inputs = shards().one("Instance", f"shard-{n}-{home}-second").inputs
        assert not {"kmsKeyId", "dbSubnetGroupName"} & inputs.keys()


@pytest.mark.parametrize(
    "setting",
    [
        "instanceClass",
        "backupRetentionPeriod",
        "storageType",
        "storageEncrypted",
        "maxAllocatedStorage",
        "port",
        "deletionProtection",
        "monitoringInterval",
        "caCertIdentifier",
        "iamDatabaseAuthenticationEnabled",
    ],
)
def test_every_replica_can_take_its_primarys_place(setting: str) -> None:
    built = shards()
    for replica in replicas(built):
        number = int(replica.name.split("-")[1])
        primary = built.one("Instance", f"shard-{number}-{HOMES[number]}")
        assert replica.inputs[setting] == primary.inputs[setting]


def test_every_instance_has_its_own_regions_parameters_groups_and_role() -> None:
    for instance in shards().of("Instance"):
        region = instance.inputs["tags"]["region"]
        assert AWS[region] == instance.region
        assert instance.inputs["parameterGroupName"] == f"hal9-prod-{region}-database-16"
        assert instance.inputs["vpcSecurityGroupIds"] == [f"{region}-database-id"]
        assert instance.inputs["monitoringRoleArn"] == f"arn:Role:{region}-database-monitoring"
        assert instance.inputs["performanceInsightsKmsKeyId"] == f"arn:Key:{region}-database"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("publiclyAccessible", False),
        ("storageEncrypted", True),
        ("copyTagsToSnapshot", True),
        ("performanceInsightsEnabled", True),
        ("enabledCloudwatchLogsExports", ["postgresql", "upgrade"]),
    ],
)
def test_every_instance_in_production_is_private_encrypted_and_watched(setting: str, value: Any) -> None:
    assert [i.inputs[setting] for i in shards().of("Instance")] == [value] * 12


@pytest.mark.parametrize(("replicas_too", "zones"), [(False, {False}), (True, {True})])
def test_a_standby_in_another_zone_is_a_primarys_and_a_replicas_where_asked(
    replicas_too: bool, zones: set[bool]
) -> None:
    built = shards(settings=(("database.replicasMultiAz", replicas_too),))
    assert {i.inputs["multiAz"] for i in replicas(built)} == zones
    assert {i.inputs["multiAz"] for i in built.of("Instance") if i not in replicas(built)} == {True}


@pytest.mark.parametrize(("accepted", "words"), [([1], 3), ([2, 1], 5)])
def test_a_shard_has_a_password_for_its_master_and_for_each_accepted_account(accepted: list[int], words: int) -> None:
    built = shards(settings=(("credentials.database", tuple(accepted)),))
    made = {r.name for r in built.of("RandomPassword") if r.name.startswith("shard-0-")}
    assert len(made) == words
    assert {f"shard-0-{role}-{generation}" for role in ("app", "owner") for generation in accepted} < made
    named = {s.inputs["name"] for s in built.of("Secret")}
    assert {f"hal9/prod/{kind}-0" for kind in ("shard", "owner", "admin")} < named


def test_a_primary_is_made_with_its_master_whom_the_app_is_not() -> None:
    assert {i.inputs["username"] for i in primaries(shards())} == {"hal9_master"}


def test_backups_are_kept_a_week_or_longer() -> None:
    assert all(i.inputs["backupRetentionPeriod"] >= 7 for i in shards().of("Instance"))


def test_each_shards_backups_are_kept_in_another_region_too() -> None:
    built = shards()
    found = {b.inputs["sourceDbInstanceArn"]: b for b in built.of("InstanceAutomatedBackupsReplication")}
    assert set(found) == {f"arn:Instance:shard-{n}-{home}" for n, home in HOMES.items()}
    for n, home in HOMES.items():
        backup = found[f"arn:Instance:shard-{n}-{home}"]
        assert backup.region != AWS[home]
        assert backup.inputs["kmsKeyId"] == f"arn:Key:{next(r for r, a in AWS.items() if a == backup.region)}-database"


def test_a_single_region_keeps_its_backups_at_home() -> None:
    assert shards("dev").of("InstanceAutomatedBackupsReplication") == []


def test_tls_1_3_is_forced() -> None:
    for group in shards().of("ParameterGroup", below="us-west-database"):
        values = {p["name"]: p["value"] for p in group.inputs["parameters"]}
        assert (values["rds.force_ssl"], values["ssl_min_protocol_version"]) == ("1", "TLSv1.3")


def test_statements_are_logged_and_a_slot_cannot_fill_the_disk() -> None:
    groups = [g for g in shards().of("ParameterGroup") if g.inputs["family"] == "postgres16"]
    assert len(groups) == 3
    for group in groups:
        values = {p["name"]: p["value"] for p in group.inputs["parameters"]}
        assert values["log_statement"] == "ddl"
        assert int(values["max_slot_wal_keep_size"]) > 0
        assert values["rds.logical_replication"] == "1"


@pytest.mark.parametrize("connections", [2000, 3244])
def test_max_connections_is_the_stack_files_number(connections: int) -> None:
    for group in shards(connections=connections).of("ParameterGroup"):
        values = {p["name"]: p["value"] for p in group.inputs["parameters"]}
        assert values.get("max_connections", str(connections)) == str(connections)
    assert any(
        p["name"] == "max_connections"
        for g in shards(connections=connections).of("ParameterGroup")
        for p in g.inputs["parameters"]
    )


def test_only_the_app_and_other_databases_may_connect_and_databases_reach_databases_alone() -> None:
    """A move of slots connects from the receiving database to the sending one, and back for the way back."""
    built = shards()
    private, data = (
        {s.inputs["cidrBlock"] for s in built.of("Subnet") if s.inputs["tags"]["tier"] == tier}
        for tier in ("private", "data")
    )
    for region in REGIONS:
        rules = [r.inputs for r in built.of("SecurityGroupIngressRule", below=f"{region}-database")]
        out = [r.inputs for r in built.of("SecurityGroupEgressRule", below=f"{region}-database")]
        assert {rule["cidrIpv4"] for rule in rules} == private | data
        assert {rule["cidrIpv4"] for rule in out} == data
        rules += out
        assert {(rule["fromPort"], rule["toPort"], rule["ipProtocol"]) for rule in rules} == {(5432, 5432, "tcp")}


def test_instances_stand_in_the_data_tier() -> None:
    built = shards()
    data = {f"{s.name}-id" for s in built.of("Subnet") if s.inputs["tags"]["tier"] == "data"}
    groups = [g for g in built.of("SubnetGroup") if g.type.startswith("aws:rds")]
    assert {subnet for group in groups for subnet in group.inputs["subnetIds"]} == data
    assert all(IPv4Network(s.inputs["cidrBlock"]).prefixlen == 23 for s in built.of("Subnet") if f"{s.name}-id" in data)


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_production_cannot_lose_a_database_by_mistake(stack: str, kept: bool) -> None:
    for instance in shards(stack).of("Instance"):
        assert instance.protect is kept
        assert instance.inputs["deletionProtection"] is kept
        assert instance.inputs["deleteAutomatedBackups"] is not kept
    assert {i.inputs["skipFinalSnapshot"] for i in primaries(shards(stack))} == {not kept}


def test_a_primary_that_keeps_its_backups_leaves_a_final_snapshot() -> None:
    assert {i.inputs["finalSnapshotIdentifier"] for i in primaries(shards())} == {
        f"hal9-prod-shard-{n}-{home}-final" for n, home in HOMES.items()
    }
    assert not any("finalSnapshotIdentifier" in i.inputs for i in shards("dev").of("Instance"))


def test_to_be_deleted_is_not_to_keep_nothing() -> None:
    """B9: the way to a destroy, `protect: false`, threw away the final snapshot and every automated backup."""
    for primary in primaries(shards(settings=(("protect", False),))):
        assert primary.inputs["deletionProtection"] is False
        assert primary.inputs["skipFinalSnapshot"] is False
        assert primary.inputs["finalSnapshotIdentifier"]
        assert primary.inputs["deleteAutomatedBackups"] is False


def test_a_replica_can_be_removed() -> None:
    """B9: AWS takes no final snapshot of a replica, and refuses to delete one that asks for it without a name."""
    for replica in replicas(shards()):
        assert replica.inputs["skipFinalSnapshot"] is True
        assert "finalSnapshotIdentifier" not in replica.inputs


@pytest.mark.parametrize("now", [False, True])
def test_a_change_of_size_is_made_when_the_operator_says_now(now: bool) -> None:
    """B3: `up` said it was done, and RDS waited for Sunday."""
    built = shards(settings=(("database.applyImmediately", now),))
    assert {i.inputs["applyImmediately"] for i in built.of("Instance")} == {now}


def test_replicas_are_patched_before_their_primaries_and_no_two_shards_at_once() -> None:
    """B6: RDS wants a minor version on the replicas first."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    def hours(window: str) -> tuple[float, float]:
        ends = [days.index(part[:3]) * 24 + int(part[4:6]) + int(part[7:9]) / 60 for part in window.split("-")]
        return ends[0], ends[1]

    built = shards()
    for n, home in HOMES.items():
        begins = hours(built.one("Instance", f"shard-{n}-{home}").inputs["maintenanceWindow"])[0]
        for replica in replicas(built):
            if replica.name.startswith(f"shard-{n}-"):
                assert hours(replica.inputs["maintenanceWindow"])[1] <= begins
    windows = sorted({hours(primary.inputs["maintenanceWindow"]) for primary in primaries(built)})
    assert len(windows) == len(HOMES)
    assert all(before[1] <= after[0] for before, after in pairwise(windows))


def test_backups_are_not_taken_in_the_maintenance_window() -> None:
    """AWS refuses windows that overlap."""
    for instance in shards().of("Instance"):
        begin, end = instance.inputs["backupWindow"].split("-")
        opens, closes = (part[4:] for part in instance.inputs["maintenanceWindow"].split("-"))
        assert end <= opens or closes <= begin


def test_a_major_version_is_possible_when_the_stack_file_says_so() -> None:
    """B6: without leave for it RDS refuses; and the group of the old version is in use until the new one is in."""
    built = shards(settings=(("database.allowMajorUpgrade", True),))
    assert {i.inputs.get("allowMajorVersionUpgrade") for i in primaries(built)} == {True}
    assert all(g.retain for g in built.of("ParameterGroup") if g.type.startswith("aws:rds"))
    assert not any(g.retain for g in shards().of("ParameterGroup"))


def test_a_region_may_be_cut_off_for_half_the_disk_before_its_replicas_are_lost() -> None:
    """B10: a replica in another region has nothing but its slot; 20 GiB of WAL are soon written."""
    parsed = topology("prod").database
    assert parsed.wal_limit_mib >= parsed.storage_gib * 1024 // 2
    assert parsed.wal_limit_mib <= parsed.max_storage_gib * 1024 // 2


def test_the_logs_of_an_instance_are_encrypted_and_end() -> None:
    """B13: made by AWS itself they are neither."""
    built = shards()
    logs = {group.inputs["name"]: group for group in built.of("LogGroup")}
    for instance in built.of("Instance"):
        for log in instance.inputs["enabledCloudwatchLogsExports"]:
            group = logs[f"/aws/rds/instance/{instance.inputs['identifier']}/{log}"]
            assert group.region == instance.region
            assert group.inputs["kmsKeyId"] == f"arn:Key:{instance.inputs['tags']['region']}-telemetry"
            assert group.inputs["retentionInDays"] == 90
            assert group.urn in instance.dependencies


def test_what_happens_to_a_database_is_told() -> None:
    """B13: a failover, a lost replica, a pending reboot."""
    built = shards()
    told = {s.region: s.inputs for s in built.of("EventSubscription")}
    assert set(told) == set(AWS.values())
    for region, aws_region in AWS.items():
        assert told[aws_region]["snsTopic"] == f"arn:Topic:{region}-alarms"
        assert told[aws_region]["sourceType"] == "db-instance"
        assert {"failover", "failure", "read replica", "low storage"} <= set(told[aws_region]["eventCategories"])


def test_a_password_is_secret_everywhere() -> None:
    for primary in primaries(shards()):
        assert str(primary.inputs["password"]) == "[secret]"
    assert all("result" in word.secret_outputs for word in shards().of("RandomPassword"))


def test_a_shards_credentials_are_in_every_region_under_that_regions_key() -> None:
    built = shards()
    for n in HOMES:
        copies = [s for s in built.of("Secret") if s.inputs["name"] == f"hal9/prod/shard-{n}"]
        assert {s.region: s.inputs["kmsKeyId"] for s in copies} == {AWS[r]: f"arn:Key:{r}-secrets" for r in REGIONS}
        assert {s.inputs["tags"]["shard"] for s in copies} == {str(n)}


def test_every_instance_has_alarms_for_cpu_disk_memory_and_connections() -> None:
    built = shards()
    for instance in built.of("Instance"):
        mine = [
            a.inputs
            for a in built.of("MetricAlarm")
            if a.inputs["dimensions"].get("DBInstanceIdentifier") == instance.inputs["identifier"]
            and a.region == instance.region
        ]
        assert {a["metricName"] for a in mine} >= {
            "CPUUtilization",
            "FreeStorageSpace",
            "FreeableMemory",
            "DatabaseConnections",
        }
        assert all(a["alarmActions"] == [f"arn:Topic:{instance.inputs['tags']['region']}-alarms"] for a in mine)


def test_an_alarm_fires_where_it_is_bad_and_can_fire_at_all() -> None:
    for alarm in shards().of("MetricAlarm"):
        metric, threshold = alarm.inputs["metricName"], alarm.inputs["threshold"]
        falls = metric in ("FreeStorageSpace", "FreeableMemory")
        assert alarm.inputs["comparisonOperator"].startswith("LessThan" if falls else "GreaterThan"), alarm.name
        if metric == "CPUUtilization":
            assert 50 <= threshold < 100, alarm.name
        if falls:
            assert 100 * 1024**2 <= threshold <= 100 * 1024**3, alarm.name


def test_replicas_are_watched_for_lag_and_primaries_for_unread_slots() -> None:
    alarms = {a.name: a.inputs["metricName"] for a in shards().of("MetricAlarm") if a.name.endswith("lag")}
    assert set(alarms.values()) == {"ReplicaLag", "OldestReplicationSlotLag"}
    assert len([name for name, metric in alarms.items() if metric == "ReplicaLag"]) == 9


def test_a_shard_is_tagged_with_its_number() -> None:
    for instance in shards().of("Instance"):
        assert instance.inputs["tags"]["shard"] == instance.name.split("-")[1]


def test_it_exports_where_each_instance_is() -> None:
    assert shards().value[0] == {
        "shard-0-us-west": "shard-0-us-west.rds",
        **{named(0, region): f"{named(0, region)}.rds" for region in REGIONS},
    }


STAYED = (
    ("shards[1].primary", "us-west"),
    ("shards[1].generations.eu-central", 2),
    ("shards[1].generations.ap-south", 2),
    ("database.mapEpoch", 2),
)


def test_after_a_promotion_the_promoted_instance_keeps_its_name_and_is_a_replica_of_nothing() -> None:
    before = shards().one("Instance", "shard-1-us-west")
    after = shards(settings=STAYED).one("Instance", "shard-1-us-west")
    assert after.inputs["identifier"] == before.inputs["identifier"] == "hal9-prod-shard-1-us-west"
    assert "replicateSourceDb" in before.inputs
    assert "replicateSourceDb" not in after.inputs
    assert not {"dbName", "username", "password", "engine"} & after.inputs.keys()  # it was born with them


def test_after_a_promotion_the_others_are_made_anew_beside_the_old_ones() -> None:
    names = {i.name for i in shards(settings=STAYED).of("Instance") if i.name.startswith("shard-1-")}
    assert names == {"shard-1-us-west", "shard-1-us-west-second", "shard-1-eu-central-g2", "shard-1-ap-south-g2"}
    sources = {
        i.name: i.inputs["replicateSourceDb"] for i in replicas(shards(settings=STAYED)) if i.name.endswith("-g2")
    }
    assert set(sources.values()) >= {"arn:Instance:shard-1-us-west"}

"""Policies of Postgres and Redis: what may be lost, and what may be read."""

from __future__ import annotations

import math
from collections.abc import Iterator

from plan.record import Resource
from policies import tokens
from policies.expect import at, items, shown, wants, wants_any, wants_at_least
from policies.policy import Finding, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack

_INHERITED = (
    "nodeType",
    "engineVersion",
    "parameterGroupName",
    "numNodeGroups",
    "transitEncryptionEnabled",
    "transitEncryptionMode",
    "atRestEncryptionEnabled",
    "authToken",
    "snapshotArns",
    "snapshotName",
)
"""What a secondary of a Global Datastore takes from its primary; given beside it, the provider refuses or replaces it.
(`engine` is missing here because the provider's own default fills it in.)"""

_KEY_INPUTS = (
    "kmsKeyId",
    "kmsKeyArn",
    "kmsMasterKeyId",
    "performanceInsightsKmsKeyId",
    "encryptionConfig",
    "encryptionConfigurations",
    "blockDeviceMappings",
)


@stack_policy(tokens.RDS)
def shard_primary_per_region(stack: Stack) -> Iterator[Finding]:
    """A region that holds more primaries than its share takes more writes with it
    when it is lost, and makes more users' writes far. (Well-Architected REL10-BP01)

    Fix: hal9:shards[].home, another region for each.
    """
    homes = stack.by_region(primaries(stack))
    share = math.ceil(sum(map(len, homes.values())) / max(len(homes), 1))
    for region, held in homes.items():
        at_home = [
            one for one in held if at(one, "username") is not None
        ]  # others were promoted here, until they return
        for primary in sorted(at_home, key=lambda one: one.urn)[share:]:
            others = ", ".join(one.name for one in held if one is not primary)
            yield Violation(primary, f"is in {region} beside {others}", f"at most {share} in a region")


@stack_policy(tokens.RDS)
def shard_replica_every_other_region(stack: Stack) -> Iterator[Finding]:
    """A region's loss must not take a shard's reads with it, and a read must not cross an ocean. (Well-Architected
    REL13-BP02)

    Fix: hal9:database.replicationFactor, a replica in every region.
    """
    for primary in primaries(stack):
        held = {replica.region for replica in stack.users(primary, tokens.RDS, "replicateSourceDb")}
        for region in sorted(stack.regions.keys() - {primary.region} - held):
            yield Violation(primary, f"no replica in {region}", "one in every other region")


@stack_policy(tokens.RDS)
def replica_source_is_primary(stack: Stack) -> Iterator[Finding]:
    """A replica of a replica, or of another shard, lags twice or serves another shard's users. (RDS User Guide, read
    replicas)

    Fix: components/database.py, replicateSourceDb the shard's primary.
    """
    for replica in stack.of(tokens.RDS):
        if at(replica, "replicateSourceDb") is None or replica in primaries(stack):
            continue
        sources = stack.sources(replica, "replicateSourceDb", tokens.RDS)
        if not sources:
            yield Violation(replica, f"replicateSourceDb is {shown(at(replica, 'replicateSourceDb'))}", "its primary")
        for source in sources:
            if source not in primaries(stack):
                yield Violation(replica, f"replicateSourceDb is the replica {source.name}", "its primary")
            elif at(source, "tags.shard") != at(replica, "tags.shard"):
                mine = shown(at(replica, "tags.shard"))
                yield Violation(
                    replica, f"replicateSourceDb is {source.name} of another shard", f"shard {mine}'s primary"
                )


@stack_policy(tokens.RDS)
def replica_promotable(stack: Stack) -> Iterator[Finding]:
    """A replica that is smaller than its primary or without backups cannot take its place on the day that
    it must. (RDS User Guide, promoting a read replica; CKV_AWS_157)

    Fix: components/database.py, what a primary and its replicas share.
    """
    for replica in stack.of(tokens.RDS):
        for primary in stack.sources(replica, "replicateSourceDb", tokens.RDS):
            for path in ("instanceClass", "storageType", "maxAllocatedStorage"):
                if at(replica, path) != at(primary, path):
                    found, wanted = shown(at(replica, path)), shown(at(primary, path))
                    yield Violation(replica, f"{path} is {found}", f"{primary.name}'s, {wanted}")
            if replica.region != primary.region:
                yield from _of_own_region(stack, replica, "kmsKeyId", tokens.KEY)
                yield from _of_own_region(stack, replica, "dbSubnetGroupName", tokens.RDS_SUBNETS)
            yield from _of_own_region(stack, replica, "parameterGroupName", tokens.RDS_PARAMETERS)
            yield from _of_own_region(stack, replica, "vpcSecurityGroupIds", tokens.SECURITY_GROUP)


def _of_own_region(stack: Stack, resource: Resource, name: str, kind: str) -> Iterator[Finding]:
    """A violation unless an input comes from a resource of the same
    region. (A key of another region is another policy's.)
    """
    if not stack.sources(resource, name, kind):
        yield Violation(resource, f"{name} is none of this stack's", f"{name} of {resource.region}")
    for source in stack.sources(resource, name, kind):
        if source.region != resource.region and kind != tokens.KEY:
            yield Violation(resource, f"{name} is of {source.region}", f"{name} of {resource.region}")


@resource_policy(tokens.RDS, protection=Setting(True, "whether deletion must be prevented"))
def rds_private_encrypted_protected(db: Resource, protection: bool) -> Iterator[Finding]:
    """A public or unencrypted database is a breach; one that a mistaken
    command deletes is every user's data. (CKV_AWS_16, CKV_AWS_17, CKV_AWS_293)

    Fix: hal9:protect; the rest is components/database.py's.
    """
    yield from wants(db, "publiclyAccessible", False)
    yield from wants(db, "storageEncrypted", True)
    if at(db, "replicateSourceDb") is None:  # a replica's key is `replica_promotable`'s
        yield from wants_any(db, "kmsKeyId", "a customer key")
    yield from wants(db, "iamDatabaseAuthenticationEnabled", True)
    yield from wants(db, "copyTagsToSnapshot", True)
    if protection:
        yield from wants(db, "deletionProtection", True)
        replica = at(db, "replicateSourceDb") is not None  # AWS takes no final snapshot of one, and refuses to be asked
        yield from wants(db, "skipFinalSnapshot", replica)
        yield from wants(db, "deleteAutomatedBackups", False)
        if not db.protect:
            yield Violation(db, "protect is false", "protect true")


@resource_policy(tokens.RDS)
def rds_watched(db: Resource) -> Iterator[Finding]:
    """A database whose logs and load nobody keeps fails without a trace of why. (CKV_AWS_118, CKV_AWS_129, CKV_AWS_353,
    CKV_AWS_226)

    Fix: hal9:database.monitoringIntervalSeconds; the rest is components/database.py's.
    """
    yield from wants_at_least(db, "monitoringInterval", 1, "second")
    yield from wants(db, "performanceInsightsEnabled", True)
    yield from wants_any(db, "performanceInsightsKmsKeyId", "a customer key")
    yield from wants(db, "autoMinorVersionUpgrade", True)
    if "postgresql" not in items(db, "enabledCloudwatchLogsExports"):
        yield Violation(db, "enabledCloudwatchLogsExports lacks postgresql", "postgresql among them")


@resource_policy(tokens.RDS, days=Setting(7, "fewest days that backups are kept", 1))
def rds_retention_explicit(db: Resource, days: int) -> Iterator[Finding]:
    """With backups off or short, a bad migration found after the weekend cannot be undone, and a replica that is
    promoted has none. (Well-Architected REL09-BP04; CKV_AWS_133)

    Fix: hal9:database.backupRetentionDays.
    """
    yield from wants_at_least(db, "backupRetentionPeriod", days, "days")


@stack_policy(tokens.RDS)
def rds_multi_az(stack: Stack) -> Iterator[Finding]:
    """A primary without a standby is down for as long as a zone is, and its
    last writes may be lost with it. (CKV_AWS_157; Well-Architected REL10-BP01)

    Fix: hal9:database.multiAz.
    """
    for primary in primaries(stack):  # a replica has one from its promotion on, when it is a primary here
        yield from wants(primary, "multiAz", True)


@stack_policy(tokens.RDS_PARAMETERS, tokens.RDS)
def rds_tls_and_statement_log(stack: Stack) -> Iterator[Finding]:
    """A database that takes plaintext connections, or old TLS, gives credentials and rows to whoever listens; without a
    log nobody knows who changed a table. (CKV2_AWS_69, CKV2_AWS_30)

    Fix: components/database.py, the parameters of the group.
    """
    wanted = {
        "rds.force_ssl": ({"1"}, "1"),
        "ssl_min_protocol_version": ({"TLSv1.3"}, "TLSv1.3"),
        "log_statement": ({"ddl", "mod", "all"}, "ddl, mod or all"),
    }
    for db in stack.of(tokens.RDS):
        if not stack.sources(db, "parameterGroupName", tokens.RDS_PARAMETERS):
            yield Violation(db, "parameterGroupName is none of this stack's", "a group that forces TLS")
    for group in stack.of(tokens.RDS_PARAMETERS):
        found = {at(p, "name"): at(p, "value") for p in items(group, "parameters")}
        for name, (good, words) in wanted.items():
            if found.get(name) not in good:
                yield Violation(group, f"{name} is {shown(found.get(name))}", words)


@stack_policy(tokens.RDS_BACKUPS_ELSEWHERE, tokens.RDS, days=Setting(7, "fewest days that the copies are kept", 1))
def rds_backups_in_another_region(stack: Stack, days: int) -> Iterator[Finding]:
    """A region that is lost for good takes its own backups with it. (Well-Architected REL13-BP02)

    Fix: hal9:database.backupRetentionDays; the copies are components/database.py's.
    """
    if len(stack.regions) < 2:
        return  # there is no other region to copy to
    for primary in primaries(stack):
        copies = stack.users(primary, tokens.RDS_BACKUPS_ELSEWHERE, "sourceDbInstanceArn")
        if not any(copy.region != primary.region for copy in copies):
            yield Violation(primary, "its backups are in its own region alone", "a replication to another region")
        for copy in copies:
            yield from wants_at_least(copy, "retentionPeriod", days, "days")
            yield from wants_any(copy, "kmsKeyId", "a key of its region")


@resource_policy(
    tokens.REDIS,
    snapshotDays=Setting(1, "fewest days that snapshots are kept", 0),
)
def redis_tls_auth_multiaz(group: Resource, snapshotDays: int) -> Iterator[Finding]:
    """Sessions on an open wire are everybody's; a session store in one zone logs every user out with it. (CKV_AWS_29,
    CKV_AWS_30, CKV_AWS_31, CKV_AWS_191)

    Fix: hal9:redis.*.replicasPerShard and replicas; the rest is components/redis.py's.
    """
    yield from wants(group, "automaticFailoverEnabled", True)
    yield from wants(group, "multiAzEnabled", True)
    yield from wants_any(group, "kmsKeyId", "a customer key")
    if at(group, "globalReplicationGroupId") is not None:
        return  # the rest is its primary's
    yield from wants(group, "atRestEncryptionEnabled", True)
    yield from wants(group, "transitEncryptionEnabled", True)
    yield from wants(group, "transitEncryptionMode", "required")
    yield from wants_any(group, "authToken", "a password")
    yield from wants_at_least(group, "snapshotRetentionLimit", snapshotDays, "days")


@resource_policy(tokens.REDIS)
def datastore_secondary_inherits(group: Resource) -> Iterator[Finding]:
    """A secondary of a Global Datastore that states what it inherits is refused, or replaced at the next change, and
    its copy of every session with it. (ElastiCache User Guide, global datastores)

    Fix: components/redis.py, leave it out of the secondary.
    """
    if at(group, "globalReplicationGroupId") is None:
        return
    for name in _INHERITED:
        if at(group, name) is not None:
            yield Violation(group, f"{name} is {shown(at(group, name))}", f"no {name}: it is the primary's")


@stack_policy(tokens.DATASTORE, tokens.REDIS)
def global_datastore_parity(stack: Stack) -> Iterator[Finding]:
    """A region whose sessions are copied nowhere logs its users out when it is lost; a copy with fewer nodes than its
    primary cannot take over. (ElastiCache User Guide, global datastores)

    Fix: hal9:regions.*.sessionReplicas.
    """
    for datastore in stack.of(tokens.DATASTORE):
        copies = stack.users(datastore, tokens.REDIS, "globalReplicationGroupId")
        held = [copy.region for copy in copies]
        wanted = min(2, len(stack.regions) - 1)
        if len(set(held) - {datastore.region}) < wanted:
            yield Violation(datastore, f"copies in {', '.join(sorted(held)) or 'no region'}", f"{wanted} other regions")
        for primary in stack.sources(datastore, "primaryReplicationGroupId", tokens.REDIS):
            for copy in copies:
                if at(copy, "numCacheClusters") != at(primary, "numCacheClusters"):
                    found = shown(at(copy, "numCacheClusters"))
                    wants_nodes = shown(at(primary, "numCacheClusters"))
                    yield Violation(copy, f"numCacheClusters is {found}", f"{primary.name}'s, {wants_nodes}")


def primaries(stack: Stack) -> list[Resource]:
    """The shards' primaries: instances that replicate nothing. One that was promoted has no user name, as it was born
    with the data; of one that the engine shows by its outputs alone, what it replicates is unknown, and the name tells.
    """
    return [
        db
        for db in stack.of(tokens.RDS)
        if not stack.sources(db, "replicateSourceDb")
        and (at(db, "replicateSourceDb") is None or at(db, "username") is not None)
    ]


POLICIES = (
    shard_primary_per_region,
    shard_replica_every_other_region,
    replica_source_is_primary,
    replica_promotable,
    rds_private_encrypted_protected,
    rds_watched,
    rds_retention_explicit,
    rds_multi_az,
    rds_tls_and_statement_log,
    rds_backups_in_another_region,
    redis_tls_auth_multiaz,
    datastore_secondary_inherits,
    global_datastore_parity,
)

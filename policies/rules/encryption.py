"""Policies of keys, secrets, logs and images: who may read them, and where they are when a region is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from plan.record import Resource
from plan.values import Secret, is_unknown
from policies import tokens
from policies.expect import at, shown, wants, wants_any, wants_at_least
from policies.policy import Finding, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack

_KEY_INPUTS = (
    "kmsKeyId",
    "kmsKeyArn",
    "kmsMasterKeyId",
    "performanceInsightsKmsKeyId",
    "encryptionConfig",
    "encryptionConfigurations",
    "blockDeviceMappings",
)


@stack_policy("aws:*")
def kms_key_region_matches_resource(stack: Stack) -> Iterator[Finding]:
    """Data under another region's key cannot be read on the day that
    region is gone. (RDS User Guide, encrypted replicas)

    Fix: the component's cell.keys, which are its own region's.
    """
    for resource in stack.resources:
        for name in _KEY_INPUTS:
            for key in stack.sources(resource, name, tokens.KEY):
                if key.region != resource.region:
                    yield Violation(resource, f"{name} is {key.name} of {key.region}", f"a key of {resource.region}")


@resource_policy(tokens.KEY, days=Setting(7, "fewest days between a key's deletion and its end", 7))
def kms_keys_rotate(key: Resource, days: int) -> Iterator[Finding]:
    """A key that never rotates is worth stealing for ever; one that is gone
    at once takes all under it along. (CKV_AWS_7, CKV_AWS_33, CKV2_AWS_64)

    Fix: components/keys.py.
    """
    yield from wants(key, "enableKeyRotation", True)
    yield from wants_at_least(key, "deletionWindowInDays", days, "days")
    yield from wants_any(key, "policy", "a policy")


@resource_policy(tokens.LOG_GROUP, days=Setting(30, "fewest days that logs are kept", 1))
def logs_kept_encrypted(group: Resource, days: int) -> Iterator[Finding]:
    """A breach is found weeks later: logs that are gone, or open to read,
    tell the wrong people or nobody. (CKV_AWS_158, CKV_AWS_66, CKV_AWS_338)

    Fix: hal9:network.flowLogRetentionDays, hal9:cluster.logRetentionDays and hal9:edge.logRetentionDays.
    """
    yield from wants_at_least(group, "retentionInDays", days, "days")
    yield from wants_any(group, "kmsKeyId", "a customer key")


@resource_policy(tokens.TOPIC)
def alarms_encrypted(topic: Resource) -> Iterator[Finding]:
    """Alarms tell an attacker what is weak and whether he was seen. (CKV_AWS_26)

    Fix: components/alarms.py.
    """
    yield from wants_any(topic, "kmsMasterKeyId", "a customer key")


@resource_policy(tokens.SECRET, days=Setting(7, "fewest days in which a deleted secret can be brought back", 0))
def secrets_under_customer_key(secret: Resource, days: int) -> Iterator[Finding]:
    """Under AWS's own key whoever may read the secret may decrypt it; deleted without a window it takes its database's
    password along. (CKV_AWS_149)

    Fix: hal9:protect; the key is components/secrets.py's.
    """
    yield from wants_any(secret, "kmsKeyId", "a customer key")
    yield from wants_at_least(secret, "recoveryWindowInDays", days, "days")


@stack_policy(tokens.SECRET)
def secrets_in_every_region(stack: Stack) -> Iterator[Finding]:
    """A region that lacks a session key or password cannot take over another's users,
    and does not start when the one that has it is gone. (Well-Architected REL13-BP02)

    Fix: components/secrets.py makes a copy in each of hal9:regions.
    """
    copies: dict[str, list[Resource]] = defaultdict(list)
    for secret in stack.of(tokens.SECRET):
        copies[shown(at(secret, "name"))].append(secret)
    for name, held in sorted(copies.items()):
        for region in sorted(stack.regions.keys() - {secret.region for secret in held}):
            yield Violation(held[0], f"{name} has no copy in {region}", "one in every region")
    for secret in stack.of(tokens.SECRET):
        if not stack.users(secret, tokens.SECRET_VERSION, "secretId"):
            yield Violation(secret, "has no value", "a SecretVersion")


_SECRET_INPUTS = {tokens.RDS: "password", tokens.REDIS: "authToken", tokens.SECRET_VERSION: "secretString"}


@resource_policy(*_SECRET_INPUTS)
def secret_inputs_marked(resource: Resource) -> Iterator[Finding]:
    """A password that the program does not mark stands in clear in the state file, in previews and in logs. (Pulumi,
    secrets)

    Fix: wrap the value in pulumi.Output.secret where it is made (components/secrets.py).
    """
    name = _SECRET_INPUTS[resource.type]
    value = at(resource, name)
    if value is not None and not isinstance(value, Secret) and not is_unknown(value):
        yield Violation(resource, f"{name} is not marked as secret", "a secret")


@resource_policy(tokens.REPOSITORY)
def registry_immutable_scanned(repository: Resource) -> Iterator[Finding]:
    """An image tag that can be moved changes what runs without a deployment; an image nobody scans brings known holes.
    (CKV_AWS_51, CKV_AWS_136, CKV_AWS_163)

    Fix: components/registry.py.
    """
    yield from wants(repository, "imageTagMutability", "IMMUTABLE")
    yield from wants(repository, "imageScanningConfiguration.scanOnPush", True)
    yield from wants(repository, "encryptionConfigurations[0].encryptionType", "KMS")


POLICIES = (
    kms_key_region_matches_resource,
    kms_keys_rotate,
    logs_kept_encrypted,
    alarms_encrypted,
    secrets_under_customer_key,
    secrets_in_every_region,
    secret_inputs_marked,
    registry_immutable_scanned,
)

"""Secrets: made by the program, kept in Secrets Manager in every region, delivered to pods as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.keys import RegionKeys
from topology.topology import Topology

PASSWORD_LENGTH = 48
SESSION_KEY_BYTES = 32


@dataclass(frozen=True)
class Vault:
    """Where a copy of every secret goes: one region's provider and keys."""

    provider: aws.Provider
    keys: RegionKeys


class ReplicatedSecret(pulumi.ComponentResource):
    """One secret with a copy in every region, each under its region's own key.

    The copies are secrets of their own rather than Secrets Manager's `replicas`: a replica follows its primary's
    region into an outage, and adding a region would change every secret there is instead of only creating.

    `kept`: whether production protects it, as it does unless its end is near.

    Outputs: arns by region.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str,
        value: pulumi.Input[str],
        vaults: Mapping[str, Vault],
        topology: Topology,
        shard: int | None = None,
        kept: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:secrets:ReplicatedSecret", name, {}, opts)
        secret_value = pulumi.Output.secret(value)
        self.arns: dict[str, pulumi.Output[str]] = {}
        for region, vault in vaults.items():
            secret = aws.secretsmanager.Secret(
                f"{name}-in-{region}",
                name=topology.names.secret(name),
                description=description,
                kms_key_id=vault.keys.arns["secrets"],
                recovery_window_in_days=30 if topology.keep_backups else 0,
                tags=topology.names.tags("secrets", region, shard=shard),
                opts=pulumi.ResourceOptions(parent=self, provider=vault.provider, protect=topology.protect and kept),
            )
            aws.secretsmanager.SecretVersion(
                f"{name}-in-{region}",
                secret_id=secret.id,
                secret_string=secret_value,
                opts=pulumi.ResourceOptions(parent=self, provider=vault.provider),
            )
            self.arns[region] = secret.arn
        self.register_outputs({"arns": self.arns})


class SessionKeyring(pulumi.ComponentResource):
    """The keys that sessions are encrypted with, one secret each; which one is active is the stack file's to say.

    A key's bytes never change. Rotation adds an id to the stack file, moves `active` to it, retires the old one when no
    session lives under it any more, and takes it out one `up` later: a retired key is not protected, as the engine
    deletes nothing that is (docs/runbooks/session-key-rotation.md).
    """

    def __init__(
        self, topology: Topology, vaults: Mapping[str, Vault], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:secrets:SessionKeyring", "session-keyring", {}, opts)
        for key in topology.sessions.keyring:
            kept = key.state != "retired"
            material = random.RandomBytes(
                f"session-key-{key.id}",
                length=SESSION_KEY_BYTES,
                opts=pulumi.ResourceOptions(parent=self, protect=topology.protect and kept),
            )
            ReplicatedSecret(
                f"session-key-{key.id}",
                description=f"Session key {key.id}",
                value=material.base64,
                vaults=vaults,
                topology=topology,
                kept=kept,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"ids": [key.id for key in topology.sessions.keyring]})


def password(name: str, parent: pulumi.Resource, keepers: Iterable[str] = ()) -> pulumi.Output[str]:
    """A random password of letters and digits, which every connection string and header takes as it is."""
    made = random.RandomPassword(
        name,
        length=PASSWORD_LENGTH,
        special=False,
        keepers={str(i): keeper for i, keeper in enumerate(keepers)} or None,
        opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["result"]),
    )
    return pulumi.Output.secret(made.result)

"""Connections to one Postgres instance: account, TLS, session settings. Pools and commands both come here."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

import asyncpg

from app.databases.credentials import As, Credentials, shard_credentials
from app.deployment import Deployment, Endpoint, ShardConfig

STATEMENT_SLACK_SECONDS = 1.0
"""The client waits this much longer than the server's own statement_timeout before it gives a connection up."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """An asyncpg connection that knows until when it may be used (`expires_at`, of the monotonic clock).

    It goes from one user to the next as it is: nobody may SET, LISTEN or take a session's lock on it outside a
    transaction.
    """

    __slots__ = ("expires_at",)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.expires_at = float("inf")


@functools.cache
def tls_context(ca_file: str) -> ssl.SSLContext:
    """TLS 1.3, the server's name verified, against the bundle `ca_file` or the system's when empty."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def connect_endpoint(
    endpoint: Endpoint,
    *,
    shard_id: int,
    database: str,
    secrets_directory: str | Path,
    ca_file: str,
    timeout: float,
    statement_timeout: float = 0,
    statement_cache_size: int = 100,
    application_name: str = "hal9-server",
    connection_class: type[asyncpg.Connection] = Connection,
    account: As | Credentials = "shard",
) -> asyncpg.Connection:
    """Connect to one instance of a shard; times in seconds, 0 for no statement time-out.

    `account` says whose; its secret file is read now, and once more when Postgres refuses it: a rotation may just
    have swapped the file. Raises what asyncpg raises, and CredentialsError.
    """
    settings = {"application_name": application_name}
    if statement_timeout:
        settings["statement_timeout"] = str(round(statement_timeout * 1000))
    for last in (False, True):
        login = _login(secrets_directory, shard_id, account)
        try:
            return await asyncpg.connect(
                host=endpoint.host,
                port=endpoint.port,
                user=login.username,
                password=login.password,
                database=database,
                ssl=tls_context(ca_file) if endpoint.tls else False,
                timeout=timeout,
                command_timeout=statement_timeout + STATEMENT_SLACK_SECONDS if statement_timeout else None,
                statement_cache_size=statement_cache_size,
                max_cached_statement_lifetime=0,
                server_settings=settings,
                connection_class=connection_class,
            )
        except asyncpg.InvalidAuthorizationSpecificationError:
            if last or _login(secrets_directory, shard_id, account) == login:
                raise
    raise AssertionError("unreachable")


def _login(secrets_directory: str | Path, shard_id: int, account: As | Credentials) -> Credentials:
    return account if isinstance(account, Credentials) else shard_credentials(secrets_directory, shard_id, account)


async def connect(
    deployment: Deployment,
    shard: ShardConfig,
    application_name: str = "hal9-admin",
    account: As | Credentials = "owner",
) -> asyncpg.Connection:
    """A connection of its own to a shard's primary, for commands: as its tables' owner, no statement time-out."""
    return await connect_endpoint(
        shard.primary.endpoint,
        shard_id=shard.id,
        database=deployment.sharding.database,
        secrets_directory=deployment.secrets_directory,
        ca_file=deployment.ca_file,
        timeout=deployment.pools.connect_timeout_seconds,
        application_name=application_name,
        connection_class=asyncpg.Connection,
        account=account,
    )

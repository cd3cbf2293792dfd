"""The app alone: one region of real servers, an identity provider, and the app, until Ctrl-C.

`make run-app` (or `python -m lab.alone`) prints a session for curl. The region has one shard with a primary and a
replica, a Redis cluster of three as cache and a Redis as session store, all on free ports of the loopback.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import asyncio
import base64
import contextlib
import http.client
import json
import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec

from app.deployment import (
    DatabaseConnection,
    Deployment,
    Endpoint,
    KeyRange,
    LimitConfig,
    PoolConfig,
    RegionConfig,
    ServerConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardConfig,
    ShardingConfig,
)
from app.migrate import migrate_shard
from lab.servers.accounts import write_accounts
from lab.servers.identity_provider import IdentityProvider
from lab.servers.postgres import DATABASE, PostgresServer
from lab.servers.process import Process, ProcessError, User, free_port, work_directory
from lab.servers.redis import RedisCluster, RedisServer

REGION = "us-west"
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Alone:
    """What runs: the document the app reads, its identity provider, and its servers, for tests to stop."""

    document: Deployment
    path: Path
    identity: IdentityProvider
    primary: PostgresServer
    replica: PostgresServer
    cache: RedisCluster
    sessions: RedisServer


@contextlib.contextmanager
def servers(
    port: int = 0, metrics_port: int = 0, server: ServerConfig | None = None, limits: LimitConfig | None = None
) -> Iterator[Alone]:
    """Start everything but the app, write its document, and end everything. Ports are free ones unless given.

    `server` replaces the server section but for its ports, `limits` the limits. Raises: ProcessError.
    """
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(work_directory("hal9-alone"))
        primary = PostgresServer(root / "primary")
        replica = PostgresServer(root / "replica", replica_of=primary)
        cache = RedisCluster(root / "cache", password=secrets.token_urlsafe(12))
        sessions = RedisServer(root / "sessions", password=secrets.token_urlsafe(12))
        for running in (replica, primary, cache, sessions):
            stack.callback(running.stop)
        primary.create()
        primary.start()
        asyncio.run(_create_database(primary))
        cache.start()
        sessions.start()
        secret = _secrets(root, primary, cache, sessions)
        identity = IdentityProvider(root / "jwks.json")
        document = Deployment(
            region=REGION,
            regions=(
                RegionConfig(name=REGION, cache=cache.endpoint, sessions=SessionStore(primary=sessions.endpoint)),
            ),
            sharding=ShardingConfig(
                shards=(
                    ShardConfig(
                        id=1,
                        home=REGION,
                        primary=_instance(primary),
                        replicas=(_instance(replica),),
                        key_ranges=(KeyRange(start=0, end=999),),
                    ),
                ),
                replication_factor=1,
                database=DATABASE,
            ),
            pools=PoolConfig(primary_size=16, replica_size=16),
            sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
            identity=identity.config,
            server=_server(port, metrics_port, server),
            limits=limits or LimitConfig(),
            secrets_directory=str(secret),
        )
        asyncio.run(_migrate(document))
        replica.create()
        replica.start()
        path = root / "deployment.json"
        path.write_bytes(document.encode())
        yield Alone(document, path, identity, primary, replica, cache, sessions)


def app_process(alone: Alone, path: Path | None = None) -> Process:
    """The app as a process of its own, not started yet. It runs as the current user and has nowhere to write."""
    path = path or alone.path
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    return Process(
        [sys.executable, "-m", "app", "--document", path],
        path.with_suffix(".log"),
        user=User.current(),
        env=environment,
    )


def _instance(server: PostgresServer) -> DatabaseConnection:
    return DatabaseConnection(region=REGION, endpoint=Endpoint(host=server.host, port=server.port, tls=False))


def _server(port: int, metrics_port: int, given: ServerConfig | None) -> ServerConfig:
    return msgspec.structs.replace(
        given or ServerConfig(), port=port or free_port(), metrics_port=metrics_port or free_port()
    )


def _secrets(root: Path, primary: PostgresServer, cache: RedisCluster, sessions: RedisServer) -> Path:
    """The directory of secret files, as the deployment mounts it."""
    directory = root / "secrets"
    directory.mkdir(mode=0o700)
    write_accounts(directory, 1, primary.password)
    for name, content in {
        f"cache-{REGION}": cache.password,
        f"sessions-{REGION}": sessions.password,
        "session-key-k1": base64.b64encode(secrets.token_bytes(32)).decode(),
    }.items():
        (directory / name).write_text(content)
    return directory


async def _create_database(primary: PostgresServer) -> None:
    connection = await asyncpg.connect(**primary.dsn("postgres"))
    await connection.execute(f"CREATE DATABASE {DATABASE}")
    await connection.close()


async def _migrate(document: Deployment) -> None:
    for shard in document.sharding.shards:
        await migrate_shard(document, shard)


def session_for_curl(alone: Alone) -> str:
    """What to type, with a user that is registered over HTTP as the identity provider does it."""
    server = alone.document.server
    base, user_id = f"http://localhost:{server.port}", register(alone)
    return f"""\
HAL9 is at {base}, its metrics at http://localhost:{server.metrics_port}/metrics. Ctrl-C ends it all.
In another terminal, as a user who is registered and has a token of the identity provider for an hour:

  TOKEN={alone.identity.token(user_id)}
  curl -i -c cookies -X POST {base}/v1/sessions -H "Authorization: Bearer $TOKEN"
  curl -b cookies {base}/v1/me
  curl -i -b cookies -X PUT {base}/v1/me/items/answer -H 'Content-Type: application/json' -d 42
  curl -i -b cookies {base}/v1/me/items/answer
  curl -b cookies {base}/v1/me/items
  curl -i -b cookies -X DELETE {base}/v1/session
"""


def register(alone: Alone) -> str:
    """Register a user as the identity provider does; the new id."""
    status, _, body = ask(alone, "POST", "/v1/users", {"region": REGION}, bearer=alone.identity.service_token())
    if status != 201:
        raise ProcessError(f"the user was not registered: {status} {body!r}")
    return str(json.loads(body)["id"])


def sign_in(alone: Alone, user_id: str) -> str:
    """Log the user in; the Cookie header for what follows."""
    status, headers, body = ask(alone, "POST", "/v1/sessions", bearer=alone.identity.token(user_id))
    if status != 201:
        raise ProcessError(f"the user was not logged in: {status} {body!r}")
    return headers["set-cookie"].partition(";")[0]


def ask(
    alone: Alone, method: str, path: str, body: object = None, *, bearer: str = "", cookie: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """One request to the app, `body` as JSON; the status, the headers by lower-case name, and the answer's body."""
    connection = http.client.HTTPConnection("127.0.0.1", alone.document.server.port, timeout=10)
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    if cookie:
        headers["Cookie"] = cookie
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - the lab's own address
            return bool(answer.status == 200)
    except OSError:
        return False


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m lab.alone", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9000, help="the app's port (9000)")
    parser.add_argument("--metrics-port", type=int, default=9001, help="the metrics' port (9001)")
    given = parser.parse_args(arguments)
    # Ctrl-C goes to the whole process group at once; the servers are in groups of their own and end in order here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print("starting PostgreSQL, Redis and the app", flush=True)
        with servers(given.port, given.metrics_port, ServerConfig(drain_delay_seconds=0)) as alone:
            process = app_process(alone)
            ready = f"http://127.0.0.1:{alone.document.server.port}/readyz"
            process.start(lambda: answers(ready))
            try:
                print(session_for_curl(alone), flush=True)
                while process.running:
                    time.sleep(0.2)
                print(f"the app ended: {process.log_tail()}", file=sys.stderr)
                return 1
            finally:
                process.stop()
    except KeyboardInterrupt:
        print("ended")
        return console.INTERRUPTED
    except ProcessError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)

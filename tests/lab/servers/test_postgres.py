from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from lab.servers import programs
from lab.servers.postgres import PostgresServer
from lab.servers.process import Process, ProcessError, User, free_port, work_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    with work_directory("hal9-lab-test") as path:
        yield path


@pytest.fixture
def primary(directory: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(directory / "primary")
    server.create()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def replica(directory: Path, primary: PostgresServer) -> Iterator[PostgresServer]:
    server = PostgresServer(directory / "replica", replica_of=primary)
    server.create()
    server.start()
    yield server
    server.kill()


def ask(server: PostgresServer, query: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(**server.dsn("postgres"))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def ask_until(server: PostgresServer, query: str, answer: object) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(**server.dsn("postgres"))
        async with asyncio.timeout(20):
            while True:
                try:
                    if await connection.fetchval(query) == answer:
                        break
                except asyncpg.UndefinedTableError:
                    await asyncio.sleep(0.02)
        await connection.close()

    asyncio.run(run())


def test_the_server_is_the_program_that_was_found_and_not_root(primary: PostgresServer) -> None:
    assert int(str(ask(primary, "SHOW server_version_num"))) // 10000 == programs.version(
        programs.postgres() / "postgres"
    )
    assert os.stat(f"/proc/{primary.process.pid}").st_uid != 0


def test_a_password_is_needed(primary: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(asyncpg.connect(**{**primary.dsn("postgres"), "password": "wrong"}))


def test_a_replica_follows_and_refuses_writes(primary: PostgresServer, replica: PostgresServer) -> None:
    ask(primary, "CREATE TABLE t AS SELECT 1 AS n")
    ask_until(replica, "SELECT n FROM t", 1)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        ask(replica, "INSERT INTO t VALUES (2)")


def test_a_crash_loses_nothing_that_was_committed(primary: PostgresServer) -> None:
    ask(primary, "CREATE TABLE t AS SELECT 1 AS n")
    primary.kill()
    assert not primary.running
    primary.start()
    assert ask(primary, "SELECT n FROM t") == 1


def test_a_crash_leaves_no_shared_memory(directory: Path) -> None:
    def system_v() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}

    server = PostgresServer(directory / "crashed")
    server.create()
    server.start()
    segment = (server.data / "postmaster.pid").read_text().splitlines()[6].split()[1]
    assert segment in system_v()
    assert ask(server, "SHOW dynamic_shared_memory_type") == "mmap"  # files of the data directory
    server.kill()
    assert segment not in system_v()


def test_a_crashed_primary_rejoins_and_takes_no_connection_before(
    primary: PostgresServer, replica: PostgresServer
) -> None:
    ask(primary, "CREATE TABLE t AS SELECT 1 AS n")
    ask_until(replica, "SELECT n FROM t", 1)
    primary.kill()
    replica.promote()
    ask(replica, "INSERT INTO t VALUES (2)")
    primary.rejoin(replica)
    assert not primary.running
    primary.start()
    ask_until(primary, "SELECT count(*) FROM t", 2)


def test_a_promoted_replica_takes_writes_and_the_old_primary_rejoins_it(
    primary: PostgresServer, replica: PostgresServer
) -> None:
    ask(primary, "CREATE TABLE t AS SELECT 1 AS n")
    ask_until(replica, "SELECT n FROM t", 1)
    primary.stop()
    replica.promote()
    ask(replica, "INSERT INTO t VALUES (2)")
    primary.rejoin(replica)
    primary.start()
    ask_until(primary, "SELECT count(*) FROM t", 2)
    assert ask(primary, "SELECT pg_is_in_recovery()") is True


def test_another_loopback_address_can_be_given(directory: Path) -> None:
    server = PostgresServer(directory / "other", host="127.0.9.1")
    server.create()
    server.start()
    try:
        assert str(ask(server, "SELECT inet_server_addr()")) == "127.0.9.1"
    finally:
        server.kill()


def test_a_server_that_cannot_start_says_why(directory: Path, primary: PostgresServer) -> None:
    server = PostgresServer(directory / "clash", port=primary.port)
    server.create()
    server._answers = lambda: False  # type: ignore[method-assign]
    with pytest.raises(ProcessError, match=r"Address already in use|could not create"):
        server.start(timeout=10)


def test_a_server_dies_with_the_run_that_started_it(directory: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from lab.servers.postgres import PostgresServer\n"
        "server = PostgresServer(Path(sys.argv[1])); server.create(); server.start()\n"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(directory / "orphan")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert run.stdout is not None
    server = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()

    async def gone() -> None:
        async with asyncio.timeout(15):
            while _alive(server):
                await asyncio.sleep(0.05)

    asyncio.run(gone())


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_program_the_servers_user_cannot_reach_is_known(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    user = User.unprivileged()
    assert user.can_execute(program) is not user.switches
    assert user.can_execute(programs.postgres() / "postgres")


def test_a_process_that_ends_at_its_start_is_told_with_its_log(directory: Path) -> None:
    process = Process(["sh", "-c", "echo the reason; exit 3"], directory / "log")
    with pytest.raises(ProcessError, match="sh ended with 3 at its start: the reason"):
        process.start(lambda: False)


def test_a_free_port_is_free() -> None:
    assert free_port() != free_port()

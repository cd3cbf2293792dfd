"""The command line of `app.reshard`, and the order in which it lets things be done."""

from __future__ import annotations

import argparse
from pathlib import Path
from uuid import UUID

import pytest

from app.databases.credentials import shard_credentials
from app.databases.databases import Databases
from app.databases.ownership import EPOCHS
from app.databases.sharding import slot_of
from app.deployment import Deployment
from app.items import ItemRepository
from app.reshard.__main__ import main, parse_slots
from app.reshard.replication import conninfo, slot_filter
from app.users import UserRepository

MOVE = ["--from", "1", "--to", "2", "--slots", "300-333", "--target-free-gib", "1"]


@pytest.fixture
def document(deployment: Deployment, tmp_path: Path) -> list[str]:
    path = tmp_path / "deployment.json"
    path.write_bytes(deployment.encode())
    return ["--document", str(path)]


@pytest.fixture
async def user(databases: Databases) -> UUID:
    """A user in the slots that move, with an item."""
    while slot_of(user := databases.shards.map.new_user_id("us-west")) < 300:
        pass
    await UserRepository(databases).register("us-west", user)
    await ItemRepository(databases).put(user, "a", b"1" * 100)
    return user


async def test_a_plan_says_what_would_move_and_changes_nothing(
    document: list[str], databases: Databases, user: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await main(["plan", *document, *MOVE]) == 0
    assert capsys.readouterr().out.startswith("slots 300-333 (34) from shard 1 to shard 2: 3 rows, 0.0 MiB\n")
    assert await main(["status", *document, "--all"]) == 0
    assert capsys.readouterr().out == ""
    assert databases.shards.map.get_shard_for_user(user) == 1


async def test_a_plan_names_what_stands_in_the_way(
    document: list[str], user: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    assert slot_of(user) >= 300
    assert await main(["plan", *document, *MOVE[:-2]]) == 1
    assert "in the way: the target's free disk is not known" in capsys.readouterr().out


async def test_a_move_goes_from_run_to_finish(
    document: list[str], databases: Databases, user: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await main(["run", *document, *MOVE]) == 0
    shown = capsys.readouterr().out
    assert "switched" in shown
    assert "pause_milliseconds" in shown
    assert await main(["run", *document, "--from", "2", "--to", "3", "--slots", "400"]) == 1
    assert "comes first" in capsys.readouterr().err
    assert await main(["abort", *document]) == 1
    assert "is at `switched`" in capsys.readouterr().err
    assert await main(["finish", *document]) == 0
    assert "finished" in capsys.readouterr().out
    assert await ItemRepository(databases).get(user, "a") is not None
    assert await main(["status", *document]) == 0
    assert capsys.readouterr().out == ""


async def test_slots_can_return_by_a_second_move(document: list[str], databases: Databases, user: UUID) -> None:
    assert await main(["run", *document, *MOVE, "--finish"]) == 0
    back = ["--from", "2", "--to", "1", "--slots", "300-333", "--target-free-gib", "1"]
    assert await main(["run", *document, *back, "--finish"]) == 0
    written = await ItemRepository(databases).put(user, "a", b"2")
    assert (written.floor.shard, written.floor.epoch) == (1, 2 * EPOCHS + 1)


async def test_without_a_move_there_is_nothing_to_abort(
    document: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await main(["abort", *document]) == 1
    assert "no move is under way" in capsys.readouterr().err


@pytest.mark.parametrize("shards", [("1", "1"), ("1", "9")])
async def test_a_move_needs_two_shards_of_the_document(
    document: list[str], capsys: pytest.CaptureFixture[str], shards: tuple[str, str]
) -> None:
    assert await main(["run", *document, "--from", shards[0], "--to", shards[1], "--slots", "5"]) == 1
    assert "are not two of 1, 2, 3" in capsys.readouterr().err


async def test_no_output_has_the_password(
    document: list[str],
    deployment: Deployment,
    user: UUID,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the account's nor that of a role of the move."""
    made: set[str] = set()

    def noted(*arguments: object) -> str:
        reach = conninfo(*arguments)  # type: ignore[arg-type]
        made.add(reach.split("password='")[1].split("'")[0])
        return reach

    monkeypatch.setattr("app.reshard.replication.conninfo", noted)
    await main(["run", *document, *MOVE])
    output = "".join(capsys.readouterr())
    assert user
    assert made
    for password in made | {shard_credentials(deployment.secrets_directory, 1).password}:
        assert password not in output
    await main(["finish", *document])


def test_what_is_no_list_of_slots_is_refused_in_the_command_s_own_way() -> None:
    assert parse_slots("300-302,5") == [5, 300, 301, 302]
    with pytest.raises(argparse.ArgumentTypeError, match="not of the form 300-333,400"):
        parse_slots("a")


def test_a_filter_names_the_ranges() -> None:
    assert slot_filter([1, 2, 3, 7]) == "(slot BETWEEN 1 AND 3) OR (slot BETWEEN 7 AND 7)"

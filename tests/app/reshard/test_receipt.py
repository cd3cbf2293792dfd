"""What a finished move prints is the stack file's edit, and `topology.steps` takes it for a step."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import yaml

from app.deployment import Deployment
from app.reshard.__main__ import main
from app.reshard.journal import Record, Step
from app.reshard.receipt import receipt
from tests.stackfiles import edited, put
from topology.load import parse
from topology.steps import refusals

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


def stack_file(deployment: Deployment) -> dict[str, Any]:
    """Prod's settings with a document's own shards."""
    shards = [
        {"id": shard.id, "home": shard.home, "slots": [f"{run.start}-{run.end}" for run in shard.key_ranges]}
        for shard in deployment.sharding.shards
    ]
    return edited("prod", put("shards", shards))


def pasted(settings: dict[str, Any], printed: str) -> dict[str, Any]:
    """The settings after an operator has done what was printed last."""
    lines = printed.splitlines()
    edit = yaml.safe_load("\n".join(lines[lines.index("hal9:shards:") :]))
    after = copy.deepcopy(settings)
    for shard in edit["hal9:shards"]:
        (own,) = [one for one in after["shards"] if one["id"] == shard["id"]]
        own["slots"] = shard["slots"]
    after["database"].update(edit["hal9:database"])
    return after


def refused(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(one) for one in refusals(parse("prod", before), parse("prod", after), NOW)]


def at_epoch(deployment: Deployment, path: Path, epoch: int) -> list[str]:
    """The option for a document whose map is of this epoch."""
    sharding = msgspec.structs.replace(deployment.sharding, epoch=epoch)
    path.write_bytes(msgspec.structs.replace(deployment, sharding=sharding).encode())
    return ["--document", str(path)]


async def move(document: list[str], source: int, target: int, slots: str) -> None:
    asked = ["--from", str(source), "--to", str(target), "--slots", slots, "--target-free-gib", "1"]
    assert await main(["run", *document, *asked]) == 0


async def test_what_a_finished_move_prints_is_a_step_of_the_stack_file_one_move_after_the_other(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = at_epoch(deployment, tmp_path / "deployment.json", deployment.sharding.epoch)
    settings = stack_file(deployment)
    for source, target, slots in ((1, 2, "300-320,330"), (2, 3, "666"), (2, 1, "300-320")):
        await move(document, source, target, slots)
        assert "hal9:shards" not in capsys.readouterr().out  # the way back is open
        assert await main(["finish", *document]) == 0
        after = pasted(settings, capsys.readouterr().out)
        assert refused(settings, after) == []
        without = copy.deepcopy(after)
        without["database"].pop("moves")
        assert any("no receipt in database.moves" in one for one in refused(settings, without))
        settings = after
        document = at_epoch(deployment, tmp_path / "deployment.json", after["database"]["mapEpoch"])


async def test_a_receipt_that_was_lost_is_in_the_list_of_all_moves(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = at_epoch(deployment, tmp_path / "deployment.json", 1)
    await move(document, 1, 2, "330-333")
    assert await main(["finish", *document]) == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("    - {"))
    assert await main(["status", *document, "--all"]) == 0
    assert f"  receipt: {printed.removeprefix('    - ')}\n" in capsys.readouterr().out


async def test_a_move_that_was_reversed_has_nothing_for_the_stack_file(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = at_epoch(deployment, tmp_path / "deployment.json", 1)
    await move(document, 1, 2, "330-333")
    assert await main(["reverse", *document]) == 0
    out = capsys.readouterr().out
    assert "reversed" in out
    assert "receipt" not in out
    assert "hal9:" not in out


def test_a_receipt_is_written_as_the_stack_file_writes_slots() -> None:
    record = Record(UUID(int=0), 0, 1, [300, 301, 400], Step.FINISHED, 1001, {})
    assert receipt(record) == "{slots: [300-301, 400-400], from: 0, to: 1, epoch: 1001}"

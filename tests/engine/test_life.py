"""What becomes of a stack after its first `up`, step by step in the real engine: two of prod's regions, AWS alone.

A promotion is made behind Pulumi's back, as AWS' console makes it. Each step is what a runbook says: the stack file's
edit, `pulumi refresh` or `pulumi state unprotect` where it names them, and one `up`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from facts.replacements import DATABASE
from tests.engine.conftest import Say
from tests.engine.engine import Done, Engine, copy_of_repository
from tests.engine.standins.cloud import Live
from tests.engine.standins.server import Providers
from tests.engine.test_changes import promote
from tests.stackfiles import put

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200), pytest.mark.xdist_group("engine")]

UP = ("up", "--yes", "--skip-preview")
SECRET = "aws:secretsmanager/secret:Secret"
MOVED = {"slots": ["500-999"], "from": 1, "to": 0, "epoch": 1001}
GENERATIONS = {"eu-central": 2, "eu-central-second": 2, "us-west": 2}
"""Of a shard that was away from home and came back."""
LONG_AGO = "2026-01-01T00:00:00Z"
Settings = dict[str, Any]


@dataclass
class Life:
    """A stack whose every step is played once, in the order of `play`; `done` and `after` are by the step's name."""

    engine: Engine
    say: Say
    done: dict[str, Done] = field(default_factory=dict)
    after: dict[str, dict[str, Live]] = field(default_factory=dict)
    """The databases and secrets in AWS after a step, by their names there."""

    def step(self, name: str, *edits: Callable[[Settings], object], refused: bool = False) -> None:
        """Edits the stack file, then `up`."""
        self.engine.edit(lambda stack_file: changed(stack_file, edits))
        done = self.done[name] = self.engine.run(*UP, check=not refused)
        self.say(f"life  {name:<28} {done}")
        live = self.engine.providers.cloud.resources()
        self.after[name] = {x.physical_name: x for x in live if x.token in (DATABASE, SECRET)}

    def promoted(self, name: str) -> None:
        """Somebody promotes an instance in AWS; the operator refreshes."""
        promote(self.engine, name)
        self.engine.run("refresh", "--yes", "--skip-preview")

    def unprotect(self, *parts: str) -> None:
        """`pulumi state unprotect` for the resources whose logical names are these, or begin with one and a hyphen."""
        for entry in self.engine.state():
            name = entry["urn"].rpartition("::")[2]
            if entry.get("protect") and any(name == part or name.startswith(f"{part}-") for part in parts):
                self.engine.run("state", "unprotect", entry["urn"], "--yes", events=False)

    def databases(self, step: str) -> dict[str, str]:
        """The instances after a step, each with what it follows."""
        return {
            name.removeprefix("hal9-prod-"): str(live.inputs.get("replicateSourceDb") or "")
            for name, live in self.after[step].items()
            if live.token == DATABASE
        }

    def keys(self, step: str) -> set[str]:
        """The session keys of us-west after a step."""
        return {name for name in self.after[step] if "session-key" in name}


def changed(stack_file: dict[str, Any], edits: tuple[Callable[[Settings], object], ...]) -> None:
    settings = {key.removeprefix("hal9:"): value for key, value in stack_file["config"].items()}
    for one in edits:
        one(settings)
    named = (key if key.startswith("pulumi:") else f"hal9:{key}" for key in settings)
    stack_file["config"] = dict(zip(named, settings.values(), strict=True))


def two_regions(settings: Settings) -> None:
    """Prod without ap-south and without anything in the clusters."""
    settings["regions"].pop("ap-south")
    for table in (settings["monitoring"]["distanceSeconds"], settings["lab"]["roundTripMs"]):
        for pair in [pair for pair in table if "ap-south" in pair]:
            del table[pair]
    settings["shards"] = [
        {"id": 0, "home": "us-west", "slots": ["0-499"]},
        {"id": 1, "home": "eu-central", "slots": ["500-999"]},
    ]
    settings["server"]["deployed"] = False


def keyring(*keys: dict[str, str]) -> Callable[[Settings], object]:
    return put("sessions.keyring", list(keys))


def play(life: Life) -> None:
    """The steps."""
    life.step("first", two_regions)
    life.step("resized", put("database.instanceClass", "db.r6g.4xlarge"), put("database.storageGib", 400))
    life.step("a zone more", put("regions.us-west.zones", ["us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d"]))

    life.step("a key comes", keyring({"id": "k1", "state": "active"}, {"id": "k2", "state": "decrypt"}))
    old = {"id": "k1", "state": "decrypt", "since": LONG_AGO}
    life.step("keys change", keyring(old, {"id": "k2", "state": "active"}))
    life.step("a key is lost", keyring({"id": "k2", "state": "active"}), refused=True)
    life.step("a key retires", keyring({"id": "k1", "state": "retired"}, {"id": "k2", "state": "active"}))
    life.step("a key leaves", keyring({"id": "k2", "state": "active"}))

    life.promoted("hal9-prod-shard-1-us-west")
    life.unprotect("shard-1-eu-central")
    stay = put("shards[1].primary", "us-west"), put("shards[1].generations", {"eu-central": 2})
    life.step("stay", *stay, put("database.mapEpoch", 2))
    life.step("stay, again")
    life.promoted("hal9-prod-shard-1-eu-central-g2")
    life.unprotect("shard-1-us-west")
    home = put("shards[1].primary", ...), put("shards[1].generations", GENERATIONS)
    life.step("home", *home, put("database.mapEpoch", 3))

    life.step(
        "a shard is lost", lambda settings: settings["shards"].pop(), put("shards[0].slots", ["0-999"]), refused=True
    )
    back = put("shards[+]", {"id": 1, "home": "eu-central", "slots": [], "generations": GENERATIONS})
    life.step("slots move", back, put("database.moves", [MOVED]), put("database.mapEpoch", 1001))
    life.unprotect("shard-1", "owner-1", "admin-1")
    life.step("a shard leaves", lambda settings: settings["shards"].pop())

    everybody = put("regions.us-west.countries", []), put("regions.eu-central.countries", [])
    life.unprotect("shard-0-eu-central", "us-west-sessions", "eu-central-sessions")
    life.step("a region is leaving", *everybody, put("regions.eu-central.leaving", True))
    life.engine.run("state", "unprotect", "--all", "--yes", events=False)
    life.step("a region leaves", without_eu_central)
    life.step("and again")


def without_eu_central(settings: Settings) -> None:
    settings["regions"].pop("eu-central")
    settings["monitoring"]["distanceSeconds"] = {}
    settings["lab"]["roundTripMs"] = {}


@pytest.fixture(scope="module")
def life(cli: None, say: Say) -> Iterator[Life]:
    """The stack after all its steps."""
    with TemporaryDirectory() as name, Providers(Path(name)) as providers:
        engine = Engine(copy_of_repository(Path(name)), "prod", providers)
        engine.init()
        found = Life(engine, say)
        play(found)
        yield found


def kinds(done: Done) -> set[str]:
    return {kind for kind, _ in done.steps}


def test_a_larger_database_and_a_zone_more_replace_nothing(life: Life) -> None:
    assert kinds(life.done["resized"]) == {"update"}
    assert kinds(life.done["a zone more"]) <= {"create", "update"}
    assert life.databases("a zone more") == life.databases("first")


def test_a_session_key_lives_until_it_has_retired_and_leaves(life: Life) -> None:
    for step in ("a key comes", "keys change", "a key is lost", "a key retires"):
        assert life.keys("first") < life.keys(step), step
    assert "k1 leaves while it is decrypt" in life.done["a key is lost"].output
    assert not life.done["a key is lost"].operations
    assert not life.keys("first") & life.keys("a key leaves")


def test_who_stays_after_a_promotion_makes_the_others_anew_beside_the_old_one(life: Life) -> None:
    after = life.databases("stay")
    assert after["shard-1-us-west"] == ""
    assert "shard-1-us-west" in after["shard-1-eu-central-g2"]
    assert "shard-1-eu-central" in after  # left standing in AWS, to be looked at
    urns = {entry["urn"].rpartition("::")[2] for entry in life.engine.state()}
    assert "shard-1-eu-central" not in urns
    assert set(life.done["stay, again"].changes) == {"same"}


def test_home_again_is_the_same_the_other_way(life: Life) -> None:
    after = life.databases("home")
    assert after["shard-1-eu-central-g2"] == ""
    assert "shard-1-eu-central-g2" in after["shard-1-us-west-g2"]


def test_no_primary_was_ever_made_after_the_first_up(life: Life) -> None:
    known = set(life.databases("first"))
    for step in life.after:
        now = life.databases(step)
        assert [name for name in now.keys() - known if not now[name]] == [], step
        known |= now.keys()
    assert "shard-1-us-west-second" in known


def test_a_shard_leaves_without_slots_alone_and_is_left_standing(life: Life) -> None:
    lost = life.done["a shard is lost"]
    assert lost.status
    assert "shard 1 leaves, while it owns slots 500-999" in lost.output
    assert not lost.operations
    assert "shard-1-eu-central-g2" in life.databases("a shard leaves")


def test_a_region_leaves_with_all_that_was_in_it_and_the_other_one_stays(life: Life) -> None:
    left = [entry["urn"] for entry in life.engine.state() if "eu-central" in entry["urn"]]
    assert left == []
    assert life.databases("a region leaves")["shard-0-us-west"] == ""
    assert set(life.done["and again"].changes) == {"same"}

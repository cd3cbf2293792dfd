"""Which edits of prod's stack file are steps, and why the others are not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stackfiles import edited, put
from topology.catalog import CLUSTER_AUTOSCALERS
from topology.load import parse
from topology.steps import Acceptance, decided, refusals
from topology.topology import Topology

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
Change = Callable[[dict[str, Any]], object]


def built(*changes: Change) -> Topology:
    return parse("prod", edited("prod", *changes))


def refused(after: Change, before: Change = lambda _data: None, now: datetime = NOW) -> list[str]:
    """The paths that an edit is refused at; `after` comes on top of `before`."""
    return [refusal.path for refusal in refusals(built(before), built(before, after), now)]


def together(*changes: Change) -> Change:
    def change(data: dict[str, Any]) -> None:
        for one in changes:
            one(data)

    return change


def keyring(*keys: tuple[str, ...]) -> Change:
    names = ("id", "state", "since")
    return put("sessions.keyring", [dict(zip(names, key, strict=False)) for key in keys])


def without_region(name: str) -> Change:
    return lambda data: data["regions"].pop(name)


SA_EAST = {"awsRegion": "sa-east-1", "cidr": "10.3.0.0/16", "zones": ["sa-east-1a", "sa-east-1b", "sa-east-1c"]}
LEAVING = together(put("regions.sa-east", SA_EAST))
EMPTY_SHARD: Change = lambda data: data["shards"].append({"id": 7, "home": "us-west"})  # noqa: E731
MOVED = together(
    put("shards[0].slots", ["0-299"]),
    put("shards[1].slots", ["300-666"]),
    put("database.mapEpoch", 2),
)
STAYED = together(
    put("shards[1].primary", "us-west"),
    put("shards[1].generations", {"eu-central": 2, "ap-south": 2}),
    put("database.mapEpoch", 2),
)
HOME = {"eu-central": 2, "ap-south": 3, "us-west": 2}


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (
            together(
                put("accountId", "999999999999"),
                put("cluster.adminRoleArns", ["arn:aws:iam::999999999999:role/hal9-deployer"]),
            ),
            ["accountId"],
        ),
        (put("domain", "example.com"), ["domain"]),
        (put("regions.us-west.cidr", "10.9.0.0/16"), ["regions.us-west.cidr"]),
        (
            together(
                put("regions.us-west.awsRegion", "us-east-1"),
                put("regions.us-west.zones", ["us-east-1a", "us-east-1b", "us-east-1c"]),
            ),
            ["regions.us-west.awsRegion"],
        ),
        (put("regions.us-west.zones", ["us-west-2a", "us-west-2b"]), ["regions.us-west.zones"]),
        (put("server.deployed", False), ["server.deployed"]),
        (put("database.engineVersion", "17"), ["database.engineVersion"]),
        (put("database.engineVersion", "15"), ["database.engineVersion"]),
        (put("database.storageGib", 100), ["database.storageGib"]),
        (put("database.maxStorageGib", 500), ["database.maxStorageGib"]),
        (put("redis.engineVersion", "7.0"), ["redis.engineVersion"]),
        (
            together(put("shards[0].home", "eu-central"), put("shards[1].home", "us-west")),
            ["database.mapEpoch", "shards[0].home", "shards[1].home"],
        ),
        (put("shards[0].id", 5), ["shards[0]"]),
        (MOVED, ["shards[1].slots"]),
        (keyring(("k2", "active")), ["sessions.keyring[0]", "sessions.keyring[0].state"]),
        (keyring(("k1", "decrypt"), ("k2", "active")), ["sessions.keyring[1].state"]),
        (put("credentials.database", [2, 1]), ["credentials.database"]),
        (put("credentials.redis", [2]), ["credentials.redis", "credentials.redis"]),
    ],
)
def test_an_edit_that_loses_something_is_refused_where_it_was_written(change: Change, paths: list[str]) -> None:
    assert sorted(refused(change)) == sorted(paths)


@pytest.mark.parametrize(
    "change",
    [
        put("database.instanceClass", "db.r6g.4xlarge"),
        put("database.storageGib", 300),
        put("database.engineVersion", "16.9"),
        put("redis.cache.shards", 4),
        put("autoscaling.maxReplicas", 90),
        put("owner", "somebody"),
        LEAVING,
        EMPTY_SHARD,
        keyring(("k1", "active"), ("k2", "decrypt")),
        put("credentials.origin", [1, 2]),
    ],
)
def test_what_only_adds_or_resizes_is_a_step(change: Change) -> None:
    assert refused(change) == []


def test_a_password_is_rotated_in_steps_that_refuse_nobody() -> None:
    path = ([1], [1, 2], [2, 1], [2], [2, 3])
    for before, after in itertools.pairwise(path):
        change = put("credentials.database", after)
        assert refused(change, before=put("credentials.database", before)) == []
    back = refused(put("credentials.database", [2, 1]), before=put("credentials.database", [2]))
    assert back == ["credentials.database"]  # whoever learned 1 would be let in again


def test_slots_move_with_the_receipt_of_a_finished_move_and_a_higher_epoch() -> None:
    receipt = {"slots": ["300-333"], "from": 0, "to": 1, "epoch": 2}
    assert refused(together(MOVED, put("database.moves", [receipt]))) == []
    assert refused(together(MOVED, put("database.moves", [{**receipt, "slots": ["300-320"]}]))) == ["shards[1].slots"]
    assert refused(together(MOVED, put("database.moves", [{**receipt, "from": 2}]))) == ["shards[1].slots"]


def test_a_receipt_is_good_for_one_move() -> None:
    receipt = {"slots": ["300-333"], "from": 0, "to": 1, "epoch": 2}
    back = together(put("shards[0].slots", ["0-333"]), put("shards[1].slots", ["334-666"]), put("database.mapEpoch", 3))
    moved = together(MOVED, put("database.moves", [receipt]))
    assert refused(back, before=moved) == ["shards[0].slots"]
    again = together(back, MOVED, put("database.mapEpoch", 4))
    assert refused(again, before=together(moved, back)) == ["shards[1].slots"]


def test_a_shard_leaves_only_without_slots() -> None:
    assert refused(lambda data: data["shards"].pop(), before=EMPTY_SHARD) == []
    last = together(lambda data: data["shards"].pop(), put("shards[1].slots", ["334-999"]))
    assert refused(last) == ["shards[2]"]


def test_a_region_leaves_in_two_steps() -> None:
    assert refused(without_region("sa-east"), before=LEAVING) == ["regions.sa-east"]
    marked = put("regions.sa-east.leaving", True)
    assert refused(marked, before=LEAVING) == []
    assert refused(without_region("sa-east"), before=together(LEAVING, marked)) == []


def test_a_region_with_a_shard_or_users_cannot_be_marked_as_leaving() -> None:
    with pytest.raises(Exception, match=r"hal9:regions.ap-south.countries[^\n]*17 countries[^!]*hal9:shards\[2\].home"):
        built(put("regions.ap-south.leaving", True))


def test_staying_after_a_promotion_is_a_step_when_every_other_instance_is_made_anew() -> None:
    assert refused(STAYED) == []
    unnamed = together(put("shards[1].primary", "us-west"), put("database.mapEpoch", 2))
    assert refused(unnamed) == ["shards[1].generations"]


def test_home_again_is_a_step_of_the_same_kind_and_a_primary_is_never_made_empty() -> None:
    again = together(
        put("shards[1].primary", None),
        put("shards[1].generations", {**HOME, "eu-central-second": 2}),
        put("database.mapEpoch", 3),
    )
    assert refused(again, before=STAYED) == []
    empty = together(again, put("shards[1].generations", {**HOME, "eu-central-second": 2, "eu-central": 3}))
    assert "shards[1].primary" in refused(empty, before=STAYED)


def test_home_again_the_second_instance_needs_a_name_that_none_was_left_standing_under() -> None:
    """The first shard-1-eu-central-second left the stack with the promotion, and stands in AWS until it is deleted."""
    again = together(put("shards[1].primary", None), put("shards[1].generations", HOME), put("database.mapEpoch", 3))
    (refusal,) = refusals(built(STAYED), built(STAYED, again), NOW)
    assert "shard-1-eu-central-second stood there before" in refusal.what
    assert refusal.way == "Write generations: {eu-central-second: 2}"
    unprotected = together(STAYED, put("protect", False))
    assert refused(again, before=unprotected) == []


def test_a_home_follows_its_primary() -> None:
    settled = together(put("shards[1].home", "us-west"))
    assert refused(settled, before=STAYED) == []


def test_a_copy_is_made_anew_by_its_generation_and_a_primary_is_not() -> None:
    assert refused(put("shards[1].generations", {"us-west": 2})) == []
    assert refused(put("shards[1].generations", {"eu-central": 2})) == ["shards[1].generations.eu-central"]
    before = put("shards[1].generations", {"us-west": 3})
    assert refused(put("shards[1].generations", {"us-west": 2}), before=before) == ["shards[1].generations.us-west"]


def test_a_key_is_retired_a_sessions_lifetime_after_it_became_decrypt() -> None:
    since = NOW - timedelta(seconds=3600)
    before = keyring(("k1", "decrypt", since.isoformat()), ("k2", "active"))
    retire = keyring(("k1", "retired"), ("k2", "active"))
    assert refused(retire, before=before) == []
    assert refused(retire, before=before, now=NOW - timedelta(seconds=1)) == ["sessions.keyring[0].state"]
    unsaid = keyring(("k1", "decrypt"), ("k2", "active"))
    assert refused(retire, before=unsaid) == ["sessions.keyring[0].since"]
    assert refused(keyring(("k2", "active")), before=retire) == []
    assert refused(keyring(("k2", "active")), before=before) == ["sessions.keyring[0]"]


def test_kubernetes_goes_one_minor_at_a_time() -> None:
    at = {minor: together(put("cluster.version", minor), autoscaler(minor)) for minor in ("1.34", "1.35", "1.36")}
    assert refused(at["1.34"], before=at["1.35"]) == ["cluster.version"]
    assert refused(at["1.36"], before=at["1.34"]) == ["cluster.version"]
    assert refused(at["1.35"], before=at["1.34"]) == []


def autoscaler(minor: str) -> Change:
    """The chart that goes with a version of the clusters."""
    chart = next((one for one, app in CLUSTER_AUTOSCALERS.items() if app == minor), None)
    if chart is None:
        return together(put("charts.clusterAutoscaler", "99.0.0"), put("charts.clusterAutoscalerApp", f"{minor}.0"))
    return put("charts.clusterAutoscaler", chart)


def test_a_refusal_is_let_through_by_stack_path_and_reason() -> None:
    wanted = built(put("domain", "example.com"), put("database.storageGib", 100))
    accepted = [Acceptance.of("prod/domain: the brand has a new name")]
    decision = decided(built(), wanted, NOW, accepted)
    assert [one.path for one in decision.refused] == ["database.storageGib"]
    assert [(one.path, reason) for one, reason in decision.accepted] == [("domain", "the brand has a new name")]
    of_another = [Acceptance.of("dev/domain: the brand has a new name")]
    assert len(decided(built(), wanted, NOW, of_another).refused) == 2
    assert decided(built(), wanted, NOW, of_another).unused == tuple(of_another)


def test_the_stack_file_itself_lets_a_refusal_through_in_the_step_in_which_it_says_so() -> None:
    said = put("accepted", [{"stack": "prod", "path": "domain", "reason": "the brand has a new name"}])
    named = built(put("domain", "example.com"), said)
    assert [one.path for one, _ in decided(built(), named, NOW).accepted] == ["domain"]
    again = built(put("domain", "example.org"), said)
    assert [one.path for one in decided(named, again, NOW).refused] == ["domain"]


@pytest.mark.parametrize("text", ["", "domain: why", "prod/domain", "prod/domain:  ", "/domain: why"])
def test_an_acceptance_without_stack_path_or_reason_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="STACK/PATH: REASON"):
        Acceptance.of(text)

"""Both stacks in the real Pulumi engine, from the first preview to the last delete.

Each test asks a `Story` for the step that it judges; the story plays the steps before it first, once for each
stack, and writes one line for each on the terminal: the engine's count and the providers' own.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from tests.engine import order
from tests.engine.conftest import Say
from tests.engine.engine import Done, Engine, copy_of_repository
from tests.engine.standins.cloud import Live
from tests.engine.standins.server import Providers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("engine")]

Played = TypeVar("Played")
DESTROY = ("destroy", "--yes", "--skip-preview")
UP = ("up", "--yes", "--skip-preview")
STACKS = ("dev", "prod")
LISTS = {
    "hal9:document:DeploymentDocument",
    "hal9:gateway:Gateway",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:helm.sh/v3:Release",
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule",
    "kubernetes:networking.istio.io/v1:DestinationRule",
    "kubernetes:networking.istio.io/v1:VirtualService",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass",
}
"""Objects in the clusters that list regions or shards, and so change in place when there is one more: their pods roll.
Nothing of AWS may change, and nothing may be replaced or deleted (docs/decisions/0001-growth.md)."""
SECRET_OUTPUTS = {
    "random:index/randomPassword:RandomPassword": ("result",),
    "random:index/randomBytes:RandomBytes": ("base64", "hex"),
    "tls:index/privateKey:PrivateKey": ("privateKeyPem",),
}


def add_region(stack_file: dict[str, Any]) -> None:
    """Adds one region more than there are, with the next address block. RDS replicates backups from dev's to it."""
    regions = stack_file["config"]["hal9:regions"]
    last = max(ipaddress.IPv4Network(region["cidr"]) for region in regions.values())
    following = ipaddress.IPv4Network((int(last.network_address) + last.num_addresses, last.prefixlen))
    regions["eu-west"] = {
        "awsRegion": "eu-west-1",
        "cidr": str(following),
        "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
        "timezone": "Europe/Dublin",
    }
    if stack_file["config"]["hal9:redis"]["sessions"]["nodeType"].startswith("cache.t"):
        for region in regions.values():  # a Global Datastore takes no burstable node
            region["sessionReplicas"] = []


def add_shard(stack_file: dict[str, Any]) -> None:
    """Adds a shard without slots: its tables come before its first row (docs/runbooks/move-slots.md)."""
    shards = stack_file["config"]["hal9:shards"]
    shards.append({"id": len(shards), "home": shards[0]["home"]})


def move_slots(stack_file: dict[str, Any]) -> None:
    """Gives the last shard the upper half of the slots of the one before it, without a word of how they got there."""
    *_, source, target = stack_file["config"]["hal9:shards"]
    start, end = map(int, source["slots"][0].split("-"))
    middle = (start + end) // 2
    source["slots"], target["slots"] = [f"{start}-{middle}"], [f"{middle + 1}-{end}"]


def give_receipt(stack_file: dict[str, Any]) -> None:
    """The receipt of that move, and the epoch that it made."""
    *_, source, target = stack_file["config"]["hal9:shards"]
    move = {"slots": target["slots"], "from": source["id"], "to": target["id"], "epoch": 2}
    stack_file["config"]["hal9:database"].update({"mapEpoch": 2, "moves": [move]})


def bare(stack_file: dict[str, Any]) -> None:
    """Takes protection off, and says why."""
    accepted = [{"stack": "prod", "path": "protect", "reason": "prod is to be destroyed"}]
    stack_file["config"].update({"hal9:protect": False, "hal9:accepted": accepted})


@dataclass(frozen=True)
class Whole:
    """A stack with all that it ever had: its state, what the clouds hold, and the secrets that were made."""

    state: list[dict[str, Any]]
    resources: list[Live]
    secrets: list[str] = field(repr=False)


def step(play: Callable[[Story], Played]) -> Callable[[Story], Played]:
    """A step of a story: played once; asked for again it gives what it gave, and what failed fails again at once."""

    @functools.wraps(play)
    def once(story: Story) -> Played:
        if play.__name__ not in story.played:
            try:
                story.played[play.__name__] = play(story)
            except Exception as error:
                story.played[play.__name__] = error
        outcome = story.played[play.__name__]
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Played", outcome)

    return once


class Story:
    """One stack's life. Every step is played once, after those before it."""

    def __init__(self, stack: str, providers: Providers, directory: Path, say: Say) -> None:
        self.stack, self._say = stack, say
        self.played: dict[str, object] = {}
        self.engine = Engine(copy_of_repository(directory), stack, providers)
        self.engine.init()

    def _told(self, step: str, done: Done) -> Done:
        self._say(f"{self.stack:<5} {step:<28} {done}")
        return done

    @step
    def preview(self) -> Done:
        return self._told("preview", self.engine.run("preview"))

    @step
    def up(self) -> Done:
        self.preview()
        return self._told("up", self.engine.run(*UP))

    @step
    def again(self) -> Done:
        self.up()
        return self._told("up again", self.engine.run(*UP))

    @step
    def region_added(self) -> Done:
        self.again()
        self.engine.edit(add_region)
        return self._told("up with one more region", self.engine.run(*UP))

    @step
    def shard_added(self) -> Done:
        self.region_added()
        self.engine.edit(add_shard)
        return self._told("up with one more shard", self.engine.run(*UP))

    @step
    def slots_taken(self) -> Done:
        self.shard_added()
        self.engine.edit(move_slots)
        return self._told("up with slots not moved", self.engine.run(*UP, check=False))

    @step
    def slots_moved(self) -> Done:
        self.slots_taken()
        self.engine.edit(give_receipt)
        return self._told("up with slots moved", self.engine.run(*UP))

    @step
    def whole(self) -> Whole:
        """What there is when the stack is largest."""
        self.slots_moved()
        resources = self.engine.providers.cloud.resources()
        made = [live.outputs[name] for live in resources for name in SECRET_OUTPUTS.get(live.token, ())]
        # The engine neither counts nor names the default providers (of random and tls) that it adds by itself.
        state = [
            entry
            for entry in self.engine.state()
            if "::pulumi:providers:" not in entry["urn"] or "::default" not in entry["urn"]
        ]
        return Whole(state, resources, made)

    @step
    def refused_destroy(self) -> Done:
        self.whole()
        # With its preview, as an operator runs it: `--skip-preview` deletes what is not protected before it refuses.
        return self._told("destroy, still protected", self.engine.run("destroy", "--yes", check=False))

    @step
    def destroy(self) -> Done:
        self.whole()
        if self.stack == "prod":
            self.refused_destroy()
            # README's way: an `up` without protection takes off AWS's own, and what was to be left standing may go
            self.engine.run("state", "unprotect", "--all", "--yes", events=False)
            self.engine.edit(bare)
            self._told("up without protection", self.engine.run(*UP))
        return self._told("destroy", self.engine.run(*DESTROY))


@pytest.fixture(scope="module", params=STACKS)
def story(request: pytest.FixtureRequest, cli: None, say: Say) -> Iterator[Story]:
    """The stack's story so far."""
    with tempfile.TemporaryDirectory() as name, Providers(Path(name)) as providers:
        yield Story(request.param, providers, Path(name), say)


def test_the_preview_only_creates(story: Story) -> None:
    assert story.preview().changes.keys() == {"create"}
    assert not story.preview().operations


def test_up_creates_what_the_preview_said(story: Story) -> None:
    assert story.up().changes == story.preview().changes
    assert sorted(story.up().steps) == sorted(story.preview().steps)


def test_up_again_leaves_every_resource_the_same(story: Story) -> None:
    assert story.again().changes == {"same": story.up().changes["create"]}
    assert not story.again().operations


def changed_in_place(done: Done) -> set[str]:
    """Types of what a step changed rather than created. Whatever it did but create and update in place fails."""
    others = [(kind, urn) for kind, urn in done.steps if kind != "create"]
    assert [step for step in others if step[0] != "update"] == []
    assert {operation.kind for operation in done.operations} <= {"create", "update"}
    return {urn.split("::")[2].rpartition("$")[2] for _, urn in others}


def test_one_more_region_only_creates_but_for_the_clusters_lists_of_regions(story: Story) -> None:
    assert changed_in_place(story.region_added()) <= LISTS
    assert (
        story.region_added().changes["same"] + story.region_added().changes["update"] == (story.up().changes["create"])
    )


def test_one_more_shard_only_creates_but_for_the_clusters_lists_of_shards(story: Story) -> None:
    assert changed_in_place(story.shard_added()) <= LISTS
    assert story.shard_added().changes["same"] + story.shard_added().changes["update"] == (
        sum(story.region_added().changes.values())
    )


def test_slots_that_nobody_moved_are_refused_before_anything_changes(story: Story) -> None:
    taken = story.slots_taken()
    assert taken.status
    assert "no receipt in database.moves" in taken.output
    assert "Traceback" not in taken.output
    assert not taken.operations


def test_slots_moved_with_a_receipt_change_the_clusters_lists_of_shards_alone(story: Story) -> None:
    assert {kind for kind, _ in story.slots_moved().steps} == {"update"}
    assert changed_in_place(story.slots_moved()) <= LISTS


def test_nothing_is_created_before_what_it_names(story: Story) -> None:
    needs = order.references(story.whole().resources)
    for step in (story.up(), story.region_added(), story.shard_added()):
        assert order.created_too_early(step.operations, needs) == []


def test_no_secret_is_in_clear_in_the_state_or_in_what_was_said(story: Story) -> None:
    secrets = story.whole().secrets
    assert secrets
    written = [path for path in story.engine.project.parent.rglob("*") if path.is_file() and path.suffix != ".py"]
    texts = {path.name: path.read_text(errors="replace") for path in written}
    assert [name for name, text in texts.items() for secret in secrets if _escaped(secret) in text] == []


def _escaped(secret: str) -> str:
    """As JSON writes it, and a terminal prints a line of it."""
    return max(json.dumps(secret)[1:-1].split("\\n"), key=len)


@pytest.mark.parametrize("story", ["prod"], indirect=True)  # the other is not protected
def test_destroy_is_refused_while_prod_is_protected(story: Story) -> None:
    assert story.refused_destroy().status
    assert "protected" in story.refused_destroy().output
    assert not [operation for operation in story.refused_destroy().operations if operation.kind == "delete"]


def test_destroy_deletes_nothing_before_what_depends_on_it(story: Story) -> None:
    deletes = [operation for operation in story.destroy().operations if operation.kind == "delete"]
    assert {operation.urn for operation in deletes} == {live.urn for live in story.whole().resources}
    needs = order.dependencies(story.whole().state)
    assert order.deleted_too_early(deletes, needs) == []
    assert order.deleted_too_early(deletes, order.references(story.whole().resources)) == []


def test_destroy_leaves_nothing(story: Story) -> None:
    assert story.destroy().changes == {"delete": len(story.whole().state)}
    assert not story.engine.providers.cloud.resources()
    assert not story.engine.state()

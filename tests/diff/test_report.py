"""A verdict as people and programs read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from diff.report import LINES, markdown, text, to_json
from diff.verdict import Verdict, verdict
from plan.record import Plan, Resource
from tests.stackfiles import Edit, put, topology
from topology.steps import Acceptance

NOW = datetime(2030, 1, 31, tzinfo=UTC)
DATABASE = "aws:rds/instance:Instance"


def resource(name: str, kind: str = DATABASE, *, protect: bool = False, **given: object) -> Resource:
    return Resource(urn=name, type=kind, name=name, parent="", custom=True, inputs=given, protect=protect)


def told(before: list[Resource], after: list[Resource], *edits: Edit, accept: tuple[str, ...] = ()) -> Verdict:
    plans = [Plan("hal9", "prod", tuple(some), {}) for some in (before, after)]
    return verdict(
        "main",
        (topology("prod"), plans[0]),
        (topology("prod", *edits), plans[1]),
        [Acceptance.of(one) for one in accept],
        NOW,
    )


def test_lost_rows_and_refused_edits_come_first_and_what_is_new_last() -> None:
    said = text(
        told(
            [resource("primary", protect=True)],
            [resource("topic", "aws:sns/topic:Topic")],
            put("domain", "example.com"),
        )
    )
    places = [
        said.index(word)
        for word in ("Refused", "Data lost", "the rows of its shard", "Protected", "Deleted", "Created")
    ]
    assert places == sorted(places)
    assert said.endswith("Not allowed: 1 edit is no step that keeps everybody's data.")


def test_an_accepted_edit_is_told_with_its_reason_and_is_allowed() -> None:
    change = told([], [], put("domain", "example.com"), accept=("prod/domain: HAL-88",))
    assert "Accepted: HAL-88" in text(change)
    assert json.loads(to_json(change))["allowed"]
    assert "nothing is refused there" in text(told([], [], accept=("prod/domain: HAL-88",)))


def test_users_that_move_are_told() -> None:
    away = told([], [], put("regions.ap-south.countries", []))
    assert "go from ap-south to us-west" in text(away)


def test_markdown_has_sixty_lines_at_most_and_counts_what_it_leaves_out() -> None:
    many = [resource(f"r{n}", DATABASE) for n in range(200)]
    kept = [resource(f"s{n}", "aws:sns/topic:Topic") for n in range(200)]
    said = markdown(told(many, kept, put("domain", "example.com")))
    assert len(said.splitlines()) <= LINES
    assert "more" in said
    assert "Refused" in said

"""An idle month of the shipped stacks, from the table's own prices; what has none is told and never nought."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cost.__main__ import BUDGETS, main, table
from cost.estimate import Bill, bill
from cost.prices import HOURS, prices
from plan.program import REPOSITORY
from plan.record import Resource
from tests.conftest import PlanOf

TODAY = date(2026, 11, 28)
RDS = "aws:rds/instance:Instance"


def instance(**inputs: Any) -> Resource:
    return Resource("urn:db", RDS, "db", "", True, region="us-west-2", inputs=inputs)


def test_an_instance_costs_its_hours_and_its_disk() -> None:
    found = bill([instance(instanceClass="db.r6g.2xlarge", multiAz=True, allocatedStorage=200)])
    assert found.total == pytest.approx(1.798 * HOURS + 0.23 * 200)
    assert not found.unpriced


def test_a_standby_is_half_of_an_instance() -> None:
    both, one = (
        bill([instance(instanceClass="db.r6g.2xlarge", multiAz=zones, allocatedStorage=200)]).total
        for zones in (True, False)
    )
    assert one == pytest.approx(both / 2)


def test_what_has_no_price_is_told_and_is_not_nought() -> None:
    found = bill([instance(instanceClass="db.x9z.large", multiAz=False, allocatedStorage=20)])
    assert found.unpriced == {"RDS db.x9z.large postgres single-az in us-west-2": 1}
    text = table("dev", found, None, TODAY)
    assert "no price is known, and none is counted:\n- 1 x RDS db.x9z.large postgres single-az in us-west-2" in text


@pytest.mark.parametrize(
    ("stack", "service", "usd"),
    [
        ("prod", "RDS", 5902),
        ("prod", "ElastiCache", 3076),
        ("prod", "EKS", 219),
        ("prod", "VPC", 1244),
        ("dev", "RDS", 100),
    ],
)
def test_a_shipped_stack_costs_what_was_counted_by_hand(stack: str, service: str, usd: int, plan_of: PlanOf) -> None:
    found = bill(plan_of(stack).resources)
    assert sum(cost for (name, _), cost in found.usd.items() if name == service) == pytest.approx(usd, abs=1)


def test_a_secondary_of_a_global_datastore_has_its_primarys_nodes(plan_of: PlanOf) -> None:
    plan = plan_of("prod")
    secondary = next(r for r in plan.resources if r.name == "eu-central-sessions-in-us-west")
    alone = bill([r for r in plan.resources if r is not secondary])
    assert bill(plan.resources).total - alone.total == pytest.approx(2 * 0.149 * HOURS)


def edited(path: tuple[str, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        holder = data["config"]
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value

    return edit


def test_a_base_tells_what_an_edit_saves(plan_of: PlanOf) -> None:
    now = bill(plan_of("prod").resources)
    three = bill(plan_of("prod", edited(("hal9:redis", "cache", "shards"), 3)).resources)
    assert three.total - now.total == pytest.approx(1939, abs=5)  # twelve nodes, and the alarms of each
    assert f"{now.total - three.total:+,.0f} USD against the base's {three.total:,.0f}" in table(
        "prod", now, three, TODAY
    )


def test_the_bill_says_how_sure_it_is_and_which_prices_are_old(plan_of: PlanOf) -> None:
    text = table("prod", bill(plan_of("prod").resources), None, TODAY)
    assert "rests on prices of high confidence" in text
    assert "- RDS db.r6g.xlarge postgres multi-az (2021-03-30)" in text
    assert "not in it, as use decides:" in text


def test_an_empty_plan_costs_nothing() -> None:
    assert "none, idle: 0 USD" in table("none", Bill(), None, TODAY)


def test_every_price_has_a_source_and_says_how_sure_it_is() -> None:
    assert len(prices()) > 300
    assert all(row.source or row.confidence == "low" for row in prices().values())
    assert {row.confidence for row in prices().values()} == {"high", "medium", "low"}


@pytest.mark.parametrize(("stack", "budget", "status"), [("dev", 650, 0), ("dev", 100, 1), ("staging", 100, 0)])
def test_a_bill_over_its_budget_ends_with_1(
    stack: str,
    budget: int,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(f"{stack if stack == 'dev' else 'prod'} = {budget}\n")
    monkeypatch.setattr("cost.__main__.BUDGETS", path)
    config = ["--config", str(REPOSITORY / "Pulumi.dev.yaml")]
    assert main(["--stack", stack, *config]) == status
    told = capsys.readouterr().err
    assert ("is over its budget" in told) == bool(status)
    assert ("staging has no budget" in told) == (stack == "staging")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_shipped_stack_keeps_its_budget(stack: str, plan_of: PlanOf) -> None:
    budget = tomllib.loads(BUDGETS.read_text("utf-8"))[stack]
    assert budget * 0.85 < bill(plan_of(stack).resources).total <= budget  # a budget far above the bill holds nothing

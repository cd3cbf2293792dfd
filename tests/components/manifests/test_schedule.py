"""The scheduled floor, over whole weeks of UTC, by Prometheus itself."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from components.manifests import schedule
from tests.components import promtool
from tests.stackfiles import edited, put
from topology.load import parse
from topology.settings import ScalePolicy, ScaleRules, ScheduleWindow
from topology.topology import Topology

ZONES = ("America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Australia/Sydney", "Etc/UTC")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _topology(zone: str, *windows: dict[str, object]) -> Topology:
    return parse(
        "prod", edited("prod", put("regions.us-west.timezone", zone), put("regions.us-west.schedule", list(windows)))
    )


def _groups(topology: Topology) -> list[dict[str, object]]:
    return [{"name": "schedule", "interval": "15m", "rules": schedule.rules(topology.regions["us-west"], topology)}]


def _since_epoch(moment: datetime) -> str:
    return f"{int(moment.timestamp())}s"


def _floor(topology: Topology, moment: datetime) -> float:
    """What the floor must be, told in another way: the local clock of Python's own time zones, minute by minute."""
    region = topology.regions["us-west"]
    local = moment.astimezone(ZoneInfo(region.timezone)).replace(tzinfo=None)
    for window in region.schedule:
        for back in (0, 1):
            day = local.date() - timedelta(days=back)
            if DAYS[day.weekday()] in window.days:
                start, end = (datetime.combine(day, time.fromisoformat(text)) for text in (window.start, window.end))
                # 20 pods in 60 s up is one step at once; down waits 300 s, then 10 pods in 300 s is one step too.
                if start <= local < end + timedelta(seconds=300):
                    return window.min_replicas
    return topology.autoscaling.min_replicas


WINDOW = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "07:00", "end": "19:00", "minReplicas": 20}


@pytest.mark.rules
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata"])
def test_the_recording_rules_hold_at_each_edge_of_a_week(tmp_path: Path, zone: str) -> None:
    topology = _topology(zone, WINDOW)
    monday = datetime(1970, 1, 5, tzinfo=UTC)  # promtool's time begins at the epoch, and so do the rules' evaluations
    moments = [monday + timedelta(hours=hour) for hour in range(0, 7 * 24, 6)]
    moments += _edges(topology, monday, minutes=15)
    expected = {_since_epoch(moment): _floor(topology, moment) for moment in moments}
    assert set(expected.values()) == {10, 20}
    assert promtool.values(_groups(topology), tmp_path, {schedule.FLOOR: expected}) == ""


def _edges(topology: Topology, begin: datetime, minutes: int = 5) -> list[datetime]:
    """In the week from `begin` each step of so many minutes at which the floor changes, and the one before."""
    steps = [begin + timedelta(minutes=minute) for minute in range(0, 7 * 24 * 60, minutes)]
    floors = [_floor(topology, step) for step in steps]
    return [
        moment
        for index in range(1, len(steps))
        if floors[index] != floors[index - 1]
        for moment in (steps[index - 1], steps[index])
    ]


def _inline(topology: Topology) -> str:
    """The floor as one expression, every recorded name replaced by its rule: so it can be asked of any year."""
    texts: dict[str, str] = {}
    windows: list[str] = []
    for rule in schedule.rules(topology.regions["us-west"], topology):
        expr = str(rule["expr"])
        for name, text in texts.items():
            expr = expr.replace(name, f"({text})")
        if rule["record"] == schedule.WINDOW:
            windows.append(f'label_replace({expr}, "window", "{len(windows)}", "", "")')
        elif rule["record"] == schedule.FLOOR:
            return expr.replace(schedule.WINDOW, f"({' or '.join(windows)})")
        else:
            texts[str(rule["record"])] = expr
    raise AssertionError("no rule records the floor")


WEEKS = [
    ("America/Los_Angeles", datetime(2026, 3, 5, tzinfo=UTC)),
    ("America/Los_Angeles", datetime(2026, 10, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 26, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 10, 28, tzinfo=UTC)),
    ("Europe/Dublin", datetime(2026, 3, 26, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 4, 2, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 10, 1, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 3, 26, tzinfo=UTC)),
]


@pytest.mark.rules
@pytest.mark.parametrize(("zone", "begin"), WEEKS)
def test_the_floor_follows_the_local_clock_through_a_change_of_daylight_saving_time(
    tmp_path: Path, zone: str, begin: datetime
) -> None:
    # The days of the change and after it; the windows of other days differ by a number alone.
    topology = _topology(zone, {**WINDOW, "days": ["sat", "sun", "mon"]})
    moments = _edges(topology, begin)
    moments += [begin + timedelta(hours=hour, minutes=17) for hour in range(0, 7 * 24, 12)]
    expected = {_since_epoch(moment): _floor(topology, moment) for moment in moments}
    assert set(expected.values()) == {10, 20}
    assert promtool.values([], tmp_path, {_inline(topology): expected}) == ""


@pytest.mark.rules
@pytest.mark.parametrize("zone", ZONES)
def test_daylight_saving_time_is_known_on_every_day_of_a_year_and_around_its_changes(tmp_path: Path, zone: str) -> None:
    def offset(moment: datetime) -> float:
        return moment.astimezone(ZoneInfo(zone)).utcoffset().total_seconds()  # type: ignore[union-attr]

    rule = schedule.zone(zone)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(365 * 24)]
    asked = hours[::53] + [
        moment
        for before, after in itertools.pairwise(hours)
        if offset(before) != offset(after)
        for moment in (after - timedelta(minutes=1), after)
    ]
    shift = rule.daylight - rule.standard
    expected = {_since_epoch(moment): (offset(moment) - rule.standard) / (shift or 1) for moment in asked}
    assert promtool.values([], tmp_path, {schedule.daylight_saving(rule): expected}) == ""


def test_the_steps_up_and_down_are_the_time_of_day_behaviour_of_the_stack_file() -> None:
    scaling = _topology("Etc/UTC", WINDOW).autoscaling
    assert schedule.steps(10, 60, scaling.scheduled_scale_up) == [(0, 20), (60, 20), (120, 10)]
    assert schedule.steps(60, 35, scaling.scheduled_scale_down) == [(300, -10), (600, -10), (900, -5)]


def test_the_larger_or_the_smaller_policy_is_taken_as_the_stack_file_says() -> None:
    policies = (ScalePolicy(type="Percent", value=50), ScalePolicy(type="Pods", value=4))
    most = ScaleRules(stabilization_window_seconds=0, policies=policies, select_policy="Max")
    least = ScaleRules(stabilization_window_seconds=0, policies=policies, select_policy="Min")
    assert [step for _, step in schedule.steps(10, 20, most)] == [5, 5]
    assert [step for _, step in schedule.steps(10, 20, least)] == [4, 4, 2]


@pytest.mark.rules
def test_a_large_window_is_reached_and_left_in_steps(tmp_path: Path) -> None:
    topology = _topology("Etc/UTC", {**WINDOW, "days": ["mon"], "minReplicas": 60})
    monday = datetime(2026, 6, 1, tzinfo=UTC)
    at = {
        "06:59": 10,
        "07:00": 30,
        "07:01": 50,
        "07:02": 60,
        "18:59": 60,
        "19:04": 60,
        "19:05": 50,
        "19:10": 40,
        "19:30": 10,
    }
    expected = {
        _since_epoch(monday + timedelta(hours=int(text[:2]), minutes=int(text[3:]))): pods for text, pods in at.items()
    }
    assert promtool.values([], tmp_path, {_inline(topology): expected}) == ""


@pytest.mark.rules
def test_without_a_window_the_floor_is_the_minimum(tmp_path: Path) -> None:
    topology = _topology("Etc/UTC")
    assert promtool.values(_groups(topology), tmp_path, {schedule.FLOOR: {"15m": 10}}) == ""


def test_a_windows_type_is_the_settings_own() -> None:
    assert _topology("Etc/UTC", WINDOW).regions["us-west"].schedule[0] == ScheduleWindow(
        days=("mon", "tue", "wed", "thu", "fri"), start="07:00", end="19:00", min_replicas=20
    )

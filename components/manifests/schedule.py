"""The scheduled floor: how many pods a region's windows ask for now, as recording rules that know the local time.

A window is written in the region's local time; Prometheus knows UTC alone. The time zone's own rule for daylight saving
time (the POSIX form in its tz database file, such as `PST8PDT,M3.2.0,M11.1.0`: from the second Sunday of March to the
first of November) becomes one expression, so nothing has to be rendered again when the clocks change, this year or any
other. Were the rule itself to change, by law, the tz database changes and the next `up` carries it.

The steps of the floor are the time-of-day behaviour of the stack file: up at once and by at most so many pods a period,
down after the stabilisation window and by at most so many pods a period.
"""

from __future__ import annotations

import calendar
import math
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH

from topology.settings import Region, ScaleRules, ScheduleWindow
from topology.topology import Topology

FLOOR = "hal9:scheduled_floor:pods"
DAYLIGHT = "hal9:daylight_saving:bool"
LOCAL = "hal9:local_time:seconds"
WINDOW = "hal9:scheduled_window:pods"
DAY, WEEK = 86_400, 604_800
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As PromQL's day_of_week counts them."""


@dataclass(frozen=True)
class Change:
    """A change of the clocks: the `week`-th (5: the last) `weekday`
    (0: Sunday) of `month`, `seconds` after local midnight.
    """

    month: int
    week: int
    weekday: int
    seconds: int


@dataclass(frozen=True)
class Zone:
    """A time zone's rule: seconds east of UTC, and where it has daylight saving time that offset and both changes."""

    standard: int
    daylight: int
    begins: Change | None = None
    ends: Change | None = None


def zone(name: str) -> Zone:
    """The rule of an IANA time zone, from the last line of its
    tz database file. ValueError where it is no yearly rule.
    """
    footer = _tzfile(name).rsplit(b"\n", 2)[1].decode("ascii")
    found = re.fullmatch(
        r"(?:[A-Za-z]+|<[^>]+>)(-?[\d:]+)(?:(?:[A-Za-z]+|<[^>]+>)(-?[\d:]+)?,M([\d.]+)(?:/(-?[\d:]+))?,M([\d.]+)(?:/(-?[\d:]+))?)?",
        footer,
    )
    if not found:
        raise ValueError(f"{name}: {footer!r} is no rule of the form M<month>.<week>.<day>")
    west, daylight_west, begins, begins_at, ends, ends_at = found.groups()
    standard = -_seconds(west)
    if begins is None or ends is None:
        return Zone(standard, standard)
    daylight = -_seconds(daylight_west) if daylight_west else standard + 3600
    return Zone(standard, daylight, _change(begins, begins_at), _change(ends, ends_at))


def _tzfile(name: str) -> bytes:
    for folder in TZPATH:
        if (path := Path(folder) / name).is_file():
            return path.read_bytes()
    package, _, file = name.rpartition("/")
    return resources.files(".".join(["tzdata.zoneinfo", *package.split("/")]).rstrip(".")).joinpath(file).read_bytes()


def _seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [*map(int, text.lstrip("-").split(":")), 0, 0]
    return sign * (parts[0] * 3600 + parts[1] * 60 + parts[2])


def _change(rule: str, at: str | None) -> Change:
    month, week, weekday = map(int, rule.split("."))
    return Change(month, week, weekday, _seconds(at) if at else 7200)


def _passed(change: Change, offset: int) -> str:
    """PromQL, 1 from the change on until the year's end, 0 before it. `offset`: the one in force before the change."""
    # The clock is shifted so that the change falls on a midnight; the comparison is then one of whole days.
    clock = f"vector(time() + {offset - change.seconds})"
    since = f"((day_of_week({clock}) - {change.weekday} + 7) % 7)"
    last = f"(day_of_month({clock}) - {since})"  # the day of month of the last such weekday, today included
    first = 7 * (change.week - 1) + 1 if change.week < 5 else calendar.monthrange(2023, change.month)[1] - 6
    return (
        f"((month({clock}) > bool {change.month}) + (month({clock}) == bool {change.month}) * ({last} >= bool {first}))"
    )


def daylight_saving(rule: Zone) -> str:
    """PromQL: 1 while daylight saving time is in force, else 0."""
    if rule.begins is None or rule.ends is None:
        return "vector(0)"
    begun, ended = _passed(rule.begins, rule.standard), _passed(rule.ends, rule.daylight)
    if rule.begins.month < rule.ends.month:
        return f"{begun} * (1 - {ended})"
    return f"1 - {ended} * (1 - {begun})"  # the southern summer lies over the new year


def steps(low: int, high: int, rules: ScaleRules) -> list[tuple[int, int]]:
    """The steps from `low` to `high` pods (or down), each (seconds from the start, pods more or fewer).

    A period's step is the largest or smallest (`selectPolicy`) that a policy allows; the period is the chosen policy's.
    """
    now, at, found = low, rules.stabilization_window_seconds, []
    choose = min if rules.select_policy == "Min" else max
    while now != high:
        options = [
            (p.value if p.type == "Pods" else math.ceil(now * p.value / 100), p.period_seconds) for p in rules.policies
        ]
        size, period = choose(options)
        size = min(size, abs(high - now))
        step = size if high > now else -size
        found.append((at, step))
        now, at = now + step, at + period
    return found


def _level(window: ScheduleWindow, day: str, topology: Topology) -> str:
    """PromQL: the pods that one day's window asks for above the minimum."""
    scaling = topology.autoscaling
    start, end = (int(text[:2]) * 3600 + int(text[3:]) * 60 for text in (window.start, window.end))
    begin = _DAYS.index(day) * DAY + start
    elapsed = f"(({_week_seconds()} - {begin} + {WEEK}) % {WEEK})"
    low, high = scaling.min_replicas, window.min_replicas
    up = [(at, step) for at, step in steps(low, high, scaling.scheduled_scale_up) if at < end - start]
    reached = low + sum(step for _, step in up)
    down = [(end - start + at, step) for at, step in steps(reached, low, scaling.scheduled_scale_down)]
    terms = [f"{step} * ({elapsed} >= bool {at})" for at, step in [*up, *down]]
    return " + ".join(terms).replace("+ -", "- ") or "vector(0)"


def _week_seconds() -> str:
    return f"(day_of_week({LOCAL}) * {DAY} + hour({LOCAL}) * 3600 + minute({LOCAL}) * 60)"


def rules(region: Region, topology: Topology) -> list[dict[str, object]]:
    """The recording rules, in order: daylight saving, local
    time, each window, and the floor that the autoscaler reads.
    """
    rule, minimum = zone(region.timezone), topology.autoscaling.min_replicas
    found: list[dict[str, object]] = [
        {"record": DAYLIGHT, "expr": daylight_saving(rule)},
        {"record": LOCAL, "expr": f"vector(time() + {rule.standard}) + {rule.daylight - rule.standard} * {DAYLIGHT}"},
    ]
    found += [
        {"record": WINDOW, "expr": _level(window, day, topology), "labels": {"window": f"{day} {window.start}"}}
        for window in region.schedule
        for day in window.days
    ]
    windows = f"max({WINDOW})" if region.schedule else "vector(0)"
    return [*found, {"record": FLOOR, "expr": f"{minimum} + {windows}"}]

"""A run's report: every figure beside its target, as text, JSON and one HTML page that needs nothing else."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from lab.load.history import Sample, percentile
from lab.load.judge import Check, availability
from lab.load.measure import Counts, grown
from lab.load.mix import ROUTES
from lab.load.run import Result

TARGETS = {"p50": 0.050, "p95": 0.200, "p99": 0.500}
"""Seconds; the specification's performance targets."""
USERS = 1000
"""Concurrent users; the specification's target."""
SUPPORTING = 6000
"""Requests without a failure that are the least to support 99.95% at 95% confidence (the rule of three)."""
_SLICE = 1.0
_TOLD = 5
"""Wrong answers that the report spells out; all are counted."""


class Row(msgspec.Struct, frozen=True):
    """Latency of one group of requests, in seconds from the
    intended start; a failure counts as the time-out at least.
    """

    group: str
    requests: int
    p50: float
    p95: float
    p99: float
    worst: float


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """All of a run's figures. Times in seconds, shares in percent."""

    machine: str
    mix: str
    users: int
    regions: list[str]
    seconds: float
    requests: int
    requests_per_second: float
    availability: float
    errors: dict[str, int]
    checks: list[Check]
    rows: list[Row]
    cache_hit_rate: float
    l1_hit_rate: float
    cross_region_share: float
    stale_reads: int
    final_reads: int
    lost_writes: int
    fault: str
    notes: list[str]
    timeline: list[tuple[float, int, int, float, float]]
    """A slice each: seconds from the start, requests, failures, p50, p95."""

    @property
    def passed(self) -> bool:
        """Whether every target was met."""
        return all(check.passed for check in self.checks)


def make(
    result: Result,
    before: Mapping[str, Counts],
    after: Mapping[str, Counts],
    fault: str = "",
    notes: Iterable[str] = (),
    judged: Iterable[Check] = (),
    asynchronous: bool = False,
) -> Report:
    """The report of a run, from its history and from what the app counted meanwhile.

    A run with a fault is held against the fault's invariant (`judged`), one without against the specification's
    targets. `asynchronous`: the fault may cost writes that no other region had received; its judge says how many.
    """
    samples = result.history.samples
    answered = [sample for sample in samples if sample.outcome == "ok"]
    seconds = result.ended - result.began
    available = availability("availability", samples)
    hits, asked = grown(before, after, "hal9_cache_hits"), grown(before, after, "hal9_cache_requests")
    first_level = grown(before, after, "hal9_cache_level_hits_total", level="l1")
    whole = _row("all", samples)
    checks = [*judged] if fault else [*_targets(whole), available, *_scale(result)]
    wrong = result.history.wrong
    checks.append(Check("answers nobody wrote, or another's", str(len(wrong)), "0", not wrong))
    items = result.load.users * result.load.mix.items
    checks.append(Check("items read back", str(result.checked), str(items), result.checked == items))
    if not asynchronous:
        stale = result.history.stale
        checks.append(Check("acknowledged writes lost", str(len(result.lost)), "0", not result.lost))
        checks.append(Check("stale reads of one's own writes", str(len(stale)), "0", not stale))
    groups = [("all", samples)]
    groups += [(region, [s for s in samples if s.region == region and not s.away]) for region in result.load.regions]
    groups += [(f"route {route}", [s for s in samples if s.route == route and not s.away]) for route in ROUTES]
    groups.append(("through another region", [s for s in samples if s.away]))
    groups.append(("first at home after that", [s for s in samples if s.returned]))
    remarks = [*notes, *sorted(set(wrong))[:_TOLD]]
    if len(samples) < SUPPORTING:
        remarks.append(f"{len(samples)} requests are fewer than the {SUPPORTING} that support 99.95% at 95% confidence")
    return Report(
        machine=machine(),
        mix=result.load.mix.described(),
        users=result.load.users,
        regions=list(result.load.regions),
        seconds=seconds,
        requests=len(samples),
        requests_per_second=len(samples) / seconds if seconds else 0,
        availability=100 * len(answered) / len(samples) if samples else 0.0,
        errors=dict(result.history.errors()),
        checks=checks,
        rows=[_row(name, group) for name, group in groups],
        cache_hit_rate=100 * hits / asked if asked else 0,
        l1_hit_rate=100 * first_level / asked if asked else 0,
        cross_region_share=100 * sum(s.away for s in samples) / len(samples) if samples else 0,
        stale_reads=len(result.history.stale),
        final_reads=result.checked,
        lost_writes=len(result.lost),
        fault=fault,
        notes=remarks,
        timeline=_timeline(samples, result.began, seconds),
    )


def _targets(whole: Row) -> Iterable[Check]:
    """Latency of all requests beside the specification's targets."""
    for name, limit in TARGETS.items():
        value = getattr(whole, name)
        yield Check(f"latency {name}", f"{value * 1000:.1f} ms", f"< {limit * 1000:.0f} ms", 0 < value < limit)


def _scale(result: Result) -> Iterable[Check]:
    """Whether the run was large enough for what it claims: counted, not taken from its load."""
    samples, load = result.history.samples, result.load
    users = len({sample.user for sample in samples if sample.outcome == "ok"})
    yield Check("concurrent users", str(users), f">= {USERS}", users >= USERS)
    yield Check("requests that support it", str(len(samples)), f">= {SUPPORTING}", len(samples) >= SUPPORTING)
    live, holders = len(result.history.live), int(load.users * load.mix.websockets / 100)
    yield Check("WebSockets answered", str(live), str(holders), live == holders)


def machine() -> str:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _row(name: str, samples: Iterable[Sample]) -> Row:
    ordered = sorted(sample.waited for sample in samples)
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    return Row(name, len(ordered), p50, p95, p99, ordered[-1] if ordered else 0)


def _timeline(samples: list[Sample], began: float, seconds: float) -> list[tuple[float, int, int, float, float]]:
    slices: list[list[Sample]] = [[] for _ in range(int(seconds / _SLICE) + 1)]
    for sample in samples:
        slices[min(max(0, int((sample.at - began) / _SLICE)), len(slices) - 1)].append(sample)
    line = []
    for number, inside in enumerate(slices):
        ordered = sorted(s.waited for s in inside)
        failed = sum(s.outcome != "ok" for s in inside)
        line.append((number * _SLICE, len(inside), failed, percentile(ordered, 50), percentile(ordered, 95)))
    return line


def text(report: Report) -> str:
    """For the terminal."""
    lines = [
        f"{report.users} users in {', '.join(report.regions)} for {report.seconds:.0f} s"
        + (f", fault {report.fault}" if report.fault else ""),
        f"machine: {report.machine}",
        f"mix: {report.mix}",
        "",
        f"{'':26}{'requests':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'worst':>9}",
    ]
    for row in report.rows:
        times = "".join(f"{value * 1000:9.1f}" for value in (row.p50, row.p95, row.p99, row.worst))
        lines.append(f"{row.group:26}{row.requests:9}{times}")
    lines += [
        "",
        f"{report.requests} requests, {report.requests_per_second:.0f} a second, "
        f"{report.availability:.3f}% answered; errors: "
        + (", ".join(f"{count} {kind}" for kind, count in report.errors.items()) or "none"),
        (
            f"cache: {report.cache_hit_rate:.1f}% hits, {report.l1_hit_rate:.1f}% in L1; "
            f"{report.cross_region_share:.1f}% of requests through another region"
        ),
        f"{report.final_reads} items read back at the end",
        *report.notes,
        "",
    ]
    for check in report.checks:
        lines.append(
            f"{'pass' if check.passed else 'FAIL'}  {check.name:38}{check.measured:>12}   target {check.target}"
        )
    return "\n".join(lines)


def html(report: Report) -> str:
    """One page with plots, which loads nothing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        report=report,
        latency=_plot(report, (("p50", 3), ("p95", 4)), 1000),
        rate=_plot(report, (("requests", 1), ("failures", 2)), 1),
    )


def _plot(report: Report, lines: Iterable[tuple[str, int]], scale: float) -> dict[str, Any]:
    """Points of each line in a box of 640 x 160, and the top of the scale."""
    width, height, lines = 640, 160, list(lines)
    points = report.timeline[:-1] or report.timeline  # the last slice is a part of one
    top = max([point[index] * scale for point in points for _, index in lines], default=0) or 1
    last = max(len(points) - 1, 1)
    return {
        "top": f"{top:.0f}",
        "seconds": f"{report.seconds:.0f}",
        "lines": [
            {
                "name": name,
                "points": " ".join(
                    f"{number * width / last:.1f},{height - point[index] * scale / top * height:.1f}"
                    for number, point in enumerate(points)
                ),
            }
            for name, index in lines
        ],
    }


def write(report: Report, directory: Path) -> list[Path]:
    """Write report.txt, report.json and report.html below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "report.txt": text(report) + "\n",
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n",
        "report.html": html(report),
    }
    for name, value in content.items():
        (directory / name).write_text(value, "utf-8")
    return [directory / name for name in content]

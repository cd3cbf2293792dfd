"""Whether a fault's invariant held: checks over a run's history and
the moments at which the fault struck and was healed.

A request counts as in flight when it was under way while the fault struck. Those may fail, and are counted; what else
may fail is what a fault's invariant names (`FAULTS` in lab/faults/ says which judge each fault has).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from lab.load.history import Lost, Sample, Stale, percentile

AVAILABILITY = 99.95
"""Percent; the specification's target."""
HOME_P95 = 0.200
"""Seconds; the specification's target, which home requests keep whatever befalls a link or another region."""
MET = 30
"""Requests that must have been under way between a fault and its heal; fewer may have missed what it did."""
SETTLING_SECONDS = 3.0
"""After a heal: the time in which pools, breakers and nginx find out. A breaker probes again within this."""


class Check(msgspec.Struct, frozen=True):
    """One figure beside its target."""

    name: str
    measured: str
    target: str
    passed: bool


@dataclass(frozen=True)
class Evidence:
    """What a judge sees. Moments in the samples' clock: the fault was ordered at `broke`, had struck by `struck` (its
    first effect), was done at `broken`; the heal was ordered at `mending` and done at `mended`.

    `victim` is the region that it befell. `fenced` is when a former primary was fenced, for a promotion elsewhere
    (None: nothing was promoted), `lag` by how many seconds the slowest replica was behind at the most before, `lost`
    and `stale` what of the acknowledged writes was missing at the end and meanwhile (as in History), `writable` the
    most primaries of one shard that took writes at the same time.
    """

    samples: Sequence[Sample]
    broke: float
    struck: float
    broken: float
    mending: float
    mended: float
    victim: str
    fenced: float | None = None
    lag: float = 0.0
    lost: Sequence[Lost] = ()
    stale: Sequence[Stale] = ()
    writable: int = 1

    def failed(self) -> list[Sample]:
        """Requests without a good answer."""
        return [sample for sample in self.samples if sample.outcome != "ok"]

    def in_flight(self, sample: Sample) -> bool:
        """Whether it was under way while the fault struck."""
        return overlaps(sample, self.broke, self.struck)

    def meanwhile(self, sample: Sample) -> bool:
        """Whether it was under way between the fault and its heal, and the time to find out of either."""
        return overlaps(sample, self.broke, self.mended + SETTLING_SECONDS)


Judge = Callable[[Evidence], Iterable[Check]]


def overlaps(sample: Sample, begin: float, end: float) -> bool:
    """Whether a request was under way at some time between two moments."""
    return sample.at <= end and sample.at + sample.seconds >= begin


def none(name: str, found: Iterable[Sample]) -> Check:
    """The check that there is no such request; it names what they met."""
    found = list(found)
    kinds = sorted({sample.error or f"status {sample.status}" for sample in found})
    return Check(name, f"{len(found)}" + (f" ({', '.join(kinds)})" if kinds else ""), "0", not found)


def availability(name: str, samples: Iterable[Sample]) -> Check:
    """The share of good answers beside the specification's."""
    samples = list(samples)
    share = 100 * sum(sample.outcome == "ok" for sample in samples) / len(samples) if samples else 0.0
    return Check(name, f"{share:.3f}%", f">= {AVAILABILITY}%", share >= AVAILABILITY)


def p95(name: str, samples: Iterable[Sample]) -> Check:
    """The 95th percentile beside the specification's, but for sessions that are fetched back home."""
    ordered = sorted(sample.waited for sample in samples if not sample.returned)
    value = percentile(ordered, 95)
    return Check(name, f"{value * 1000:.1f} ms", f"< {HOME_P95 * 1000:.0f} ms", bool(ordered) and value < HOME_P95)


def signed_out(evidence: Evidence) -> Check:
    """No valid session is refused: a failure of ours is never told as a log-in that is missing."""
    return none("sessions refused (401)", (s for s in evidence.samples if s.status == HTTPStatus.UNAUTHORIZED))


def after_healing(evidence: Evidence) -> Check:
    """What was healed is whole."""
    began = evidence.mended + SETTLING_SECONDS
    return none(f"failed {SETTLING_SECONDS:g} s after the heal", (s for s in evidence.failed() if s.at > began))


def within_lag(evidence: Evidence) -> Iterator[Check]:
    """Replication to other regions is asynchronous: a promotion there may cost what was acknowledged before the fence
    and had not arrived, which is at most the lag that was measured. Nothing else."""
    e = evidence
    begin = e.broke - e.lag
    end = e.broke if e.fenced is None else max(e.fenced, e.broken)

    def beyond(name: str, moments: Sequence[float]) -> Check:
        excused = [moment - e.broke for moment in moments if e.fenced is not None and begin <= moment <= end]
        count = len(moments) - len(excused)
        told = f"{count}"
        if excused:
            told += f" (and {len(excused)} acknowledged {min(excused):+.2f} to {max(excused):+.2f} s from the fault)"
        fence = "" if e.fenced is None else f" and the fence, {end - e.broke:+.2f} s"
        return Check(name, told, f"0 but between the lag, {-e.lag:+.2f} s,{fence}", count == 0)

    yield beyond("acknowledged writes lost", [lost.acknowledged for lost in e.lost])
    yield beyond("stale reads of one's own writes", [read.acknowledged for read in e.stale])


def one_primary(evidence: Evidence) -> Check:
    """At no time were there two that would take a shard's writes. A census that saw none at all did not count."""
    return Check("primaries of a shard at once", str(evidence.writable), "1", evidence.writable == 1)


def always(evidence: Evidence) -> Iterator[Check]:
    """What holds in every fault: one primary, nobody signed out, and requests enough to have met it."""
    e = evidence
    yield one_primary(e)
    yield signed_out(e)
    met = sum(overlaps(sample, e.broke, e.mended) for sample in e.samples)
    yield Check("requests under way meanwhile", str(met), f">= {MET}", met >= MET)


def region_lost(evidence: Evidence) -> Iterator[Check]:
    """The others carry all users; a write waits until its shard's replica elsewhere is promoted."""
    e = evidence
    yield availability(
        "availability apart from in flight", (s for s in e.samples if s.outcome == "ok" or not e.in_flight(s))
    )
    survivors = [s for s in e.samples if s.region != e.victim and not s.away and overlaps(s, e.broke, e.mending)]
    yield none("failed of the other regions' users", (s for s in survivors if s.outcome != "ok"))
    yield p95("their p95 meanwhile", survivors)
    yield from within_lag(e)
    yield from always(e)
    yield after_healing(e)


def told_elsewhere(evidence: Evidence, read: Stale) -> bool:
    """Whether the read was answered in the region that was cut off, of a write that
    was taken outside: its user went out and came back, and nobody in there can know.
    """
    e = evidence
    cut = e.broke <= read.at <= e.mended + SETTLING_SECONDS
    return cut and read.gateway == e.victim != read.written and read.acknowledged >= e.broke


def region_isolated(evidence: Evidence) -> Iterator[Check]:
    """Its users can go on reading what they have at home; they write again when it is joined. The others go on.

    A user of it who was outside and comes back has a session that lies outside, and is told 503 until it can be asked.
    """
    e = evidence

    def excused(sample: Sample) -> bool:
        own = sample.region == e.victim and e.meanwhile(sample) and (sample.route == "write" or sample.returned)
        return own or sample.away or e.in_flight(sample)

    yield none("failed but for its own users' writes", (s for s in e.failed() if not excused(s)))
    others = [s for s in e.samples if s.region != e.victim and not s.away and overlaps(s, e.broke, e.mending)]
    yield p95("the others' p95 meanwhile", others)
    inside, here = [s for s in e.stale if told_elsewhere(e, s)], [s for s in e.stale if not told_elsewhere(e, s)]
    yield from within_lag(dataclasses.replace(e, stale=here))
    yield Check("stale reads in it of what was written outside", str(len(inside)), "shown", passed=True)
    yield from always(e)
    yield after_healing(e)


def only_in_flight(evidence: Evidence) -> Iterator[Check]:
    """Nothing fails but what was under way."""
    yield none("failed and not in flight", (s for s in evidence.failed() if not evidence.in_flight(s)))
    yield from always(evidence)


def primary_lost(evidence: Evidence) -> Iterator[Check]:
    """Only writes of the shard fail, and only until the standby has taken over and was found."""
    e = evidence

    def excused(sample: Sample) -> bool:
        writing = sample.route == "write" and sample.region == e.victim
        return e.in_flight(sample) or (writing and overlaps(sample, e.broke, e.broken + SETTLING_SECONDS))

    yield none("failed but for its writes meanwhile", (s for s in e.failed() if not excused(s)))
    yield none("reads failed, in flight included", (s for s in e.failed() if s.route != "write"))
    yield from always(e)
    yield after_healing(e)


def sessions_lost(evidence: Evidence) -> Iterator[Check]:
    """Its users may have to wait; nobody is signed out, and nobody else notices."""
    yield from always(evidence)
    yield none(
        "failed of the other regions' users",
        (s for s in evidence.failed() if s.region != evidence.victim and not s.away),
    )
    yield after_healing(evidence)


def link_hurt(evidence: Evidence) -> Iterator[Check]:
    """Who is at home needs no link."""
    home = [s for s in evidence.samples if not s.away]
    yield none("failed of users at home", (s for s in home if s.outcome != "ok"))
    yield p95("their p95 meanwhile", (s for s in home if overlaps(s, evidence.broke, evidence.mending)))
    yield from always(evidence)
    yield after_healing(evidence)


def sheds(evidence: Evidence) -> Iterator[Check]:
    """What cannot be served is refused at once and told so (503), and all is well soon after."""
    e = evidence
    refused = [s for s in e.failed() if not e.in_flight(s)]
    yield none("failed in another way than by 503", (s for s in refused if s.status != HTTPStatus.SERVICE_UNAVAILABLE))
    yield none("failed of the other regions' users", (s for s in refused if s.region != e.victim and not s.away))
    yield from always(e)
    yield after_healing(e)


def nothing_fails(evidence: Evidence) -> Iterator[Check]:
    """A planned change costs no request."""
    yield none("failed", evidence.failed())
    yield from always(evidence)


def told(evidence: Evidence) -> Iterator[str]:
    """What a reader wants to know beside the checks: how long it took, what was in flight, what failed when."""
    e, failed = evidence, evidence.failed()
    flying = [s for s in failed if e.in_flight(s)]
    yield (
        f"the fault took {e.broken - e.broke:.1f} s to happen, was left for {e.mending - e.broken:.1f} s, "
        f"and its heal took {e.mended - e.mending:.1f} s"
    )
    during = [s for s in failed if not e.in_flight(s) and e.struck < s.at <= e.mended]
    yield (
        f"failed: {len(flying)} in flight at the fault, {len(during)} from then until the heal was done "
        f"({sum(s.route == 'write' for s in during)} of them writes), "
        f"{sum(s.at > e.mended for s in failed)} after it, {sum(s.at + s.seconds < e.broke for s in failed)} before"
    )

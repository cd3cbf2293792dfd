"""Faults of the link between the first region and the victim."""

from __future__ import annotations

import time

from lab.faults.fault import Say, victim
from lab.lab import Lab

SLOW_ROUND_TRIP = 0.6
"""Seconds of a slow link: three times the longest distance of the specification's regions."""
FLAPS, FLAP_SECONDS = 5, 0.4


def _ends(lab: Lab) -> list[tuple[str, str]]:
    first, second = lab.layout.regions[0], victim(lab)
    return [(first, second), (second, first)]


def cut(lab: Lab, say: Say) -> None:
    """The link to the first region is cut."""
    lab.link(_ends(lab), cut=True)
    say("the link between {} and {} is cut".format(*_ends(lab)[0]))


def join(lab: Lab, say: Say) -> None:
    """The link carries again."""
    lab.link(_ends(lab), cut=False)
    say("the link is whole again")


def cut_one_way(lab: Lab, say: Say) -> None:
    """The first region no longer reaches it; it reaches the first region."""
    lab.link(_ends(lab)[:1], cut=True)
    say("{0} no longer reaches {1}; {1} reaches {0}".format(*_ends(lab)[0]))


def flap(lab: Lab, say: Say) -> None:
    """The link to the first region is cut and joined, five times."""
    for _ in range(FLAPS):
        lab.link(_ends(lab), cut=True)
        time.sleep(FLAP_SECONDS)
        lab.link(_ends(lab), cut=False)
        time.sleep(FLAP_SECONDS)
    say(f"the link was cut and joined {FLAPS} times")


def slow(lab: Lab, say: Say) -> None:
    """The link to the first region takes 600 ms there and back."""
    lab.link(_ends(lab), one_way=SLOW_ROUND_TRIP / 2)
    say(f"the link takes {SLOW_ROUND_TRIP * 1000:.0f} ms there and back")


def fast(lab: Lab, say: Say) -> None:
    """The link takes its own time again."""
    seconds = lab.topology.round_trip_seconds(*_ends(lab)[0])
    lab.link(_ends(lab), one_way=seconds / 2)
    say(f"the link takes {seconds * 1000:.0f} ms again")

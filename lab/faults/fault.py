"""What a fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.lab import Lab
from lab.load import judge

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """One fault: what it does, how it is undone, what must hold meanwhile, and who judges whether it did."""

    invariant: str
    inject: Callable[[Lab, Say], None]
    heal: Callable[[Lab, Say], None]
    judge: judge.Judge
    asynchronous: bool = False
    """Whether it may cost acknowledged writes that had not reached another region."""

    @property
    def happens(self) -> str:
        """What it does, in a sentence: the first one that its injection says of itself."""
        return " ".join(str(self.inject.__doc__).split()).partition(". ")[0].rstrip(".")


def victim(lab: Lab) -> str:
    """The region that faults happen in: the second, so that the first one's URL goes on working."""
    return lab.layout.regions[1 % len(lab.layout.regions)]


def nothing(_lab: Lab, say: Say) -> None:
    """The heal of what heals itself."""
    say("nothing to heal")

"""Where a shard's Postgres instances stand, and what they are called: by place, with their role as data beside."""

from __future__ import annotations

from dataclasses import dataclass

SECOND = "second"
"""The replica in the primary's own region."""


@dataclass(frozen=True)
class Instance:
    """One Postgres instance of a shard.

    `generation` grows where an instance has to be made anew beside the old one: AWS makes no replica follow another
    source. `born_primary`: made as the primary, with a database and a user in it; every other one is born a replica.
    """

    shard: int
    region: str
    second: bool = False
    generation: int = 1
    primary: bool = False
    born_primary: bool = False

    @property
    def place(self) -> str:
        """`us-west`, or `us-west-second`: the key of its generation in the stack file."""
        return f"{self.region}-{SECOND}" if self.second else self.region

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of its name."""
        generation = (f"g{self.generation}",) if self.generation > 1 else ()
        return (f"shard-{self.shard}", self.place, *generation)

    @property
    def name(self) -> str:
        """`shard-1-us-west`, `shard-1-us-west-second`, `shard-1-eu-central-g2`."""
        return "-".join(self.parts)

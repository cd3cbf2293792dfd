"""The floor of a user's reads: what a replica must have replayed before it may answer that user."""

from __future__ import annotations

from typing import NamedTuple

UNKNOWN = 2**63 - 1
"""A position no replica reaches: after a commit whose position could not be learned only the primary will do."""


class Floor(NamedTuple):
    """The WAL position `lsn` (bytes) of shard `shard` after the user's last commit, in the slot's epoch `epoch`.

    It is kept in the session and holds in every region. Positions of two shards do not compare, nor do those
    of two epochs of a slot: such a floor sends the read to the primary.
    """

    shard: int
    epoch: int
    lsn: int

    def encode(self) -> str:
        """As text, for the session: `shard.epoch.lsn`, the position in hex."""
        return f"{self.shard}.{self.epoch}.{self.lsn:x}"

    @classmethod
    def decode(cls, text: str) -> Floor:
        """From `encode`'s text. Raises ValueError for anything else."""
        shard, epoch, lsn = text.split(".")
        return cls(int(shard), int(epoch), int(lsn, 16))

    def joined(self, other: Floor | None) -> Floor:
        """The floor after both commits: the newer epoch's, in one epoch the higher position."""
        return self if other is None else max(self, other, key=lambda floor: (floor.epoch, floor.lsn))

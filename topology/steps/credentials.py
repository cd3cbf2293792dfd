"""Passwords: a generation comes behind the one in use, is used when everybody accepts it, and the old one goes last."""

from __future__ import annotations

from collections.abc import Iterator

from topology.steps.edit import Edit, Refusal

WAY = "docs/runbooks/credentials.md: [1], then [1, 2], then [2, 1], then [2], an `up` each"


def generations(edit: Edit) -> Iterator[Refusal]:
    """Nobody shows a password that the other side does not know yet, or knows no more."""
    for kind in ("database", "redis", "origin"):
        before: tuple[int, ...] = getattr(edit.before.credentials, kind)
        after: tuple[int, ...] = getattr(edit.after.credentials, kind)
        path = f"credentials.{kind}"
        if after[0] not in before:
            yield Refusal(path, f"generation {after[0]} is used before anybody accepts it", WAY)
        if before[0] not in after:
            yield Refusal(path, f"generation {before[0]} goes while it is used: who shows it is refused", WAY)
        for number in after:
            if number not in before and number < max(before):
                yield Refusal(path, f"generation {number} comes after {max(before)}: one that left stays away", WAY)


RULES = (generations,)

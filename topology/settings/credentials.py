"""Which generations of each password are accepted, so that a rotation has two at work."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from topology.settings.base import Positive, Settings


def _generations(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(numbers)) != len(numbers):
        raise ValueError("names a generation twice")
    return numbers


Generations = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=2), AfterValidator(_generations)]


class Credentials(Settings):
    """Generations of the passwords that the program makes: the first is used, the second is accepted as well.

    A rotation goes from `[1]` over `[1, 2]` and `[2, 1]` to `[2]`, an `up` each, so that nobody ever shows what is not
    accepted yet, or any more (docs/runbooks/credentials.md). Two at most: ElastiCache knows no third.
    """

    database: Generations = (1,)
    """Of each shard's accounts: the app's and the tables' owner's."""
    redis: Generations = (1,)
    origin: Generations = (1,)
    """Of what CloudFront shows nginx."""

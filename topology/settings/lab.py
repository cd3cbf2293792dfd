"""The lab."""

from __future__ import annotations

from pydantic import Field

from topology.settings.base import Distance, Positive, Settings


class Lab(Settings):
    """The lab: every region on one machine (`make lab`). `round_trip_ms` is the delay between two regions, by pair
    `first--second` in either order; a pair that is not listed has `default_round_trip_ms`."""

    round_trip_ms: dict[str, Distance] = Field({})
    default_round_trip_ms: Distance = 150
    app_processes: Positive = 1
    users: Positive = 1000

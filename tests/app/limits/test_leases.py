"""A bounded table that costs the same for each new name, however many come."""

from __future__ import annotations

import time

from app.limits.leases import LOOKED_AT, Leases


def test_a_full_table_forgets_who_is_idle_before_who_is_not() -> None:
    now = 0.0
    leases = Leases(3, lambda: now)
    for name in ("idle", "busy", "busier"):
        leases.new(name)
    now = 1000
    for name in ("busy", "busier"):
        lease = leases.get(name)
        assert lease is not None
        lease.ends = now
    leases.new("fresh").ends = now
    assert leases.get("idle") is None
    assert {name for name in ("busy", "busier", "fresh") if leases.get(name)} == {"busy", "busier", "fresh"}


def test_a_full_table_of_busy_names_loses_one_for_each_new_one() -> None:
    leases = Leases(100, lambda: 0.0)
    for number in range(1000):
        leases.new(str(number)).ends = 1.0
        assert len(leases) <= 100
    assert leases.get("999") is not None


def test_a_new_name_in_a_full_table_costs_no_look_at_the_whole() -> None:
    """Each cost 5.4 ms at 50,000 before, which 185 new addresses a second were enough to stop a process with."""
    leases = Leases(50_000, lambda: 0.0)
    for number in range(50_000):
        leases.new(str(number)).ends = 1.0
    began = time.process_time()
    for number in range(1000):
        leases.new(f"new-{number}")
    assert (time.process_time() - began) / 1000 < 0.0005
    assert LOOKED_AT < 10

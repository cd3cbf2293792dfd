from __future__ import annotations

import time
import tracemalloc

import msgspec

from app.cache.local import LocalCache


class Note(msgspec.Struct, frozen=True):
    title: str
    tags: list[str]
    fields: dict[str, str]


def note(number: int) -> bytes:
    return msgspec.msgpack.encode(
        Note(
            f"note {number}", [f"tag-{number}-{n}" for n in range(5)], {f"field {n}": f"{number}" * 4 for n in range(8)}
        )
    )


def test_l1_stays_below_its_bytes_as_the_interpreter_counts_them() -> None:
    bound = 4 * 1024 * 1024
    cache = LocalCache(bound)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10_000):
        raw = note(number)
        cache.put(f"note:{number}", msgspec.msgpack.decode(raw, type=Note), Note, len(raw), 60)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache.evictions > 0
    assert cache.bytes <= bound
    assert after - before <= bound


def test_what_is_read_stays_and_what_is_not_goes() -> None:
    cache = LocalCache(100_000)
    for number in range(50):
        cache.put(f"hot:{number}", number, int, 1, 60)
    for number in range(2000):
        for hot in range(50):
            cache.entries[f"hot:{hot}"].visited = True
        cache.put(f"cold:{number}", number, int, 1, 60)
    assert all(f"hot:{number}" in cache.entries for number in range(50))


def test_lifetimes_are_shortened_by_up_to_a_tenth_each_by_its_own() -> None:
    cache = LocalCache(10_000_000)
    now = time.monotonic()
    for number in range(500):
        cache.put(str(number), number, int, 1, 60)
    left = [entry.expires - now for entry in cache.entries.values()]
    assert 53.9 < min(left) < 55
    assert 59 < max(left) < 60.5


def test_a_value_over_an_eighth_of_l1_is_not_kept() -> None:
    cache = LocalCache(100_000)
    cache.put("large", b"", bytes, 100_000 // 8, 60)
    assert len(cache) == 0


def test_bytes_are_zero_when_all_is_gone() -> None:
    cache = LocalCache(100_000)
    for number in range(20):
        cache.put(str(number % 7), number, int, 10, 60)
    for number in range(7):
        cache.discard(str(number))
    assert (cache.bytes, len(cache)) == (0, 0)

"""What the app itself counted: its metrics, scraped before and after a run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Counts = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Samples by name and labels, summed over processes."""


@dataclass(frozen=True)
class Target:
    """A process's metrics port and the region it is in."""

    region: str
    url: str


async def scrape(targets: Iterable[Target]) -> dict[str, Counts]:
    """Samples by region; a process that does not answer counts nothing."""
    found: dict[str, defaultdict[tuple[str, frozenset[tuple[str, str]]], float]] = defaultdict(
        lambda: defaultdict(float)
    )

    async def one(http: aiohttp.ClientSession, target: Target) -> None:
        try:
            async with http.get(target.url) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError):
            return
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[target.region][sample.name, frozenset(sample.labels.items())] += sample.value

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        await asyncio.gather(*(one(http, target) for target in targets))
    return dict(found)


def grown(before: Mapping[str, Counts], after: Mapping[str, Counts], name: str, **labels: str) -> float:
    """By how much a metric grew over all regions, its samples with these labels summed.

    A process that was started anew meanwhile counts from 0 again: what its predecessor counted is missing.
    """

    def total(counts: Mapping[str, Counts]) -> float:
        wanted = set(labels.items())
        return sum(
            value
            for region in counts.values()
            for (sample, has), value in region.items()
            if sample == name and wanted <= set(has)
        )

    return max(0.0, total(after) - total(before))

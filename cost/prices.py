"""The price table: USD on demand, each row with its source, its day and how sure it is."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

HOURS = 730
"""Hours of a month, as AWS's own calculator has them."""
TABLE = Path(__file__).parents[1] / "facts" / "data" / "prices.csv"
OLD_DAYS = 365
GLOBAL = "global"
_HOURLY = ("hour", "node-hour", "LCU-hour")


@dataclass(frozen=True)
class Price:
    """One row. `usd` is for one `unit`; `read` the source's
    day as the table has it, `confidence` high, medium or low.
    """

    service: str
    item: str
    region: str
    unit: str
    usd: float
    source: str
    read: str
    confidence: str

    @property
    def monthly(self) -> float:
        """USD a month of one, a GB or a thing."""
        return self.usd * (HOURS if self.unit in _HOURLY else 1)

    def old(self, today: date) -> bool:
        """Whether the source is older than a year, or says no day."""
        try:
            parts = [int(part) for part in self.read.split("-")]
        except ValueError:
            return True
        year, month, day = [*parts, 1, 1][:3]
        return (today - date(year, month, day)).days > OLD_DAYS


@cache
def prices() -> dict[tuple[str, str, str], Price]:
    """Every row that has a price, by service, item (without its remark in brackets) and region."""
    return {(one.service, one.item, one.region): one for one in _rows()}


def _rows() -> Iterator[Price]:
    with TABLE.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            if row["usd"]:
                yield Price(
                    row["service"],
                    row["item"].split(" (")[0],
                    row["region"],
                    row["unit"],
                    float(row["usd"]),
                    row["source"],
                    row["source_date"],
                    row["confidence"],
                )

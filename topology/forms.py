"""Forms of single values in a stack file: what a text must look like, and numbers as `pulumi config set --path` writes them.

Each refusal says in words what would be right; the caller adds the path.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from ipaddress import IPv4Network
from typing import Any


@dataclass(frozen=True)
class Like:
    """A check that a text matches `pattern` as a whole. ValueError that says it is not `what`."""

    pattern: str
    what: str

    def __call__(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} is not {self.what}")
        return text


def number(value: Any) -> Any:
    """A number from text: `pulumi config set --path` writes integers as numbers, and fractions as text."""
    if not isinstance(value, str):
        return value
    try:
        read = float(value)
    except ValueError:
        return value
    return read if math.isfinite(read) else value


def digits(value: Any) -> Any:
    """Text from a whole number: `pulumi config set --path` writes a version such as 16 as a number."""
    return str(value) if type(value) is int else value


def block(value: Any) -> IPv4Network:
    """An address block. ValueError where it is none, or has bits of an address beside its prefix."""
    if isinstance(value, str) and "/" in value:
        try:
            loose = IPv4Network(value, strict=False)
        except ValueError:
            pass
        else:
            if str(loose) != value:
                raise ValueError(f"{value} is an address within a block; the block is {loose}")
            return loose
    raise ValueError(f"{value!r} is not an IPv4 block such as 10.0.0.0/16")


def day(value: Any) -> date:
    """A day of the calendar. ValueError where it is none."""
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a day such as 2030-01-31") from None


def instant(value: Any) -> datetime:
    """A point in time with its offset. ValueError where it is none."""
    try:
        read = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if read.tzinfo is None:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a time such as 2030-01-31T12:00:00Z") from None
    return read.astimezone(UTC)

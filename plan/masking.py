"""Keeps secrets out of every text that leaves the plan: by value, wherever they have got to."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pulumi

from plan.values import SENTINEL, Marker, Secret, reveal, strings

SHORTEST = 6
"""Secrets of fewer characters are masked where they are marked as secret, not wherever their text occurs."""

SHORTEST_PART = 8
"""The same for a part of a secret object, which may be a word of everyday such as a user's name."""


class Masker:
    """The secret values that a run has met, and `mask`, which takes them out of a text."""

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def add(self, value: Any) -> None:
        """Remember a secret value: a text, or all texts inside an object."""
        value = reveal(value)
        shortest = SHORTEST if isinstance(value, str) else SHORTEST_PART
        for text in strings(value):
            if len(text) >= shortest and text != SENTINEL and not isinstance(text, Marker):
                self._texts.update(_forms(text))

    def mask(self, text: str) -> str:
        """A text with every secret value in it replaced by `[secret]`, encoded ones included."""
        if not self._texts:
            return text
        for secret in sorted(self._texts, key=len, reverse=True):
            text = text.replace(secret, Secret.TEXT)
        return text

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While open, every value that is made a secret (`Output.secret`, `Config.require_secret`) is remembered."""
        original: Callable[[Any], pulumi.Output[Any]] = pulumi.Output.secret

        def secret(value: Any) -> pulumi.Output[Any]:
            if not isinstance(value, pulumi.Output):
                self.add(value)
            return original(value)

        pulumi.Output.secret = staticmethod(secret)  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            pulumi.Output.secret = staticmethod(original)  # type: ignore[method-assign,assignment]


def _forms(text: str) -> set[str]:
    """A text as it may appear: plain, quoted for JSON, Python or a URL, base64, hexadecimal."""
    raw = text.encode("utf-8", "surrogatepass")
    return {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus(text),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        raw.hex(),
    }

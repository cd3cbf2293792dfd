"""A YAML file as the Pulumi CLI reads it (Go's yaml.v3), and in words
where the two would differ or nobody could mean it.

Whatever a file holds is answered in seconds: it is read by its events, one after another, within limits of size, depth
and aliases. Refused, although the CLI takes it, is what it would hand over as something other than what is written: a
number with leading zeros or underscores, a tag, a key that is no text, a second document, another encoding.
tests/plan/test_reader.py holds this reader against the CLI's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

from plan.errors import ProjectError

LARGEST_BYTES = 128 * 1024
"""A stack file is some KiB; a larger one is another file."""
DEEPEST = 50
MOST_VALUES = 5_000
"""Values that a file may have once its aliases are written out."""
_LARGEST = 2**64
_DIGITS = len(str(_LARGEST))

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {**dict.fromkeys(("true", "True", "TRUE"), True), **dict.fromkeys(("false", "False", "FALSE"), False)}
_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_TIMESTAMP = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt]| )\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?(Z|[-+]\d{2}:\d{2})?")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0[oO][0-7]+|0[xX][0-9a-fA-F]+|0[bB][01]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_TAGS = "tag:yaml.org,2002:"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a map. ProjectError, with file, line and what would be right, where it is none.

    Days come as the CLI hands them over (`2027-01-31 00:00:00 +0000 UTC`), whole numbers without a fraction.
    """
    data = _Reader(path.name, _text(path)).document()
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ProjectError(f"{path.name} must be a map at its top")
    return data


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST_BYTES:
        raise ProjectError(f"{path.name} is larger than {LARGEST_BYTES // 1024} KiB: it is no stack file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ProjectError(f"{path.name}:{line} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None
    if found := _UNPRINTABLE.search(text):
        line, column = _place(text, found.start())
        raise ProjectError(f"{path.name}:{line}:{column} is not YAML: a control character, U+{ord(found[0]):04X}")
    return text


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


@dataclass(frozen=True)
class _Anchored:
    value: Any
    values: int
    depth: int


class _Events(yaml.SafeLoader):
    """PyYAML's events, with the escapes that the CLI knows."""

    ESCAPE_REPLACEMENTS = {  # type: ignore[misc]  # noqa: RUF012
        key: value for key, value in yaml.SafeLoader.ESCAPE_REPLACEMENTS.items() if key != "/"
    }


class _Reader:
    """The one document of a text, from its events."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._events: Iterator[Any] = yaml.parse(text, _Events)
        self._anchors: dict[str, _Anchored | None] = {}
        self._values = 0
        self._path: list[str] = []
        self._deepest = 0

    def document(self) -> Any:
        """The document's value; None where there is none."""
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise ProjectError(f"{self._name}{where} is not YAML: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ProjectError(f"{self._name} is not YAML: {error}") from None

    def _document(self) -> Any:
        next(self._events)  # the stream begins
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        if event.version not in (None, (1, 1)) or event.tags:
            self._refuse(event, "a directive (%YAML, %TAG) has no place in a stack file")
        value = self._value(next(self._events), 0)
        next(self._events)  # the document ends
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            self._refuse(after, "a second document; only the first would be read")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        self._values += 1
        self._deepest = max(self._deepest, depth)
        if depth > DEEPEST:
            self._refuse(event, f"deeper than {DEEPEST} levels")
        if self._values > MOST_VALUES:
            self._refuse(event, f"more than {MOST_VALUES} values")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        before, deepest, self._deepest = self._values, self._deepest, depth
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._tagged(event, "seq")
            value = self._list(depth)
        else:
            self._tagged(event, "map")
            value = self._map(depth)
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, self._values - before + 1, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, event: Any, depth: int) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(event, f"*{event.anchor} names nothing above it")
        found = self._anchors[event.anchor]
        if found is None:
            self._refuse(event, f"&{event.anchor} holds itself")
        self._values += found.values
        if self._values > MOST_VALUES:
            self._refuse(event, f"its aliases make more than {MOST_VALUES} values")
        if depth + found.depth > DEEPEST:
            self._refuse(event, f"its aliases make more than {DEEPEST} levels")
        value: Any = found.value
        return value

    def _list(self, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            self._path.append(f"[{len(values)}]")
            values.append(self._value(event, depth + 1))
            self._path.pop()
        return values

    def _map(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[Any] = []
        own: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = "<<" if merge else self._key(event)
            if key in own:
                self._refuse(event, f"the key {key} is there twice")
            own.add(key)
            self._path.append(f".{key}" if self._path else key)
            value = self._value(next(self._events), depth + 1)
            self._path.pop()
            if merge:
                merged = value if isinstance(value, list) else [value]
                if not all(isinstance(one, dict) for one in merged):
                    self._refuse(event, "<< takes a map, or a list of maps")
            else:
                values[key] = value
        for one in merged:
            values = {**one, **values} if one else values
        return values

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, "a key must be text")
        value = self._value(event, 0)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or value != event.value:
            self._refuse(event, f"the key {event.value or 'null'} is no text; quote it")
        return str(value)

    def _tagged(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _TAGS + kind):
            self._refuse(event, f"the tag {event.tag.replace(_TAGS, '!!')} has no meaning here; leave it out")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if found := re.search("[\ud800-\udfff]", text):
            self._refuse(event, f"U+{ord(found[0]):04X} is half a character")
        if event.tag == _TAGS + "str" or (event.tag in (None, "!") and not event.implicit[0]):
            return text
        self._tagged(event, "")
        return self._plain(event, text)

    def _plain(self, event: Any, text: str) -> Any:
        """A text without quotes, as what the CLI takes it for."""
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _is_odd(text):
            self._refuse(event, f'{text} is read as another number; quote it ("{text}"), or write it without 0 and _')
        if _NOT_FINITE.fullmatch(text):
            self._refuse(event, f"{text} is no number that a setting can have")
        if _INTEGER.fullmatch(text):
            value = int(text, 0) if re.match(r"0[oxbOXB]", text) else int(text) if len(text) <= _DIGITS else _LARGEST
            if not -(2**63) <= value < _LARGEST:
                self._refuse(event, f"{text[:40]} is larger than any setting")
            return value
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self._refuse(event, f"{text[:40]} is larger than any setting")
            return int(number) if number.is_integer() and abs(number) < _LARGEST else number
        if found := _DAY.fullmatch(text):
            return self._day(event, text, *map(int, found.groups()))
        if _TIMESTAMP.fullmatch(text):
            self._refuse(event, f'{text} is read as a moment; quote it ("{text}")')
        return text

    def _day(self, event: Any, text: str, year: int, month: int, day: int) -> str:
        """A day as the CLI hands it over; what is none in any month is text for both."""
        if year == 0:
            self._refuse(event, f"{text} is no day")
        try:
            return f"{date(year, month, day)} 00:00:00 +0000 UTC"
        except ValueError:
            return text

    def _refuse(self, event: Any, why: str) -> NoReturn:
        mark = event.start_mark
        path = f"{''.join(self._path).removeprefix('config.')}: " if self._path else ""
        shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in f"{path}{why}")
        if len(shown) > 400:
            shown = f"{shown[:400]}..."
        raise ProjectError(f"{self._name}:{mark.line + 1}:{mark.column + 1} cannot be used: {shown}")


def _is_odd(text: str) -> bool:
    """Whether the CLI takes a text for a number that does not read like it: octal, or without its underscores."""
    bare = text.replace("_", "")
    numeric = bool(_INTEGER.fullmatch(bare) or _FLOAT.fullmatch(bare) or _LEADING_ZERO.fullmatch(bare))
    return bool(_LEADING_ZERO.fullmatch(text)) or (numeric and bare != text and text[0] in "+-0123456789")

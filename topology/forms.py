"""Forms of single values in a stack file: what a text must look like,
and numbers as `pulumi config set --path` writes them.

Each refusal says in words what would be right; the caller adds the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from ipaddress import IPv4Network
from typing import Any

from facts.table import table


@dataclass(frozen=True)
class Like:
    """A check that a text matches `pattern` as a whole. ValueError that says it is not `what`."""

    pattern: str
    what: str

    def __call__(self, text: str) -> str:
        """The text, where it has the form. Raises ValueError."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{shown(text)} is not {self.what}")
        return text


_CREDENTIALS = re.compile(r"//[^/\s@]*@|\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN.*", re.DOTALL)


def shown(text: str) -> str:
    """A text as a message quotes it: cut, and without what may be a password or a key."""
    return repr(_CREDENTIALS.sub("//***@" if "//" in text else "***", text)[:60])


def number(value: Any) -> Any:
    """A number from text: `pulumi config set --path` writes whole numbers as numbers, and fractions as text."""
    if not isinstance(value, str) or not re.fullmatch(
        r"[-+]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})([eE][-+]?\d{1,2})?", value, re.ASCII
    ):
        return value
    read = float(value)
    return int(read) if read.is_integer() else read


def truth(value: Any) -> Any:
    """True or false from text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


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
    """A day of the calendar; the CLI hands one without quotes over as its midnight. ValueError where it is none."""
    try:
        return value if isinstance(value, date) else date.fromisoformat(value.removesuffix(" 00:00:00 +0000 UTC"))
    except (AttributeError, TypeError, ValueError):
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


def domain(text: str) -> str:
    """A domain in the form that DNS has it. ValueError that says what was meant, where that can be told."""
    labels = text.split(".")
    good = len(labels) > 1 and all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in labels)
    if good and re.fullmatch(r"[a-z]{2,}|xn--[a-z0-9-]+", labels[-1]):
        if long := next((label for label in labels if len(label) > LONGEST_LABEL), None):
            raise ValueError(
                f"{shown(long)} has {len(long)} characters; a part of a domain has at most {LONGEST_LABEL}"
            )
        if len(text) > LONGEST_DOMAIN:
            raise ValueError(
                f"has {len(text)} characters; at most {LONGEST_DOMAIN}, so that names below it fit DNS's 253"
            )
        return text
    meant = re.sub(r"^[a-z]+://|[/:?#].*$|\.$", "", text.strip().lower())
    try:
        meant = meant.encode("idna").decode()
    except UnicodeError:
        meant = ""
    if meant and meant != text and "." in meant and re.fullmatch(r"[a-z0-9.-]+", meant):
        raise ValueError(f"{shown(text)} is not a domain as DNS has it; did you mean {meant}?")
    raise ValueError(f"{shown(text)} is not a domain such as hal9.example.com")


LONGEST_LABEL = 63
LONGEST_DOMAIN = 253 - len("_acm-challenge-validations-0123456789abcdef.origin.")
"""Characters of a domain that leave room for the names that the program and ACM make below it (RFC 1035: 253)."""
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{1,256}")


def tag_value(text: str) -> str:
    """A text that every AWS service takes as a tag's value (Tagging API Reference). ValueError where none does."""
    if not text.strip():
        raise ValueError("is empty; who answers for the stack, such as hal9-platform")
    if not _TAG_VALUE.fullmatch(text) or text != text.strip():
        raise ValueError(f"{shown(text)} is no tag of AWS: at most 256 letters, digits, spaces and _ . : / = + - @")
    return text


def https_url(text: str) -> str:
    """An https:// address without a user name or password in it."""
    if re.match(r"[a-z]+://[^/\s]*@", text, re.IGNORECASE):
        raise ValueError("has a user name or password in it; an https:// address without, as it is public")
    if not re.fullmatch(r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[^\s]*)?", text):
        raise ValueError(f"{shown(text)} is not an https:// address such as https://id.hal9.ai/")
    return text


def slot_range(text: str) -> str:
    """A range of slots such as 0-333."""
    if re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError(f"{text!r} is one slot; as a range {text}-{text}")
    if not re.fullmatch(r"[0-9]{1,6}-[0-9]{1,6}", text):
        raise ValueError(f"{shown(text)} is not a range of slots such as 0-333")
    start, end = map(int, text.split("-"))
    if start > end:
        raise ValueError(f"{text} is reversed; {end}-{start}")
    return text


def clock(text: str) -> str:
    """A time of day such as 07:00."""
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        return text
    right = (
        "; a day ends at 23:59" if text == "24:00" else f"; 0{text}" if re.fullmatch(r"[0-9]:[0-5][0-9]", text) else ""
    )
    raise ValueError(f"{shown(text)} is not a time of day such as 07:00{right}")


def cpus(value: Any) -> Any:
    """CPUs as a number of cores; ValueError for Kubernetes' own form, with what it comes to."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}m", value):
        raise ValueError(f"{value!r} is Kubernetes' form; in cores {int(value[:-1]) / 1000:g}")
    return value


def gibibytes(value: Any) -> Any:
    """Memory as a number of GiB; ValueError for Kubernetes' own form, with what it comes to."""
    if isinstance(value, str) and (found := re.fullmatch(r"([0-9]{1,9})([MG])i", value)):
        raise ValueError(f"{value!r} is Kubernetes' form; in GiB {int(found[1]) / (1024 if found[2] == 'M' else 1):g}")
    return value


def log_days(days: int) -> int:
    """Days for which CloudWatch keeps logs; ValueError with the next ones where it does not know them."""
    known: list[int] = sorted(table("log_retention").content)
    if days not in known:
        below = [str(day) for day in known if day < days][-1:]
        above = [str(day) for day in known if day > days][:1]
        raise ValueError(f"{days} days are none that CloudWatch keeps logs for; {' or '.join(below + above)}")
    return days

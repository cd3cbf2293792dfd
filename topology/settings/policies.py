"""Exceptions from the policies, and refused edits that are let through."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from topology import forms
from topology.forms import Like
from topology.settings.base import Settings


class PolicyException(Settings):
    """A resource that a policy does not judge until a day: `resource`
    is its logical name, `reason` for whoever reads it.

    Whether there is such a policy, and whether the day has come, is the policies' own to say (policies/exceptions.py).
    """

    policy: Annotated[
        str, AfterValidator(Like(r"[a-z0-9]+(-[a-z0-9]+)*", "a policy's name such as rds-retention-explicit"))
    ] = Field(examples=["none"])
    resource: Annotated[str, AfterValidator(Like(r"\S+", "a resource's logical name such as shard-0-us-west"))] = Field(
        examples=["none"]
    )
    reason: Annotated[str, AfterValidator(Like(r".*\S.*", "a reason"))] = Field(examples=["none"])
    until: Annotated[
        date, PlainValidator(forms.day), WithJsonSchema({"type": "string", "description": "a day such as 2030-01-31"})
    ] = Field(examples=["2000-01-01"])


_TEXT = re.compile(r"(?P<stack>[^/:]+)/(?P<path>[^:]+):(?P<reason>.*)", re.DOTALL)


class Acceptance(Settings):
    """A refused edit that a person lets through once: `{stack: prod, path: domain, reason: the brand has a new name}`.

    `path` is the one that the refusal names. It holds for the step in which it comes, and is taken out at the next.
    """

    stack: Annotated[str, AfterValidator(Like(r"[^/:\s]+", "a stack's name such as prod"))] = Field(examples=["prod"])
    path: Annotated[str, AfterValidator(Like(r"\S+", "a refusal's path such as shards[1].home"))] = Field(
        examples=["domain"]
    )
    reason: Annotated[str, AfterValidator(Like(r"(?s).*\S.*", "a reason"))] = Field(examples=["none"])

    @classmethod
    def of(cls, text: str) -> Acceptance:
        """From one text, `prod/domain: reason`. ValueError where stack, path or reason is missing."""
        found = _TEXT.fullmatch(text.strip())
        if not found or not found["reason"].strip():
            raise ValueError(f"{text!r} is not STACK/PATH: REASON, such as prod/domain: the brand has a new name")
        path = found["path"].removeprefix("hal9:").strip()
        return cls(stack=found["stack"], path=path, reason=found["reason"].strip())

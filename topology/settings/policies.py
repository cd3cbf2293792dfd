"""Exceptions from the policies."""

from __future__ import annotations

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

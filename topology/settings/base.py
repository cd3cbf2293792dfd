"""What every part of a stack file is made of: an immutable model, and the forms of single values."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

from topology import forms

MOST = 2**31 - 1
"""What APIs take as a whole number."""
AS_NUMBER = BeforeValidator(forms.number)
"""Takes a number as `pulumi config set --path` may write it. Last of
its annotations, so that the bounds reach the schema.
"""
Positive = Annotated[int, Field(ge=1, le=MOST), AS_NUMBER]
Percent = Annotated[int, Field(ge=1, le=100), AS_NUMBER]
Quantity = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False), AS_NUMBER]
Switch = Annotated[bool, BeforeValidator(forms.truth)]
Distance = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False), AS_NUMBER]
LogDays = Annotated[int, AfterValidator(forms.log_days), AS_NUMBER]
HttpsUrl = Annotated[str, AfterValidator(forms.https_url)]
Block = Annotated[
    IPv4Network,
    PlainValidator(forms.block),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9.]+/[0-9]{1,2}$", "description": "an IPv4 block such as 10.0.0.0/16"}
    ),
]


class Settings(pydantic.BaseModel):
    """Base of every part: immutable, camelCase keys, unknown keys refused, no silent conversion."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

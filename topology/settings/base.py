"""What every part of a stack file is made of: an immutable model, and the forms of single values."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic.alias_generators import to_camel

from topology import forms

Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=1, le=100)]
Quantity = Annotated[float, BeforeValidator(forms.number), Field(gt=0, allow_inf_nan=False)]
HttpsUrl = Annotated[str, AfterValidator(forms.Like(r"https://\S+", "an https:// address"))]
Block = Annotated[IPv4Network, PlainValidator(forms.block)]


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

"""The app: its pods, its requests' limits, and whose tokens it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from app.deployment import LimitConfig
from topology import forms
from topology.forms import Like
from topology.settings.base import HttpsUrl, Percent, Positive, Quantity, Settings, Switch

Audience = Annotated[
    str, AfterValidator(Like(r"\S{1,256}", "an audience of tokens such as hal9: 1 to 256 characters, no blank"))
]


def repository(text: str) -> str:
    """An image below each region's registry. ValueError for a whole reference, with what would be right."""
    first, _, rest = text.partition("/")
    if rest and ("." in first or ":" in first):
        raise ValueError(f"names a registry, {first}; every region has its own: {rest}")
    return text


Cores = Annotated[Quantity, BeforeValidator(forms.cpus)]
Memory = Annotated[Quantity, BeforeValidator(forms.gibibytes)]


class Resources(Settings):
    """What one `hal9-server` pod asks for and may use (specification:
    1 and 2 CPUs, 2 and 4 GiB). CPUs in cores, memory in GiB.
    """

    cpu_request: Cores = 1
    cpu_limit: Cores = 2
    memory_request_gib: Memory = 2
    memory_limit_gib: Memory = 4
    sidecar_cpu_request: Cores = 0.1
    sidecar_memory_request_gib: Memory = 0.125


class Server(Settings):
    """The `hal9-server` workload. `image` is a repository path below
    the registry with a digest; `make image` writes it.
    """

    image: Annotated[
        str,
        AfterValidator(
            Like(
                r"[a-z0-9][a-z0-9/._-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
                "a repository with a tag or digest, such as hal9-server@sha256: and 64 hexadecimal digits",
            )
        ),
        AfterValidator(repository),
    ] = "hal9-server"
    deployed: Switch = True
    """False: AWS alone, nothing inside the clusters yet. For the first `up`, when there is no registry to push to."""
    resources: Resources = Resources()
    max_surge_percent: Percent = 25


class Limits(Settings):
    """The app's rate limits, requests a second and bursts, and how many items a user may have."""

    user_rate: Quantity = LimitConfig().user_rate
    user_burst: Positive = LimitConfig().user_burst
    global_rate: Quantity = LimitConfig().global_rate
    global_burst: Positive = LimitConfig().global_burst
    items_per_user: Positive = LimitConfig().items_per_user


class Identity(Settings):
    """The identity provider whose tokens the app takes."""

    issuer: HttpsUrl = Field(examples=["https://id.example.com/"])
    audience: Audience = Field(examples=["hal9"])
    service_audience: Audience = Field(examples=["hal9-users"])
    jwks: HttpsUrl = Field(examples=["https://id.example.com/jwks.json"])

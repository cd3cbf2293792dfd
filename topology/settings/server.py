"""The app: its pods, its requests' limits, and whose tokens it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from app.deployment import LimitConfig
from topology.forms import Like
from topology.settings.base import HttpsUrl, Percent, Positive, Quantity, Settings


class Resources(Settings):
    """What one `hal9-server` pod asks for and may use (specification: 1 and 2 CPUs, 2 and 4 GiB). CPUs in cores, memory in GiB."""

    cpu_request: Quantity = 1
    cpu_limit: Quantity = 2
    memory_request_gib: Quantity = 2
    memory_limit_gib: Quantity = 4
    sidecar_cpu_request: Quantity = 0.1
    sidecar_memory_request_gib: Quantity = 0.125


class Server(Settings):
    """The `hal9-server` workload. `image` is a repository path below the registry with a digest; `make image` writes it."""

    image: Annotated[
        str,
        AfterValidator(
            Like(
                r"[a-z0-9][a-z0-9/._-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
                "a repository with a tag or digest, such as hal9-server@sha256: and 64 hexadecimal digits",
            )
        ),
    ] = "hal9-server"
    deployed: bool = True
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
    audience: str = Field(examples=["hal9"])
    service_audience: str = Field(examples=["hal9-users"])
    jwks: HttpsUrl = Field(examples=["https://id.example.com/jwks.json"])

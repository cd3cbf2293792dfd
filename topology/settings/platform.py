"""What stands beside the app in each cluster: the gateway, the mesh, monitoring."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from topology.forms import Like
from topology.settings.base import AS_NUMBER, MOST, Distance, HttpsUrl, Positive, Settings


class Gateway(Settings):
    """nginx in each region. `image` is a whole reference; in
    production with its digest. Rates are the specification's.
    """

    image: Annotated[
        str,
        AfterValidator(
            Like(
                r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
                "an image with a tag or digest, such as public.ecr.aws/nginx/nginx-unprivileged:1.28.0",
            )
        ),
    ] = "public.ecr.aws/nginx/nginx-unprivileged:1.28.0"
    replicas: Annotated[int, Field(ge=2, le=MOST), AS_NUMBER] = 3
    address_rate: Positive = 100
    address_burst: Positive = 200


class Mesh(Settings):
    """Istio. `weights` split requests that carry no region, in
    percent; default: evenly, as the specification's 34/33/33.
    """

    weights: dict[str, Annotated[int, Field(ge=0, le=100), AS_NUMBER]] | None = None


class Monitoring(Settings):
    """Prometheus in each region. `distance_seconds`: the round trip that distance alone costs, by pair `source
    destination`; the specification's alert on latency between regions is about what comes on top of it. `runbooks`:
    where docs/runbooks can be read, so that an alert's link opens in a mail.
    """

    retention_days: Positive = 15
    storage_gib: Annotated[int, Field(ge=1, le=16_384), AS_NUMBER] = 50
    session_key_days: Positive = 90
    runbooks: HttpsUrl | None = None
    distance_seconds: dict[str, Distance] = Field({})

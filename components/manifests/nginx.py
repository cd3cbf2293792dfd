"""nginx's configuration, of a region's cluster and of the lab: one template, typed inputs, no Pulumi.

The specification's section 5 with its numbers, corrected where it would not work: rate zones in `http`, 429, the real
address from trusted hops only, keep-alive to the upstream that WebSocket does not break, TLS 1.3. The local servers
come first; the other regions are backup, by mutual TLS to their nginx, which answers from its own region alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from topology import ports

COUNTED_FORMAT = "$status $request_time $passed"
"""What app/gateway reads; its FORMAT is the same (that module
needs the app's own packages, which the program has not).
"""
TEMPLATES = Path(__file__).parent / "templates" / "nginx"


@dataclass(frozen=True)
class Upstream:
    """A `hal9-server` of this region, plain HTTP."""

    host: str
    port: int
    weight: int = 10


@dataclass(frozen=True)
class Peer:
    """The nginx of another region: its port for peers, always mutual TLS."""

    region: str
    host: str
    port: int


@dataclass(frozen=True)
class Gateway:
    """One nginx. Rates in requests a second for one address and one
    user; `listen*` as nginx writes them (port or address:port).

    `directory` holds its pid, sockets and temporary files. `origin_map` is the file, written by the start script, that
    knows the edge's secret; empty: everybody is let in (the lab has no edge). `resolver` empty: peers are looked up
    once, at start. `counted_log`: the Unix socket on which each answer is counted (app/gateway); empty: none is.
    """

    region: str
    server_name: str
    local: tuple[Upstream, ...]
    default_region: str
    certificate: str
    key: str
    authority: str
    address_rate: float
    address_burst: int
    user_rate: float
    user_burst: int
    max_body_bytes: int
    session_cookie: str
    peers: tuple[Peer, ...] = ()
    peer_name: str = "gateway.hal9.internal"
    countries: Mapping[str, str] = field(default_factory=dict)
    trusted_cidrs: tuple[str, ...] = ()
    listen: str = str(ports.GATEWAY)
    listen_peers: str = str(ports.GATEWAY_PEERS)
    listen_health: str = str(ports.GATEWAY_HEALTH)
    origin_map: str = ""
    upstream_host: str = ""
    resolver: str = ""
    directory: str = "/tmp"
    access_log: str = "/dev/stdout"
    counted_log: str = ""
    workers: str = "auto"
    connections: int = 8192
    shutdown_seconds: int = 30


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - nginx's configuration is no HTML
    )


def render(gateway: Gateway) -> str:
    """The whole `nginx.conf`. Raises ValueError where there is no local server: nginx needs one."""
    if not gateway.local:
        raise ValueError(f"{gateway.region} has no local server; nginx's upstream needs at least one")
    return _environment().get_template("nginx.conf.j2").render(gateway=gateway, counted_format=COUNTED_FORMAT)


def start_script(gateway: Gateway, configuration: str, origin_secret: str, reload_seconds: int = 10) -> str:
    """The container's command: writes the edge's secret in nginx's words, starts nginx, reloads it when a file changes.

    `configuration` and `origin_secret` are paths of mounted files.
    """
    watched = [configuration, gateway.certificate, gateway.key, gateway.authority]
    return (
        _environment()
        .get_template("start.sh.j2")
        .render(
            gateway=gateway,
            configuration=configuration,
            origin_secret=origin_secret,
            watched=[*watched, origin_secret] if gateway.origin_map else watched,
            reload_seconds=reload_seconds,
        )
    )

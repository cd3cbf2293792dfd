"""A name server of its own for a test: a load balancer's name means what the test says it means."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address

TTL_SECONDS = 60
"""What AWS answers for a load balancer."""
_A, _IN, _NO_SUCH_NAME = 1, 1, 3


@contextlib.contextmanager
def name_server(names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Answers `names` with their IPv4 addresses and every other name
    with NXDOMAIN; yields `address:port` of its UDP socket.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        host, port = server.getsockname()
        thread = threading.Thread(target=_serve, args=(server, names), daemon=True)
        thread.start()
        yield f"{host}:{port}"
        server.sendto(b"", (host, port))
        thread.join()


def _serve(server: socket.socket, names: Mapping[str, Sequence[str]]) -> None:
    while True:
        asked, sender = server.recvfrom(4096)
        if not asked:
            return
        server.sendto(answer(asked, names), sender)


def answer(asked: bytes, names: Mapping[str, Sequence[str]]) -> bytes:
    """The DNS message (RFC 1035) that answers a message with one question."""
    labels, at = [], 12
    while size := asked[at]:
        labels.append(asked[at + 1 : at + 1 + size].decode())
        at += 1 + size
    (kind,) = struct.unpack("!H", asked[at + 1 : at + 3])
    question, found = asked[12 : at + 5], names.get(".".join(labels).lower())
    addresses = (found or ()) if kind == _A else ()
    flags = 0x8580 | (0 if found else _NO_SUCH_NAME)
    header = asked[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, _A, _IN, TTL_SECONDS, 4)
    return header + question + b"".join(record + IPv4Address(one).packed for one in addresses)

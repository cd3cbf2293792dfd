"""The yardstick of the full stack: a bare ASGI echo on the same server, `python -m bench.app.echo PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from starlette.types import Receive, Scope, Send

from app.http.serve import Port


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body, whatever was asked."""
    del scope
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main(port: int) -> None:
    """Serve until killed."""
    await Port(echo, port, "127.0.0.1").open()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""`python -m app --document FILE`: serve HAL9 as the deployment document says, until SIGTERM."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from app.document import DocumentError
from app.http.serve import PortInUse
from app.server import Server
from app.sessions.crypto import KeyringError


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after a drain, 2 for what the operator has to mend, told in one line and no traceback."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve HAL9 until SIGTERM.")
    parser.add_argument("--document", type=Path, required=True, metavar="FILE", help="the deployment document, JSON")
    given = parser.parse_args(arguments)
    try:
        uvloop.run(_serve(given.document))
    except (DocumentError, KeyringError, PortInUse) as error:
        print(f"hal9: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(document: Path) -> None:
    server = Server(document)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    await server.run()


if __name__ == "__main__":
    console.run(main)

"""The bill of materials of the app's image, as CycloneDX JSON: every package of app/requirements.txt with its hashes.

    python -m tools.sbom > hal9-server.cdx.json

The lock file decides what the image installs, by hash, so it is the bill's only source; `make test-image` holds the
built image to it. What the base image holds is told by whoever publishes that; buildx attests both (tools/image.py).
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "app" / "requirements.txt"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.+?))? \\?$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """One line of the lock file. `marker`: where it is installed,
    empty for everywhere; `hashes`: SHA-256 of its files.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def packages(lock: str) -> Iterator[Package]:
    """What a lock file names, in its order. ValueError where a package has no hash."""
    found = list(_PINNED.finditer(lock))
    for index, one in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(lock)
        hashes = tuple(_HASH.findall(lock[one.end() : end]))
        if not hashes:
            raise ValueError(f"{one[1]} {one[2]} has no hash in the lock file")
        yield Package(one[1], one[2], one[3] or "", hashes)


def bill(lock: str) -> dict[str, Any]:
    """The bill of a lock file. The same lock gives the same
    bill: its serial number is made from the lock's own digest.
    """
    digest = hashlib.sha256(lock.encode()).digest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "hal9-server", "bom-ref": "hal9-server"}},
        "components": [_component(one) for one in packages(lock)],
    }


def _component(package: Package) -> dict[str, Any]:
    url = f"pkg:pypi/{package.name}@{package.version}"
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": package.name,
        "version": package.version,
        "purl": url,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{package.version}/",
                "hashes": [{"alg": "SHA-256", "content": value} for value in package.hashes],
            }
        ],
    }
    if package.marker:
        found["properties"] = [{"name": "hal9:marker", "value": package.marker}]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the bill; exit status 0."""
    argparse.ArgumentParser(prog="python -m tools.sbom", description=__doc__.splitlines()[0]).parse_args(arguments)
    json.dump(bill(LOCK.read_text("utf-8")), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    console.run(main)

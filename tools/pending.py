"""Writes a `pulumi import` file of the creates that a killed `pulumi up` left pending: docs/runbooks/interrupted-up.md.

    pulumi stack export | python -m tools.pending > found.json

Every resource is in it with its type, name, parent and provider; `id` is left empty for what is found in AWS.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

NOT_IN_A_CLOUD = frozenset({"random", "tls", "pulumi"})
"""Packages whose resources are nowhere but in the state: what was lost is made anew."""


def import_file(exported: Mapping[str, Any], ids: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The import file of an exported stack's pending creates. `ids` by URN; what has none gets an empty one."""
    names: dict[str, str] = {}
    resources: list[dict[str, str]] = []
    for operation in exported["deployment"].get("pending_operations") or []:
        resource = operation["resource"]
        if operation["type"] != "creating" or resource["type"].split(":")[0] in NOT_IN_A_CLOUD:
            continue
        entry = {"type": resource["type"], "name": _name(resource["urn"]), "id": (ids or {}).get(resource["urn"], "")}
        related = {"parent": resource.get("parent"), "provider": (resource.get("provider") or "").rpartition("::")[0]}
        for role, urn in related.items():
            if urn and not urn.split("::")[2].endswith("pulumi:pulumi:Stack"):
                entry[role] = _entered(names, urn)
        resources.append(entry)
    return {"nameTable": names, "resources": resources}


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


def _entered(names: dict[str, str], urn: str) -> str:
    """A word for a URN in the file's table of names: components of two kinds may be called alike."""
    word = f"{urn.split('::')[2].rpartition(':')[2]}-{_name(urn)}"
    names[word] = urn
    return word


def main() -> int:
    """Reads `pulumi stack export` and writes the import file; 1 where it is given something else."""
    parser = argparse.ArgumentParser(prog="python -m tools.pending", description=__doc__.splitlines()[0])
    parser.parse_args()
    try:
        found = import_file(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError):
        print("standard input is no exported stack: pulumi stack export | python -m tools.pending", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    console.run(main)

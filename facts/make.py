"""`python -m facts.make [TABLE ...]`: makes the generated tables again, from packages and from AWS's own provider.

A table whose tool is not installed is left as it is, and said so. What changed shows in `git diff`.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from facts.table import DATA
from tools.provider import protocol, replacements
from topology.catalog import CLOUDFRONT_PREFIX_LISTS

REGIONS = sorted(CLOUDFRONT_PREFIX_LISTS)
"""The AWS regions that a stack file may name: those whose load balancers know CloudFront's addresses."""


class Absent(Exception):
    """A tool that a table is made with is not on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the tables; 1 where one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m facts.make", description=__doc__)
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"one of {', '.join(MAKERS)}; all where none is named"
    )
    wanted = parser.parse_args(arguments).tables or list(MAKERS)
    if strange := sorted(set(wanted) - MAKERS.keys()):
        parser.error(f"no table is called {', '.join(strange)}; there are {', '.join(MAKERS)}")
    skipped = 0
    for name in wanted:
        try:
            what, source, version, content = MAKERS[name]()
        except Absent as error:
            print(f"{name}: left as it is; {error}", file=sys.stderr)
            skipped += 1
            continue
        write(name, what, source, version, content)
        print(f"{name}: {source} {version}")
    return int(skipped > 0)


def write(name: str, what: str, source: str, version: str, content: Any) -> None:
    """One table, a line an entry, so that a change of one is a changed line."""
    head = {"what": what, "source": source, "version": version, "date": datetime.now(UTC).date().isoformat()}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append(f' "content": {_lines(content, 1)}')
    (DATA / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _lines(value: Any, depth: int) -> str:
    if not isinstance(value, dict) or not value or len(json.dumps(value)) < 120:
        return json.dumps(value)
    indent = " " * (depth + 1)
    inner = [f"{indent}{json.dumps(key)}: {_lines(inner, depth + 1)}" for key, inner in value.items()]
    return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"


def _offerings() -> tuple[str, str, str, Any]:
    source = importlib.import_module("facts.sources.offerings")
    what = "instance types by AWS region, family and zones (letters): the sizes sold in just those zones"
    return what, source.SOURCE, source.version(), source.offerings(REGIONS)


def _sizes() -> tuple[str, str, str, Any]:
    source = importlib.import_module("facts.sources.offerings")
    return "vCPUs, GiB and architecture by instance type", source.SOURCE, source.version(), source.sizes()


def _metrics() -> tuple[str, str, str, Any]:
    source = _cdk()
    with source.Library() as library:
        what = "CloudWatch's metrics by namespace, with the sets of dimensions under which each exists"
        return what, source.SOURCE, source.version(), library.metrics()


def _log_retention() -> tuple[str, str, str, Any]:
    source = _cdk()
    with source.Library() as library:
        return "days for which CloudWatch keeps logs", source.SOURCE, source.version(), library.retention_days()


def _properties() -> tuple[str, str, str, Any]:
    plugin = protocol.installed()
    if plugin is None:
        raise Absent("AWS's Terraform provider is not installed; HAL9_AWS_PLUGIN names its executable")
    version, found = replacements.replacements(plugin)
    what = "by type of both stacks' plans: properties that replace a resource, and those that cannot be asked about"
    return what, replacements.SOURCE, version, found


def _cdk() -> Any:
    if not shutil.which("npm"):
        raise Absent("npm is not installed")
    return importlib.import_module("facts.sources.metrics")


MAKERS: dict[str, Callable[[], tuple[str, str, str, Any]]] = {
    "offerings": _offerings,
    "sizes": _sizes,
    "metrics": _metrics,
    "log_retention": _log_retention,
    "properties": _properties,
}

if __name__ == "__main__":
    console.run(main)

"""CloudWatch's metrics with the dimensions under which they exist,
from the metrics that aws-cdk-lib generates of AWS's list.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Self

SOURCE = "aws-cdk-lib (npm), *-canned-metrics.generated"
PACKAGE = "aws-cdk-lib@2.276.0"
NAMESPACES = (
    "AWS/RDS",
    "AWS/ElastiCache",
    "AWS/NetworkELB",
    "AWS/CloudFront",
    "AWS/NATGateway",
    "AWS/Route53",
    "AWS/EC2",
    "AWS/EKS",
    "AWS/SNS",
    "AWS/Logs",
    "AWS/ApplicationELB",
    "AWS/SecretsManager",
)
_TYPED = re.compile(r"static (?P<method>\w+)\(this: void, dimensions: \{(?P<dimensions>[^}]*)\}\)")
_NAMED = re.compile(
    r'static (?P<method>\w+)\(dimensions\)\{return\{namespace:"(?P<namespace>[^"]+)",metricName:"(?P<metric>[^"]+)"'
)
RETENTION = re.compile(r"enum RetentionDays \{(?P<days>.*?)\n\}", re.DOTALL)


class Library:
    """The unpacked package; a context manager that fetches it with `npm pack` and throws it away."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=root, check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        with tarfile.open(root / packed) as archive:
            wanted = [
                m
                for m in archive.getmembers()
                if "canned-metrics.generated" in m.name or m.name.endswith("aws-logs/lib/log-group.d.ts")
            ]
            archive.extractall(root, members=wanted, filter="data")
        self._root = root / "package"
        return self

    def __exit__(self, *_error: object) -> None:
        self._folder.cleanup()

    def metrics(self) -> dict[str, dict[str, list[str]]]:
        """By namespace and metric, the sets of dimensions, each as
        `CacheClusterId,CacheNodeId`; empty is the account's sum.
        """
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for code in sorted(self._root.glob("*/lib/*-canned-metrics.generated.js")):
            typed: dict[str, set[str]] = defaultdict(set)
            for match in _TYPED.finditer(code.with_suffix("").with_suffix(".generated.d.ts").read_text()):
                names = re.findall(r"(?:readonly )?\"?([\w-]+)\"?: string", match["dimensions"])
                typed[match["method"]].add(",".join(sorted(names)))
            for match in _NAMED.finditer(code.read_text()):
                found[match["namespace"]][match["metric"]] |= typed[match["method"]]
        return {
            space: {metric: sorted(sets) for metric, sets in sorted(found[space].items())}
            for space in sorted(found)
            if space in NAMESPACES
        }

    def retention_days(self) -> list[int]:
        """The days for which CloudWatch keeps a log group, ascending."""
        match = RETENTION.search((self._root / "aws-logs/lib/log-group.d.ts").read_text())
        assert match, "aws-cdk-lib has no RetentionDays any more"
        days = sorted({int(number) for number in re.findall(r"= (\d+)", match["days"])})
        return [day for day in days if day != 9999]  # 9999 is the library's own word for ever


def version() -> str:
    """The version that is asked for."""
    return PACKAGE.rpartition("@")[2]

"""Instance types by zone, from the offerings that moto carries: AWS's own answers to DescribeInstanceTypeOfferings."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import moto

SOURCE = "moto (PyPI), ec2/resources/instance_type_offerings"
WANTED = re.compile(r"([cmr][5-9][a-z0-9-]*|t3a?|t4g)\.(micro|small|medium|(\d+x|x)?large)")
"""General purpose, compute and memory types of the fifth generation on, burstable ones: what nodes may be of."""
_RESOURCES = Path(moto.__file__).parent / "ec2" / "resources"


def version() -> str:
    """moto's version."""
    return str(moto.__version__)


def offerings(regions: list[str]) -> dict[str, Any]:
    """By region: `zones`, the zones' letters; `types`, by family and letters of zones, the sizes sold in just those."""
    return {region: _region(region) for region in regions}


def sizes() -> dict[str, list[Any]]:
    """vCPUs, GiB of memory and architecture by type."""
    read = json.loads(gzip.decompress((_RESOURCES / "instance_types.json.gz").read_bytes()))
    return {
        name: [
            kind["VCpuInfo"]["DefaultVCpus"],
            kind["MemoryInfo"]["SizeInMiB"] / 1024,
            "arm64" if "arm64" in kind["ProcessorInfo"]["SupportedArchitectures"] else "amd64",
        ]
        for name, kind in sorted(read.items())
        if WANTED.fullmatch(name)
    }


def _region(region: str) -> dict[str, Any]:
    zones: dict[str, set[str]] = defaultdict(set)
    letters: set[str] = set()
    for offer in _offered("availability-zone", region):
        letter = offer["Location"].removeprefix(region)
        if len(letter) != 1:
            continue  # a local or wavelength zone
        letters.add(letter)
        if WANTED.fullmatch(offer["InstanceType"]):
            zones[offer["InstanceType"]].add(letter)
    grouped: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(zones, key=_by_size):
        family, _, size = name.partition(".")
        grouped[family]["".join(sorted(zones[name]))].append(size)
    types = {
        family: {where: " ".join(sizes) for where, sizes in sorted(by.items())}
        for family, by in sorted(grouped.items())
    }
    return {"zones": "".join(sorted(letters)), "types": types}


def _offered(by: str, region: str) -> list[dict[str, str]]:
    path = _RESOURCES / "instance_type_offerings" / by / f"{region}.json.gz"
    found: list[dict[str, str]] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def _by_size(name: str) -> tuple[str, float]:
    family, _, size = name.partition(".")
    small = {"micro": 0.1, "small": 0.2, "medium": 0.3, "large": 0.5, "xlarge": 1.0}
    return family, small.get(size) or float(size.removesuffix("xlarge"))

"""`helm template` with our values, and a check that no value is misspelt."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import sources

Object = dict[str, Any]
FREE = {
    "annotations",
    "podAnnotations",
    "labels",
    "config",
    "meshConfig",
    "extraArgs",
    "expanderPriorities",
    "meshNetworks",
    "env",
    "resources",
    "tolerations",
}
"""Values that a chart takes as they are: what is in them is the reader's business, not the chart's."""


class ChartError(AssertionError):
    """helm could not render a chart with our values; the message is helm's own."""


def template(
    helm: Path, release: Mapping[str, Any], folder: Path, values: Mapping[str, Any] | None = None
) -> list[Object]:
    """What the real chart renders with a release's values. Raises ChartError."""
    chart = sources.chart(release["chart"])
    assert chart is not None
    given = folder / f"{release['name']}.yaml"
    given.write_text(yaml.safe_dump(dict(values if values is not None else release["values"])))
    done = subprocess.run(
        [
            helm,
            "template",
            release["name"],
            chart,
            f"--namespace={release['namespace']}",
            f"--values={given}",
            "--kube-version=1.35.0",
            "--include-crds",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        raise ChartError(f"{release['chart']}: {done.stderr}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def misspelt(release: Mapping[str, Any]) -> list[str]:
    """The paths of values that the chart's own values.yaml does not have.

    Charts without a schema silently ignore a key that they do not know. Istio's keep their defaults one level down.
    """
    chart = sources.chart(release["chart"])
    assert chart is not None
    defaults = yaml.safe_load((chart / "values.yaml").read_text()) or {}
    inner = defaults.get("_internal_defaults_do_not_set")
    if inner is not None:
        defaults = {
            **copy.deepcopy(inner),
            **{k: v for k, v in defaults.items() if k != "_internal_defaults_do_not_set"},
        }
    return list(_unknown(release["values"], defaults, ""))


def _unknown(given: Any, known: Any, path: str) -> Iterator[str]:
    if not isinstance(given, Mapping) or not isinstance(known, Mapping):
        return
    for key, value in given.items():
        place = f"{path}.{key}" if path else str(key)
        if key not in known:
            yield place
        elif key not in FREE and known[key] not in ({}, None):
            yield from _unknown(value, known[key], place)

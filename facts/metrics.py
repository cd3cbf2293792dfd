"""CloudWatch's metrics: under which dimensions each exists, and how long logs are kept."""

from __future__ import annotations

import difflib

from facts.table import table

OWN = "AWS/"
"""What the namespaces of AWS's own metrics begin with; others are published by somebody whom no table knows."""


def source(namespace: str = "", metric: str = "") -> str:
    """Where a metric's dimensions were taken from, as a finding names it."""
    return table("metrics_of_guides" if metric in _of_guides(namespace) else "metrics").cited


def dimension_sets(namespace: str, metric: str) -> list[frozenset[str]] | None:
    """The sets of dimensions under which a metric exists, or None where no source has the metric."""
    known = table("metrics").content.get(namespace, {}).get(metric) or _of_guides(namespace).get(metric)
    return None if known is None else [frozenset(filter(None, names.split(","))) for names in known]


def known_metrics(namespace: str) -> list[str]:
    """Every metric of a namespace that a source has."""
    return sorted({*table("metrics").content.get(namespace, {}), *_of_guides(namespace)})


def nearest_metric(namespace: str, metric: str) -> str | None:
    """The known metric whose name is most like `metric`."""
    return next(iter(difflib.get_close_matches(metric, known_metrics(namespace), n=1, cutoff=0.5)), None)


def retention_days() -> list[int]:
    """The days for which CloudWatch keeps a log group, ascending; no others are taken."""
    return list(table("log_retention").content)


def retention_source() -> str:
    """Where they were taken from."""
    return table("log_retention").cited


def nearest_retention(days: int) -> int:
    """The fewest days that CloudWatch takes and that keep at least `days`; its most where that is not enough."""
    return next((known for known in retention_days() if known >= days), retention_days()[-1])


def _of_guides(namespace: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = table("metrics_of_guides").content.get(namespace, {})
    return found

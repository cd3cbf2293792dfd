"""promtool's unit tests, written in Python: series in, firing
alerts and values out. Go builds it (`make test-rules`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import build

Groups = Sequence[Mapping[str, Any]]


def check(groups: Groups, folder: Path) -> str:
    """`promtool check rules`: what it found wrong, or empty."""
    return _run(["check", "rules", "rules.yaml"], groups, [], folder)


def alerts(
    groups: Groups,
    folder: Path,
    series: Mapping[str, str],
    at: str,
    expected: Mapping[str, Sequence[Mapping[str, Any]]],
    interval: str = "1m",
) -> str:
    """What does not hold of: with `series` (promtool's notation) the alerts by name fire at `at` with these labels and
    annotations (`exp_labels`, `exp_annotations`), each listed one, and an alert with an empty list is silent."""
    groups = [{**group, "interval": interval} for group in groups]
    test = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": name, "exp_alerts": [dict(one) for one in found]}
            for name, found in expected.items()
        ],
    }
    return _run(["test", "rules", "tests.yaml"], groups, [test], folder)


def values(groups: Groups, folder: Path, expected: Mapping[str, Mapping[str, float]]) -> str:
    """What does not hold of: at a time (promtool's duration
    from the epoch) an expression without labels has a value.
    """
    tests = {
        "interval": str(groups[0].get("interval", "1m")) if groups else "1h",
        "input_series": [],
        "promql_expr_test": [
            {"expr": f"max({expr})", "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}
            for expr, found in expected.items()
            for at, value in found.items()
        ],
    }
    return _run(["test", "rules", "tests.yaml"], groups, [tests], folder)


def _run(command: list[str], groups: Groups, tests: list[dict[str, Any]], folder: Path) -> str:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": list(groups)}, sort_keys=False))
    # Without rules there is nothing to evaluate on the way to a late time.
    step = str(groups[0].get("interval", "1m")) if groups else "1h"
    document = {
        "rule_files": ["rules.yaml"] if groups else [],
        "evaluation_interval": step,
        # Else promtool takes the groups in any order, and an alert may see its recording rules one step late.
        "group_eval_order": [str(group["name"]) for group in groups],
        "tests": tests,
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        program = build.binary("promtool")
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the rules lane is skipped")
    done = subprocess.run([program, *command], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr

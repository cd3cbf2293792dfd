"""A judgement for code scanning, as SARIF 2.1.0: each policy
a rule, each violation a result at the stack file's key.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from policies.judge import Judgement, Verdict
from policies.policy import Level, Policy, Violation

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Level.MANDATORY: "error", Level.ADVISORY: "warning", Level.DISABLED: "none"}
_EXCEPTIONS = "exceptions-current"


def sarif(judgement: Judgement, stack_file: Path) -> str:
    """SARIF of a judgement. Results are in `stack_file`, at
    the line of the key that the fix names where it is there.
    """
    lines = stack_file.read_text("utf-8").splitlines()
    shown = stack_file.name
    results = [
        _result(verdict.policy.name, _LEVELS[verdict.level], message, shown, _line(verdict.policy, lines), found)
        for verdict in judgement.verdicts
        for found, message in verdict.violations
    ]
    for verdict in judgement.verdicts:
        for found, exception in verdict.excused:
            one = _result(
                verdict.policy.name,
                _LEVELS[verdict.level],
                verdict.policy.message(found),
                shown,
                _line(verdict.policy, lines),
                found,
            )
            until = f"until {exception.until}: {exception.reason}"
            results.append({**one, "suppressions": [{"kind": "external", "justification": until}]})
    line = next((i for i, text in enumerate(lines, 1) if "policyExceptions" in text), 1)
    results += [_result(_EXCEPTIONS, "error", mistake, shown, line) for mistake in judgement.mistakes]
    rules = [*(_rule(verdict) for verdict in judgement.verdicts), _exceptions_rule()]
    index = {rule["id"]: position for position, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = index[result["ruleId"]]
    driver = {"name": "hal9-policies", "rules": rules}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"hal9-policies/{judgement.stack}/"},  # one stack's results do not close another's
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(verdict: Verdict) -> dict[str, Any]:
    policy = verdict.policy
    return {
        "id": policy.name,
        "shortDescription": {"text": policy.prevents},
        "fullDescription": {"text": f"{policy.prevents} ({policy.reference})"},
        "help": {"text": f"Fix: {policy.fix}"},
        "defaultConfiguration": {"level": _LEVELS[policy.level], "enabled": verdict.level is not Level.DISABLED},
        "properties": {"tags": [policy.area]},
    }


def _exceptions_rule() -> dict[str, Any]:
    text = "An exception that has ended, or that excuses nothing there is, hides what it once named."
    return {"id": _EXCEPTIONS, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}


def _result(
    rule: str, level: str, message: str, shown: str, line: int, found: Violation | None = None
) -> dict[str, Any]:
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": shown}, "region": {"startLine": line}}}
    subject = found.resource.urn if found and found.resource else message
    if found and found.resource:
        place["logicalLocations"] = [
            {"name": found.resource.name, "fullyQualifiedName": found.resource.urn, "kind": "resource"}
        ]
    what = f"{rule}\0{subject}\0{found.found if found else ''}"
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": message},
        "locations": [place],
        "partialFingerprints": {"violation/v1": hashlib.sha256(what.encode()).hexdigest()[:32]},
    }


def _line(policy: Policy, lines: list[str]) -> int:
    """The line of the top key that a policy's fix names, from 1; the first where it names none that is there."""
    key = re.search(r"hal9:[A-Za-z]+", policy.fix)
    if key is None:
        return 1
    return next((i for i, text in enumerate(lines, 1) if text.strip().startswith(f"{key[0]}:")), 1)

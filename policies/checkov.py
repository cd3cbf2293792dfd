"""checkov beside the policies: what it finds in prod's plan and manifests, and what answers each finding.

    python -m policies.checkov --checkov .venv-checkov/bin/checkov [--write]

Fails on a finding without an answer, on an answer that nothing needs, and where docs/checkov.md is not what was found;
`--write` writes it. checkov misleads on a plan: it takes what is not known for missing. So each answer says who judges.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import Plan, PlanError, files, run
from plan.manifests import write_manifests
from plan.program import REPOSITORY
from policies.terraform import to_terraform

DOCUMENT = REPOSITORY / "docs" / "checkov.md"


@dataclass(frozen=True)
class Answer:
    """Why a check's finding stands: the policy that judges it rightly (empty: none), and the reason."""

    reason: str
    policy: str = ""


_INHERITED = "fails the secondaries of the Global Datastores, which must not state what they inherit"
ANSWERS: Mapping[str, Answer] = {
    "CKV2_AWS_38": Answer(
        "decided: DNSSEC needs a record at the registrar, which this program does not hold; a signed zone whose record "
        "is missing or old is a domain that is gone"
    ),
    "CKV2_AWS_39": Answer(
        "decided: a query tells a resolver's address and nothing of the user; requests are logged at the edge",
        "edge-requests-logged",
    ),
    "CKV2_AWS_42": Answer("the certificate's ARN is not known before the deployment", "listener-tls13"),
    "CKV2_AWS_47": Answer(
        "the web ACL's id is not known before the deployment; its rules have the group that is asked for",
        "edge-firewalled",
    ),
    "CKV2_AWS_57": Answer(
        "decided: these secrets are made by the program, and change with the stack file; a rotation by Lambda would "
        "change a database's password behind the program's back",
        "secrets-in-every-region",
    ),
    "CKV_AWS_157": Answer(
        "decided: a replica stands in one zone until it is promoted, as its rows are in every other region too",
        "rds-multi-az",
    ),
    "CKV_AWS_29": Answer(_INHERITED, "redis-tls-auth-multiaz"),
    "CKV_AWS_30": Answer(_INHERITED, "redis-tls-auth-multiaz"),
    "CKV_AWS_31": Answer(
        f"{_INHERITED}; of the others the password is not known before the deployment", "redis-tls-auth-multiaz"
    ),
    "CKV_AWS_305": Answer("decided: an API has no page at its root"),
    "CKV_AWS_310": Answer(
        "decided: CloudFront's failover takes no POST; Route 53 takes a dead region out for every method",
        "edge-covers-all-regions",
    ),
    "CKV_AWS_338": Answer(
        "decided: logs are kept for as long as the stack file says, 30 days at least; a year is a law's to ask for",
        "logs-kept-encrypted",
    ),
    "CKV_AWS_374": Answer(
        "decided: countries are refused by the web ACL, whose log tells who was (hal9:edge.blockedCountries)",
        "edge-firewalled",
    ),
    "CKV_AWS_86": Answer(
        "the log is a delivery to CloudWatch, which checkov does not know for CloudFront", "edge-requests-logged"
    ),
    "CKV_AWS_91": Answer(
        "decided: nginx logs each request, flow logs each connection; a network load balancer logs only TLS handshakes",
        "flow-logs-on-every-vpc",
    ),
    "CKV_K8S_14": Answer(
        "the registry's address, and so the image, is not known before the deployment", "image-digest"
    ),
    "CKV_K8S_15": Answer(
        "decided: by digest a cached image is the same image, and a pod starts while the registry is away",
        "image-digest",
    ),
    "CKV_K8S_43": Answer(
        "the registry's address, and so the image, is not known before the deployment", "image-digest"
    ),
    "CKV_K8S_8": Answer(
        "decided: the pods that keep room for the next ones sleep: they have no port, and nothing is sent to them",
        "probes-apart",
    ),
    "CKV_K8S_9": Answer("decided: nothing is sent to the pods that keep room for the next ones", "probes-apart"),
}


@dataclass(frozen=True)
class Check:
    """One check as checkov saw it: how many resources passed and failed."""

    id: str
    name: str
    passed: int
    failed: int


def checks(results: Iterable[Mapping[str, Any]]) -> list[Check]:
    """checkov's results by check, in the order of their ids."""
    names: dict[str, str] = {}
    counts: dict[str, Counter[str]] = {"passed": Counter(), "failed": Counter()}
    for result in results:
        for outcome, counter in counts.items():
            for found in result["results"][f"{outcome}_checks"]:
                names[found["check_id"]] = found["check_name"]
                counter[found["check_id"]] += 1
    return [Check(i, names[i], counts["passed"][i], counts["failed"][i]) for i in sorted(names)]


def problems(found: Sequence[Check]) -> Iterator[str]:
    """Findings without an answer, and answers without a finding."""
    failed = {check.id for check in found if check.failed}
    for check in found:
        if check.failed and check.id not in ANSWERS:
            yield f"{check.id} ({check.name}) fails {check.failed} resources and has no answer in policies/checkov.py"
    for name in sorted(ANSWERS.keys() - failed):
        yield f"{name} fails nothing any more; take its answer out of policies/checkov.py"


def document(found: Sequence[Check], version: str) -> str:
    """The comparison, check by check, as docs/checkov.md."""
    lines = [
        "# checkov and the policies, check by check",
        "",
        (
            f"Written by `make checkov` from checkov {version} on prod's plan and manifests; `make checkov` "
            "fails where it is"
        ),
        "out of date, and on a finding that nothing answers. Nobody edits it.",
        "",
        (
            "checkov reads a Terraform plan, so the plan is written as one (policies/terraform.py). It takes "
            "what is not known"
        ),
        "before the deployment for missing, and it is too lenient as well: CKV_AWS_133 passes a database without",
        "`backupRetentionPeriod`, where `rds-retention-explicit` does not.",
        "",
        "## What it finds, and what answers it",
        "",
        "| check | asks | judged by | answer |",
        "|---|---|---|---|",
    ]
    for check in found:
        if check.failed and (answer := ANSWERS.get(check.id)):
            by = f"`{answer.policy}`" if answer.policy else "nobody"
            lines.append(f"| {check.id} | {check.name} | {by} | {answer.reason} |")
    lines += ["", "## What it passes", "", "| check | asks |", "|---|---|"]
    lines += [f"| {check.id} | {check.name} |" for check in found if not check.failed]
    return "\n".join([*lines, ""])


def _scan(checkov: Path, plan: Plan) -> tuple[list[Mapping[str, Any]], str]:
    """checkov's results for a plan and its manifests, and its version."""
    results: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        files.write(Path(place) / "plan.json", json.dumps(to_terraform(plan)))
        write_manifests(plan, Path(place) / "manifests")
        for framework, what in (
            ("terraform_plan", ["--file", "plan.json"]),
            ("kubernetes", ["--directory", "manifests"]),
        ):
            command = [str(checkov), "--framework", framework, *what, "--skip-download", "--output", "json"]
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            read = json.loads(done.stdout)
            results += read if isinstance(read, list) else [read]
    return results, str(results[0]["summary"]["checkov_version"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares; 0 where every finding is answered and the document is up to date."""
    parser = argparse.ArgumentParser(prog="python -m policies.checkov", description=__doc__)
    parser.add_argument("--checkov", type=Path, required=True, metavar="FILE", help="the checkov command")
    parser.add_argument("--stack", default="prod")
    parser.add_argument("--write", action="store_true", help="write docs/checkov.md")
    options = parser.parse_args(arguments)
    try:
        results, version = _scan(options.checkov.absolute(), run(options.stack))
    except PlanError as error:
        print(error, file=sys.stderr)
        return 1
    found = checks(results)
    wrong = list(problems(found))
    text = document(found, version)
    if options.write:
        files.write(DOCUMENT, text)
    elif not DOCUMENT.exists() or DOCUMENT.read_text("utf-8") != text:
        wrong.append("docs/checkov.md is out of date; `make checkov WRITE=--write` writes it")
    for problem in wrong:
        print(problem, file=sys.stderr)
    failed = [check for check in found if check.failed]
    judged = sum(bool(a.policy) for c in failed if (a := ANSWERS.get(c.id)))
    print(f"checkov {version}: {len(found)} checks, {len(failed)} with findings, of which {judged} a policy judges")
    return int(bool(wrong))


if __name__ == "__main__":
    console.run(main)

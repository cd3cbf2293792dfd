"""Writes docs/policies.md from the policies themselves; a test fails where it is out of date."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

from policies.policy import Policy, Setting
from policies.registry import POLICIES

HEAD = """# The policies

Written by `make policies-doc` from the rules' own docstrings; a test fails where it is out of date. Nobody edits it.

`make policy STACK=prod` judges the embedded plan: what failed first, with why and by whose word, then a row for each
area; where nothing failed, three lines (`V=1` tells every policy). `out/policy-prod.xml` is JUnit for CI,
`out/policy-prod.sarif` SARIF 2.1.0 for code scanning, and the exit status is not 0 on a mandatory violation. The same
rules are a CrossGuard pack for the real engine:

    pulumi preview --policy-pack policies --policy-pack-config policies/config.prod.json

What checkov finds beside them, check by check, is in [checkov.md](checkov.md).

## How a policy is judged

- A rule is a function over a resource, or over the stack; it yields what is wrong, and knows nothing of how it is
  run. It judges inputs. (The real engine shows stack policies outputs, where what was left out cannot be told from
  what is not known; the pack keeps the inputs that it was shown before.)
- What a rule must read is a literal: an input that is not known before the deployment violates, as nothing could be
  said of it. What cannot be known in a preview, such as an image in a registry that is not there yet or a policy with
  a key's ARN in it, is counted under "at deployment": the engine asks again during `pulumi up`, before the resource
  is made.
- Secrets reach no rule, only that there is one.

## Levels and thresholds

`policies/config.<stack>.json` is CrossGuard's own format, and `make policy` names whatever in it is not a default
(`V=1`: with both values). A stack without its file is refused:

    {"three-azs-nat-per-az": {"enforcementLevel": "advisory", "natPerZone": false}, "stateful-protected": "disabled"}

Prod relaxes nothing. Dev relaxes what it needs and, by test, nothing that it does not.

Prod's file has one figure, the `usersPerPod` of `region-capacity-n-minus-1`, and it follows from a measurement:

    requests a second that a core carries (make capacity) x the pod's CPU request x the autoscaler's CPU target
    / requests a second of one user

The specification's targets together, 10,000 requests a second by 1000 users, make ten for each user. The lab's own
user asks once in some seconds, and a pod carries about fifty times as many of those; the smaller number is taken, so
that what runs when a region is lost carries both targets at once. Measured is the app's processor time under the
lab's mix ([capacity.md](capacity.md)): memory, open connections and the sidecar are not in it. `users_per_pod` of
topology/capacity.py is this arithmetic; a test fails where the file has another number, as after a new measurement or
another CPU request. The autoscaler's users a pod are a target, not the limit.

## Before it is deployed

The shipped stack files have an account and digests that are nobody's, and plan and pass as they are. `make policy`
says what to replace first; with `DEPLOY=1`, and in the real engine always, `examples-replaced` refuses them.

## What becomes of what stands

A plan alone does not say what it takes away. `make policy STACK=prod BASE=origin/main` (a git revision, a stack file,
or the record of what is deployed) asks `steps-allowed` too, which refuses an edit that is no step
([why](decisions/0007-change.md)); `.ci/run` asks it of the revision in `HAL9_BASE`. In the real engine the program asks
the stack's own record itself.

## Exceptions

An entry in the stack file excuses one resource from one policy until a day, that day included, at most 180 days ahead:

    hal9:policyExceptions:
      - policy: rds-retention-explicit
        resource: shard-0-us-west
        reason: restored from a snapshot, HAL-12
        until: 2030-01-31

What is excused stays in the report with its reason. An exception that has ended fails, whether anything needs it or
not; so does one that names a policy or a resource that is not there. One that nothing needs is shown.

## Writing one

A decorated function in the module of its area, and its name in that module's `POLICIES`. The docstring is read: what
it prevents, the references in brackets, and after a blank line `Fix:`. Then one way to break it in
tests/policies/mutations.py, and `make policies-doc`."""
AREAS = {
    "network": "Network",
    "data": "Postgres and Redis",
    "encryption": "Keys, secrets, logs, images",
    "compute": "Clusters, nodes and capacity",
    "edge": "Edge",
    "iam": "Identity, protection, parity",
    "cluster": "In the clusters",
    "mesh": "Between pods",
    "sources": "Where packets come from and go to",
    "principals": "Whose rights they are",
    "charts": "What charts bring",
    "must_exist": "What must be there",
    "fields": "What single fields must be",
    "examples": "What was shipped as an example",
    "known": "What no policy has looked at",
    "steps": "What becomes of what stands",
}


def document() -> str:
    """The whole text."""
    parts = [HEAD]
    for area, title in AREAS.items():
        parts.append(f"## {title}\n\nIn policies/rules/{area}.py.\n")
        parts += [_section(policy) for policy in POLICIES.values() if policy.area == area]
    return "\n".join(parts)


def _section(policy: Policy) -> str:
    about = ", ".join(f"`{token.rpartition(':')[2] if '*' not in token else token}`" for token in policy.types)
    lines = [
        f"### {policy.name}",
        "",
        policy.prevents,
        "",
        f"- {policy.level}, judges {'the stack' if policy.of_stack else 'each resource'}: {about}",
        f"- reference: {policy.reference}",
        f"- fix: {policy.fix}",
    ]
    lines += [f"- `{name}`: {setting.meaning}; default {_shown(setting)}" for name, setting in policy.settings.items()]
    return "\n".join([*lines, ""])


def _shown(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> int:
    """Writes the documents, and the arguments that the program sets."""
    from plan import files, run
    from plan.program import REPOSITORY
    from plan.project import read_project
    from policies import caught
    from policies.rules.fields import ARGUMENTS
    from policies.stack import Stack

    files.write(REPOSITORY / "docs" / "policies.md", document())
    stacks = {name: Stack(run(name).resources, read_project(REPOSITORY, name).config) for name in ("dev", "prod")}
    files.write(ARGUMENTS, caught.arguments(stacks.values()))
    files.write(REPOSITORY / "docs" / "weakest.md", caught.document(caught.outcomes(stacks["prod"])))
    return 0


if __name__ == "__main__":
    console.run(main)

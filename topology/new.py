r"""`make init`: a stack file for an account, a domain and regions of one's own, that passes every rule.

    python -m topology.new --stack staging --account 210987654321 --owner platform --domain staging.example.org \
        --email oncall@example.org --issuer https://id.example.org/ --regions us-west-2,eu-central-1

What is not given is asked for, where somebody is there to answer. A file that is there already is never written over.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from app.deployment import SLOTS
from facts import kubernetes
from topology import catalog
from topology.load import parse
from topology.schema import LINE
from topology.stackfile import NAMESPACE, StackFileError
from topology.switches import NO_DEFAULTS, PACKAGES

ROOT = Path(__file__).resolve().parents[1]
ZONES = 3
SPOT = ("m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m7i.2xlarge")
HEAD = """\
# Written by `make init`. Every number that is a setting and is not here has the specification's value
# (topology/settings/). `make preview STACK={stack}` shows what follows. The first `pulumi up` makes AWS alone; then
# `make image STACK={stack}`, and server.deployed true.
"""
POLICIES_OF_ONE_REGION = {"region-config-parity": {"regions": 1}, "region-capacity-n-minus-1": "disabled"}
"""What of the policies a stack with one region cannot keep; a second region makes both needless."""


@dataclass(frozen=True)
class Answers:
    """What an operator says of a new stack. `regions` are AWS's, in order."""

    stack: str
    account: str
    owner: str
    domain: str
    email: str
    issuer: str
    regions: tuple[str, ...]


QUESTIONS = {
    "stack": "The stack's name, such as staging",
    "account": "The AWS account, twelve digits",
    "owner": "Who answers for the stack, such as hal9-platform",
    "domain": "The domain that users call, such as hal9.example.org",
    "email": "Where alarms go, an e-mail address",
    "issuer": "The identity provider, such as https://id.example.org/",
    "regions": "AWS regions with commas between, such as us-west-2,eu-central-1",
}


def settings(answers: Answers) -> dict[str, Any]:
    """The settings below `hal9:` of a new stack."""
    names = [region.rpartition("-")[0] for region in answers.regions]
    names = [name if names.count(name) == 1 else region for name, region in zip(names, answers.regions, strict=True)]
    bounds = [SLOTS * place // len(names) for place in range(len(names) + 1)]
    issuer = answers.issuer if answers.issuer.endswith("/") else f"{answers.issuer}/"
    return {
        "accountId": answers.account,
        "owner": answers.owner,
        "domain": answers.domain,
        "alarmEmail": answers.email,
        "protect": True,
        "regions": {
            name: {"awsRegion": region, "cidr": f"10.{place}.0.0/16", "zones": _zones(region)}
            for place, (name, region) in enumerate(zip(names, answers.regions, strict=True))
        },
        "shards": [
            {"id": place, "home": name, "slots": [f"{bounds[place]}-{bounds[place + 1] - 1}"]}
            for place, name in enumerate(names)
        ],
        "cluster": {
            "adminRoleArns": [f"arn:aws:iam::{answers.account}:role/hal9-deployer"],
            "onDemand": {"instanceType": SPOT[0], "minNodes": 4, "maxNodes": 8},
            "spot": {"instanceTypes": list(SPOT), "minNodes": 0, "maxNodes": 20},
        },
        "server": {"deployed": False},
        "sessions": {"keyring": [{"id": "k1", "state": "active"}]},
        "identity": {
            "issuer": issuer,
            "audience": "hal9",
            "serviceAudience": "hal9-users",
            "jwks": f"{issuer}.well-known/jwks.json",
        },
    }


def _zones(region: str) -> list[str]:
    """Three zones of an AWS region in which EKS makes clusters;
    what is no region has none, and is refused by its rule.
    """
    closed = kubernetes.closed_zones(region)
    found = [region + letter for letter in catalog.AWS_REGIONS.get(region, "abc")]
    return [zone for zone in found if zone not in closed][:ZONES]


class _Dumper(yaml.SafeDumper):
    """YAML in which what begins with a digit is quoted: the two YAMLs differ in what they take for a number."""


def _quoted(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if value[:1].isdigit() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _quoted)


def text(stack: str, data: Mapping[str, Any]) -> str:
    """A stack file's text."""
    config = {NO_DEFAULTS: list(PACKAGES), **{f"{NAMESPACE}:{key}": value for key, value in data.items()}}
    body = yaml.dump({"config": config}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"{LINE}\n{HEAD.format(stack=stack)}{body}"


def write(answers: Answers, directory: Path = ROOT) -> list[Path]:
    """Writes a stack's file, and its policies' file. StackFileError
    with every mistake; FileExistsError where there is one.
    """
    data = settings(answers)
    parse(answers.stack, data)
    file = directory / f"Pulumi.{answers.stack}.yaml"
    policies = directory / "policies" / f"config.{answers.stack}.json"
    with file.open("x", encoding="utf-8") as stack_file:
        stack_file.write(text(answers.stack, data))
    written = [file]
    if not policies.exists():
        relaxed = POLICIES_OF_ONE_REGION if len(answers.regions) == 1 else {}
        policies.write_text(json.dumps(relaxed, indent=2) + "\n", "utf-8")
        written.append(policies)
    return written


def main(arguments: Sequence[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Asks for what is not given, writes the files, and says what comes next; 1 where that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m topology.new", description="write a new stack's file")
    for name, question in QUESTIONS.items():
        parser.add_argument(f"--{name}", help=question)
    given = vars(parser.parse_args(arguments))
    missing = [name for name, value in given.items() if not value]
    if missing and ask is input and not sys.stdin.isatty():
        print(f"not given, and nobody to ask: {', '.join(f'--{name}' for name in missing)}", file=sys.stderr)
        return 2
    try:
        given |= {name: ask(f"{QUESTIONS[name]}: ").strip() for name in missing}
        regions = tuple(region.strip() for region in given.pop("regions").split(",") if region.strip())
        paths = write(Answers(**given, regions=regions))
    except StackFileError as error:
        print(error, file=sys.stderr)
        return 1
    except FileExistsError as error:
        print(f"{Path(error.filename).name} is there already; it is not written over", file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nnothing was written", file=sys.stderr)
        return 130
    print(f"{' and '.join(str(path.relative_to(ROOT)) for path in paths)} written")
    print(
        f"next: make preview STACK={given['stack']}; countries, schedules and sizes are README's and topology/settings'"
    )
    return 0


if __name__ == "__main__":
    console.run(main)

"""`python -m preflight --stack prod [--live]`: the plan asked against
what only AWS knows, and AWS itself where it can be.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import json
import sys
from collections.abc import Sequence

from pulumi import RunError

from plan import PlanError, run
from plan.options import of_a_day, of_a_stack
from plan.program import REPOSITORY
from plan.project import read_project
from policies.stack import Stack
from preflight import deployer, needs, offline
from preflight.finding import report
from topology.load import parse
from topology.naming import PROJECT
from topology.stackfile import structure
from topology.topology import Topology


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks every question; 0 where nothing was found, 1 where something was, or the stack cannot be planned."""
    options = _parser().parse_args(arguments)
    try:
        plan = run(options.stack, stack_file=options.config)
        config = read_project(REPOSITORY, options.stack, options.config).config
        topology = parse(options.stack, structure(Topology, config))
    except (PlanError, RunError) as error:
        print(error, file=sys.stderr)
        return 1
    stack = Stack(plan.resources, config)
    if options.deployer:
        print(json.dumps(deployer.policy(stack, topology.account_id, PROJECT), indent=1))
        return 0
    found = [*offline.findings(stack, options.today), *needs.shortfalls(stack, topology.quotas)]
    asked = [*offline.QUESTIONS, needs.CHECK]
    if options.live:
        from preflight import live  # with boto3, which nothing else loads

        found += live.findings(topology, stack, live.Clients(options.endpoint))
        asked += live.CHECKS
    print(report(found, asked))
    print("\nWhat an account must allow, by region\n" + needs.table(needs.needs(stack)))
    print(f"\n{options.stack}: {len(found) or 'no'} finding{'s'[: len(found) != 1]}")
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preflight", description=__doc__)
    of_a_stack(parser)
    parser.add_argument(
        "--live", action="store_true", help="ask AWS too, by reading alone; needs boto3 and credentials"
    )
    parser.add_argument("--deployer", action="store_true", help="print the policy document of the role that deploys")
    parser.add_argument("--endpoint", metavar="URL", help="where AWS is, for a test")
    of_a_day(parser, "support is judged")
    return parser


if __name__ == "__main__":
    gc.disable()  # a short life: what it makes goes with it
    console.run(main)

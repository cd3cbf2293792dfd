"""`python -m policies.cli --stack prod`: every policy asked of the embedded plan; no cloud, no credentials, no CLI."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pulumi import RunError

from diff.bases import BaseError, standing_of, topology_of
from plan import Plan, PlanError, files, run
from plan.options import of_a_day, of_a_stack
from plan.program import REPOSITORY
from plan.project import own_name, read_project, stack_file
from policies import configuration
from policies.exceptions import exceptions_of
from policies.judge import Judgement, judge
from policies.junit import junit
from policies.registry import POLICIES
from policies.report import WIDTH, report
from policies.sarif import sarif
from policies.stack import Stack
from topology.steps import Edit


def main(arguments: Sequence[str] | None = None) -> int:
    """Plans and judges a stack; 0 where it may be deployed, 1 where not."""
    options = _parser().parse_args(arguments)
    try:
        read_project(REPOSITORY, options.stack, options.config)  # whether there is such a stack, before anything else
        configured = configuration.read(options.settings or configuration.file_of(own_name(options.stack)), POLICIES)
        plan = run(options.stack, stack_file=options.config)
        begun = time.perf_counter()
        config = read_project(REPOSITORY, options.stack, options.config).config
        judgement = judge_plan(plan, config, configured, options.today, options.deploy, _edit(options))
        written = {options.junit: junit(judgement)} if options.junit else {}
        if options.sarif:
            written[options.sarif] = sarif(judgement, options.config or stack_file(REPOSITORY, own_name(options.stack)))
        for path, text in written.items():
            files.write(path, text)
    except (BaseError, PlanError, RunError, configuration.ConfigurationError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if any(files.is_standard_output(path) for path in written):
        return int(judgement.stopped)
    print(report(judgement, console.columns(WIDTH), verbose=options.verbose))
    print(f"planned in {plan.seconds:.1f} s, judged in {time.perf_counter() - begun:.1f} s")
    return int(judgement.stopped)


def judge_plan(
    plan: Plan,
    config: Mapping[str, str],
    configured: Mapping[str, configuration.Configured],
    today: date,
    deploying: bool,
    edit: Edit | None = None,
) -> Judgement:
    """What every policy says of a plan, `deploying` of one that is about to be. `config` is the flat configuration."""
    stack = Stack(plan.resources, config, edit)
    return judge(plan.stack, stack, configured, exceptions_of(config), today, deploying=deploying)


def _edit(options: argparse.Namespace) -> Edit | None:
    """From the base to the stack file, where a base is named."""
    if options.base is None:
        return None
    now = datetime.now(UTC)
    return Edit(standing_of(options.base, options.stack), topology_of(options.stack, options.config), now)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m policies.cli", description=__doc__)
    of_a_stack(parser)
    parser.add_argument(
        "--base",
        metavar="BASE",
        help="what stands, for steps-allowed: a git revision, a stack file, or `pulumi stack output --json` as .json",
    )
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="levels and thresholds in place of policies/config.STACK.json"
    )
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write the result as JUnit XML, to standard output (-) in place of the table",
    )
    parser.add_argument(
        "--sarif",
        type=Path,
        metavar="FILE",
        help="write the result as SARIF 2.1.0 for code scanning, to standard output (-) in place of the table",
    )
    parser.add_argument(
        "--deploy", action="store_true", help="the plan is about to be deployed: no example may be left"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="every policy with its reason, and every setting")
    of_a_day(parser, "exceptions are judged")
    return parser


if __name__ == "__main__":
    gc.disable()  # a short life: what it makes goes with it
    console.run(main)

"""`python -m tools.provider [--stack prod]`: AWS's own Terraform provider, which pulumi-aws wraps, judges the plan.

No account, no cloud, no Terraform: the provider alone, by its own protocol. Exit
status 0 where it has nothing against the plan, 1 where it has or the stack cannot
be planned, 77 where no provider is installed (`HAL9_AWS_PLUGIN` names one).
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import sys
from collections.abc import Sequence

import pulumi

from plan import PlanError, run
from tools.lanes import ABSENT
from tools.provider.check import Report, checked
from tools.provider.protocol import ProviderError, installed


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.provider", description=__doc__)
    parser.add_argument("--stack", action="append", help="a stack; may be given again (both where none is)")
    options = parser.parse_args(arguments)
    status = 0
    try:
        plugin = installed()
        if plugin is None:
            print("AWS's Terraform provider is not installed; HAL9_AWS_PLUGIN names its executable")
            return ABSENT
        for stack in options.stack or ("dev", "prod"):
            report = checked(run(stack), plugin)
            print(told(stack, report), flush=True)
            status |= bool(report.errors)
    except (PlanError, pulumi.RunError, ProviderError) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def told(stack: str, report: Report) -> str:
    """What a person reads: the count, then what was not asked, then what is wrong."""
    lines = [
        (
            f"{stack}: aws provider {report.version} was asked about {report.asked} resources: "
            f"{len(report.errors) or 'no'} error{'' if len(report.errors) == 1 else 's'}"
        )
    ]
    lines += [f"  not asked, newer than it: {token}" for token in sorted(report.types_not_asked)]
    for token, names in sorted(report.not_asked.items()):
        lines.append(f"  not asked, newer than it: {token} {', '.join(sorted(names))}")
    lines += [f"  warning: {finding}" for finding in report.warnings]
    lines += [f"  error: {finding}" for finding in report.errors]
    return "\n".join(lines)


if __name__ == "__main__":
    console.run(main)

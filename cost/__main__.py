"""`python -m cost --stack prod [--base FILE] [--markdown FILE]`: an
idle month of the plan in USD, by service and region.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import sys
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pulumi import RunError

from cost.estimate import Bill, bill, by_region
from plan import PlanError, files, run
from plan.options import of_a_day, of_a_stack
from plan.project import own_name

BUDGETS = Path(__file__).with_name("budgets.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the bill; 1 where a stack cannot be planned, or is over its budget."""
    options = _parser().parse_args(arguments)
    try:
        found = bill(run(options.stack, stack_file=options.config).resources)
        base = bill(run(options.stack, stack_file=options.base).resources) if options.base else None
        text = table(options.stack, found, base, options.today)
        if options.markdown:
            files.write(options.markdown, text)
    except (PlanError, RunError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if not (options.markdown and files.is_standard_output(options.markdown)):
        print(text, end="")
    return _over(own_name(options.stack), found)


def _over(stack: str, found: Bill) -> int:
    """1, with a word, where a bill is over its stack's budget."""
    budget = tomllib.loads(BUDGETS.read_text("utf-8")).get(stack)
    if budget is None:
        print(f"{stack} has no budget; a line in cost/{BUDGETS.name} gives it one", file=sys.stderr)
        return 0
    if found.total <= budget:
        return 0
    print(
        f"{stack} is over its budget: {found.total:,.0f} of {budget:,.0f} USD a month (cost/{BUDGETS.name})",
        file=sys.stderr,
    )
    return 1


def table(stack: str, found: Bill, base: Bill | None, today: date) -> str:
    """The bill as Markdown that reads as text: services by region, what it rests on, what is not in it."""
    regions, services = by_region(found.usd)
    width = max(map(len, [*services, "all"]))
    lines = [
        f"| {'USD a month':<{width}} | " + " | ".join(f"{name:>12}" for name in [*regions, "all"]) + " |",
        f"|{'-' * (width + 2)}|" + "|".join(f"{'-' * 13}:" for _ in [*regions, "all"]) + "|",
    ]
    sums = {region: sum(row.get(region, 0.0) for row in services.values()) for region in regions}
    for name, row in [*services.items(), ("all", sums)]:
        cells = [row.get(region, 0.0) for region in regions]
        shown = [f"{cell:>12,.0f}" if cell else f"{'':>12}" for cell in cells]
        lines.append(f"| {name:<{width}} | " + " | ".join([*shown, f"{sum(cells):>12,.0f}"]) + " |")
    text = [f"{stack}, idle: {found.total:,.0f} USD a month, on demand, before tax, support and use", ""]
    if base is not None:
        change = found.total - base.total
        text = [f"{text[0]}; {change:+,.0f} USD against the base's {base.total:,.0f}", ""]
    text += [*lines, ""]
    sure = {
        word: sum(usd for row, usd in found.rows.items() if row.confidence == word)
        for word in ("high", "medium", "low")
    }
    text.append("rests on prices of " + ", ".join(f"{word} confidence {usd:,.0f}" for word, usd in sure.items() if usd))
    old = sorted({f"{row.service} {row.item} ({row.read or 'no day'})" for row in found.rows if row.old(today)})
    if old:
        text += ["", f"read more than a year ago, or on no day ({len(old)}):", *(f"- {name}" for name in old)]
    if found.unpriced:
        text += [
            "",
            "no price is known, and none is counted:",
            *(f"- {n} x {name}" for name, n in sorted(found.unpriced.items())),
        ]
    text += ["", "not in it, as use decides:", *(f"- {n} x {name}" for name, n in sorted(found.by_use.items()))]
    return "\n".join(text) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cost", description=__doc__)
    of_a_stack(parser)
    parser.add_argument("--base", type=Path, metavar="FILE", help="a stack file to compare with")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the same as Markdown, - alone to the output"
    )
    of_a_day(parser, "a price is old")
    return parser


if __name__ == "__main__":
    gc.disable()  # a short life: what it makes goes with it
    console.run(main)

"""`python -m diff --stack prod --base main`: what a change does to what stands, without cloud, credentials or CLI."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from diff.bases import BaseError, base_of, topology_of
from diff.report import markdown, text, to_json
from diff.verdict import Verdict, verdict
from plan import PlanError, files, run
from plan.options import of_a_stack
from topology.stackfile import StackFileError
from topology.steps import Acceptance, decided

WRONG = 2
"""The status of a question that has no answer: a base that is none, an option that is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tells a change; 0 where every edit is a step that is allowed, 1 where one is not, 2 where nothing can be told."""
    options = _parser().parse_args(arguments)
    try:
        told = _told(options)
        for path, write in ((options.json, to_json), (options.markdown, markdown)):
            if path:
                files.write(path, write(told))
    except StackFileError as error:
        print(error, file=sys.stderr)
        for line in _besides(options):
            print(line, file=sys.stderr)
        return WRONG
    except (BaseError, PlanError) as error:
        print(error, file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG
    if not options.quiet:
        print(text(told))
    return int(bool(told.refused))


def _told(options: argparse.Namespace) -> Verdict:
    after = topology_of(options.stack, options.config)
    with base_of(options.base, options.stack) as base:
        wanted = run(options.stack, stack_file=options.config)
        standing = base.plan()
    return verdict(base.name, (base.topology, standing), (after, wanted), options.accept, options.now)


def _besides(options: argparse.Namespace) -> list[str]:
    """Of a stack file with mistakes: the edits in it that are no steps, as far as it can be read."""
    try:
        after = topology_of(options.stack, options.config, judged=False)
        with base_of(options.base, options.stack) as base:
            refused = decided(base.topology, after, options.now, options.accept).refused
    except (BaseError, PlanError, StackFileError):
        return []  # the mistakes have been told
    return [f"No step either: {one}" for one in refused]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diff", description=__doc__)
    of_a_stack(parser)
    parser.add_argument(
        "--base",
        required=True,
        metavar="BASE",
        help="what stands: a git revision, a stack file, or a .json from `pulumi stack output --json`",
    )
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        type=_acceptance,
        metavar="STACK/PATH: REASON",
        help="let a refused edit through",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write at most 60 lines for a pull request")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--now", type=_instant, default=datetime.now(UTC), help=argparse.SUPPRESS)
    return parser


def _acceptance(given: str) -> Acceptance:
    try:
        return Acceptance.of(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _instant(given: str) -> datetime:
    return datetime.fromisoformat(given).astimezone(UTC)


if __name__ == "__main__":
    gc.disable()  # a short life: what it makes goes with it
    console.run(main)

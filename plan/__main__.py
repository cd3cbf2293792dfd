"""`python -m plan preview --stack prod`: what `pulumi up` would build, without cloud, credentials or CLI."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pulumi import RunError

from plan import PlanError, files, run
from plan.export import to_json
from plan.manifests import write_manifests
from plan.options import of_a_stack
from plan.program import REPOSITORY
from plan.report import WIDTH, Style, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 if the stack can be deployed, 1 if not (the reasons are on standard error)."""
    options = _parser().parse_args(arguments)
    try:
        plan = run(options.stack, project=options.project, stack_file=options.config, on_resource=_progress())
        _clear()
        if options.json:
            files.write(options.json, to_json(plan))
        if options.manifests:
            write_manifests(plan, options.manifests)
    except (PlanError, RunError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}")
    if not options.quiet and not (options.json and files.is_standard_output(options.json)):
        colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(report(plan, Style(colours, console.columns(WIDTH))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plan", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preview = commands.add_parser("preview", help="print what `pulumi up` would create for a stack")
    of_a_stack(preview)
    preview.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write every resource to FILE, or to standard output (-) in place of the tree",
    )
    preview.add_argument(
        "--manifests", type=Path, metavar="DIR", help="write each cluster's Kubernetes objects below DIR"
    )
    preview.add_argument("--quiet", action="store_true", help="print nothing but errors")
    preview.add_argument(
        "--project", type=Path, metavar="DIR", default=REPOSITORY, help="another project than this one"
    )
    return parser


def _progress() -> Callable[[int], None]:
    """Counts resources on standard error while the program runs, where somebody is looking."""
    stream = sys.stderr  # while the program runs, its own is another
    if not stream.isatty():
        return lambda _count: None

    def show(count: int) -> None:
        if count % 25 == 0:
            print(f"\r{count} resources", end="", file=stream, flush=True)

    print("\rreading the program", end="", file=stream, flush=True)
    return show


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    _clear()
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    gc.disable()  # a short life: what it makes goes with it
    console.run(main)

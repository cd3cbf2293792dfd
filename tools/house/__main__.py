"""`python -m tools.house`: everything in which the tree does not keep
to its plan, a line each; `--write` draws the map.

Exit status 1 where something is wrong. `--figures` counts files and lines of code by room instead.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
from collections import Counter
from collections.abc import Iterator

from tools.house import habits, names, packages, rooms
from tools.house import map as drawing
from tools.house.references import References
from tools.house.tree import Tree


def mistakes(tree: Tree) -> Iterator[str]:
    """Everything that is wrong: a sentence each."""
    yield from rooms.mistakes(tree)
    yield from packages.mistakes(tree)
    yield from habits.mistakes(tree)
    for unused in names.unused(tree):
        yield f"{unused.module.path}:{unused.line}: nothing of ours uses the {unused.kind} {unused.name} outside tests"
    yield from names.stale_excuses(tree)
    for missing in References(tree).missing():
        yield str(missing)
    if drawing.drawn(tree) != tree.text(drawing.DOCUMENT):
        yield f"{drawing.DOCUMENT}: its map is not as the tree is; `make map` draws it"


def figures(tree: Tree) -> str:
    """Files and lines of code (neither blank nor a comment alone) by room; then what binds rooms, and habits."""
    plan = rooms.plan(tree)
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for module in tree.modules.values():
        room = rooms.room_of(module, plan) or "in no room"
        files[room] += 1
        lines[room] += sum(
            1 for line in module.source.splitlines() if line.strip() and not line.lstrip().startswith("#")
        )
    between = {
        (source, target)
        for arrow in rooms.arrows(tree)
        if (source := rooms.room_of(arrow.source, plan)) != (target := rooms.room_of(arrow.target, plan))
    }
    table = [f"{room:24}{files[room]:6} files{lines[room]:8} lines" for room in plan]
    total = f"{'all':24}{sum(files.values()):6} files{sum(lines.values()):8} lines"
    sources = [reach.ours for reach in habits.reached(tree.modules.values(), tree)]
    tests = [reach.ours for reach in habits.reached(tree.tests.values(), tree)]
    return "\n".join(
        [
            *table,
            total,
            f"{len(between)} arrows between rooms, {len(rooms.circles_of(tree))} circles of modules",
            (
                f"{sum(sources)} private names of ours reached from outside in the sources, {sum(tests)} in tests; "
                f"{len(sources) - sum(sources)} and {len(tests) - sum(tests)} of others'"
            ),
            f"{sum(1 for _ in habits.skipped(tree))} times {habits.SKIP[2:]}",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.house", description=__doc__)
    parser.add_argument("--write", action="store_true", help="draw the map of docs/architecture.md")
    parser.add_argument(
        "--figures", action="store_true", help="count files, lines, arrows, circles, private names reached"
    )
    options = parser.parse_args(arguments)
    tree = Tree()
    if options.figures:
        print(figures(tree))
        return 0
    if options.write:
        (tree.root / drawing.DOCUMENT).write_text(drawing.drawn(tree), encoding="utf-8")
    wrong = list(mistakes(tree))
    print("\n".join(wrong) if wrong else "the house is as its plan says")
    return 1 if wrong else 0


if __name__ == "__main__":
    console.run(main)

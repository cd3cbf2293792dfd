"""The options that every command about a stack's plan has alike."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path


def of_a_stack(parser: argparse.ArgumentParser) -> None:
    """Add `--stack`, and `--config` for another stack file than its own."""
    parser.add_argument("--stack", required=True, help="the stack, such as dev or prod")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a stack file in place of Pulumi.STACK.yaml")


def of_a_day(parser: argparse.ArgumentParser, judged: str) -> None:
    """Add `--today`, a day in UTC. `judged`: what is judged by it."""
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        metavar="DAY",
        help=f"the day that {judged} by (default: today, UTC)",
    )

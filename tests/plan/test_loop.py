"""A program that waits for what never comes."""

from __future__ import annotations

from tests.plan.conftest import Planned, refusals


def test_a_program_that_waits_for_ever_is_refused(planned: Planned) -> None:
    body = """
        import asyncio
        never = pulumi.Output.from_input(asyncio.Future())
        aws.ec2.Vpc("a", cidr_block=never, opts=opts)
    """
    assert refusals(planned, body)[0].startswith("the program (program): waits for itself")

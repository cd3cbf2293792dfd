"""Outputs used as if they were values."""

from __future__ import annotations

import pytest

from tests.plan.conftest import LINES, Planned, failure


def test_an_output_as_text_fails_where_it_is_made(planned: Planned) -> None:
    text = failure(
        planned,
        "vpc = aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)\naws.ec2.Subnet('s', "
        "vpc_id=f'{vpc.id}', opts=opts)",
    )
    assert f"__main__.py:{LINES + 2} in <module>" in text
    assert "Calling __str__ on an Output[T] is not supported" in text


@pytest.mark.parametrize(
    ("use", "message"),
    [("if vpc.id: pass", "used as a condition"), ("vpc.id == 'x'", "was compared"), ("[*vpc.id]", "not iterable")],
)
def test_an_output_used_as_a_value_fails_where_it_is_used(planned: Planned, use: str, message: str) -> None:
    text = failure(planned, f"vpc = aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)\n{use}")
    assert message in text
    assert f"__main__.py:{LINES + 2} in <module>" in text


def test_a_failure_inside_an_apply_shows_its_line(planned: Planned) -> None:
    body = """
        vpc = aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Subnet("s", vpc_id=vpc.id, cidr_block=vpc.cidr_block.apply(lambda block: block[99]), opts=opts)
    """
    assert f"__main__.py:{LINES + 3} in <lambda>" in failure(planned, body)

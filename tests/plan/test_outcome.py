"""How a program's failure is told."""

from __future__ import annotations

import pytest
from pulumi import RunError

from tests.plan.conftest import LINES, Planned, failure


def test_a_plain_invoke_fails_and_is_named(planned: Planned) -> None:
    text = failure(planned, "aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=west)).names")
    assert "asked the cloud for aws:index/getAvailabilityZones:getAvailabilityZones" in text


def test_a_resource_that_depends_on_its_own_parent_is_refused(planned: Planned) -> None:
    body = """
        class Net(pulumi.ComponentResource):
            def __init__(self):
                super().__init__("hal9:network:Net", "net", {}, pulumi.ResourceOptions(providers=[west]))
                own = pulumi.ResourceOptions(parent=self, depends_on=[self])
                aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=own)
        Net()
    """
    assert "circular dependency involving a resource of type aws:ec2/vpc:Vpc named a" in failure(planned, body)


def test_a_failure_shows_the_programs_own_frames_alone(planned: Planned) -> None:
    text = failure(planned, "def size(n):\n    return 1 // n\naws.ec2.Vpc('a', cidr_block=str(size(0)), opts=opts)")
    assert text.splitlines() == [
        "The program failed; nothing was planned.",
        f"  __main__.py:{LINES + 3} in <module>",
        "      aws.ec2.Vpc('a', cidr_block=str(size(0)), opts=opts)",
        f"  __main__.py:{LINES + 2} in size",
        "      return 1 // n",
        "ZeroDivisionError: integer division or modulo by zero",
    ]


def test_a_syntax_error_shows_its_line(planned: Planned) -> None:
    assert f"__main__.py:{LINES + 1}" in failure(planned, "vpc = (")


def test_problems_found_before_a_failure_are_told_too(planned: Planned) -> None:
    body = """
        vpc = aws.ec2.Vpc("a", cidr_block=3, opts=opts)
        vpc.urn.apply(lambda urn: 1 // 0)
    """
    text = failure(planned, body)
    assert "ZeroDivisionError" in text
    assert "a (aws:ec2/vpc:Vpc) cidrBlock: expected a string, got a whole number" in text


def test_what_the_program_says_to_its_operator_passes_as_it_is(planned: Planned) -> None:
    with pytest.raises(RunError, match=r"^two mistakes$"):
        planned("import pulumi\nclass Own(pulumi.RunError): pass\nraise Own('two mistakes')")

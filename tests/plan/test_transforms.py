"""A program's own transforms."""

from __future__ import annotations

from tests.plan.conftest import Planned


def test_transforms_run(planned: Planned) -> None:
    plan = planned("""
        def tagged(args):
            if args.type_ == "aws:ec2/vpc:Vpc":
                return pulumi.ResourceTransformResult({**args.props, "tags": {"owner": "hal9"}}, args.opts)

        pulumi.runtime.register_resource_transform(tagged)
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
    """)
    assert plan.of_type("Vpc")[0].inputs == {"cidrBlock": "10.0.0.0/16", "tags": {"owner": "hal9"}}
    assert plan.of_type("Vpc")[0].region == "us-west-2"

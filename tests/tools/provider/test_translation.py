"""A plan's properties arrive under the provider's names, as the kinds that it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from plan import Plan, Resource
from plan.values import Secret, Unknown
from tools.provider.protocol import UNKNOWN
from tools.provider.translation import PASSWORD, Translation, UntranslatableError, shape_of, translated


def block(attributes: Mapping[str, Any], required: tuple[str, ...] = (), **nested: tuple[int, Any]) -> Any:
    """A schema's block; `nested` are how a block nests (2: a list, 3: a set, 4: a map, 5: once) and the block."""
    return SimpleNamespace(
        attributes=[
            SimpleNamespace(name=name, type=json.dumps(kind).encode(), required=name in required)
            for name, kind in attributes.items()
        ],
        block_types=[
            SimpleNamespace(type_name=name, nesting=nesting, block=inner) for name, (nesting, inner) in nested.items()
        ],
    )


def resource(urn: str = "urn:one", type_: str = "aws:t:T", sources: tuple[str, ...] = (), **inputs: Any) -> Resource:
    return Resource(
        urn=urn,
        type=type_,
        name="one",
        parent="",
        custom=True,
        inputs=inputs,
        property_dependencies=dict.fromkeys(inputs, sources),
    )


def translate(schema: Any, given: Resource, *others: Resource, terraform_type: str = "aws_t") -> Translation:
    return translated(given, terraform_type, shape_of(schema), Plan("hal9", "dev", (given, *others), {}))


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("string", 5, "5"),
        ("string", True, "true"),
        ("string", {"Version": "1"}, '{"Version": "1"}'),
        ("string", {"Version": Unknown()}, UNKNOWN),
        ("string", [1], "[1]"),
        ("number", "5", 5),
        ("number", 5, 5),
        ("bool", "false", False),
        ("bool", True, True),
        (["list", "string"], ["a", Unknown()], ["a", UNKNOWN]),
        (["set", "number"], 3, [3]),
        (["map", "string"], {"a": 1}, {"a": "1"}),
        ("string", Unknown(), UNKNOWN),
        ("string", Secret(), UNKNOWN),
        (["object", {"a": "string", "b_c": "bool"}], {"bC": True}, {"a": None, "b_c": True}),
    ],
)
def test_a_value_becomes_what_the_provider_takes(kind: Any, given: Any, expected: Any) -> None:
    assert translate(block({"value": kind}), resource(value=given)).config == {"value": expected}


@pytest.mark.parametrize(
    ("kind", "given", "wanted"), [("number", "many", "number"), ("bool", "yes", "bool"), (["map", "string"], 5, "map")]
)
def test_a_value_of_another_kind_is_refused_by_its_own_path(kind: Any, given: Any, wanted: str) -> None:
    with pytest.raises(UntranslatableError, match=f"^value is no {wanted}$"):
        translate(block({"value": kind}), resource(value=given))


@pytest.mark.parametrize(
    ("name", "terraform_name"),
    [
        ("cidrBlock", "cidr_block"),
        ("subnetIds", "subnet_ids"),
        ("loggings", "logging"),
        ("policies", "policy"),
        ("s3Bucket", "s3_bucket"),
        ("topic", "topic_arn"),
        ("vpc", "vpc_id"),
    ],
)
def test_a_property_is_found_by_its_likeness(name: str, terraform_name: str) -> None:
    made = translate(block({"other": "string", terraform_name: "string"}), replace(resource(), inputs={name: "x"}))
    assert made.config == {"other": None, terraform_name: "x"}


def test_a_block_that_stands_once_is_written_as_a_plain_object_and_what_is_not_written_is_empty() -> None:
    inner = block({"a": "string", "b": "string"})
    schema = block({}, once=(2, inner), many=(3, inner), named=(4, inner), group=(5, inner), absent=(2, inner))
    made = translate(schema, resource(once={"a": "1"}, manies=[{"b": "2"}]))
    one, two = {"a": "1", "b": None}, {"a": None, "b": "2"}
    assert made.config == {"once": [one], "many": [two], "named": {}, "group": None, "absent": []}


def test_what_the_provider_does_not_have_is_told_with_its_path_and_left_out() -> None:
    schema = block({"a": "string"}, inner=(2, block({"b": "string"})))
    made = translate(schema, resource(a="1", newer="x", inner={"b": "2", "newest": "y"}, region="us-west-2"))
    assert made.config == {"a": "1", "inner": [{"b": "2"}]}
    assert made.not_asked == ["newer", "inner.newest"]


def test_a_name_that_the_engine_makes_up_is_made_up_here() -> None:
    schema = block({"cluster_name": "string", "role_arn": "string"}, required=("cluster_name", "role_arn"))
    made = translate(schema, resource())
    assert made.config["cluster_name"].startswith("one-")
    assert made.config["role_arn"] is None, "what is missing and no name is for the provider to refuse"


@pytest.mark.parametrize("value", [Secret(), Unknown()])
def test_a_random_password_is_the_worst_that_its_resource_may_make(value: str) -> None:
    source = resource("urn:random", PASSWORD, length=16, special=True, overrideSpecial="/@")
    made = translate(block({"password": "string"}), resource(sources=("urn:random",), password=value), source)
    assert made.config == {"password": "Aa1/@xxxxxxxxxxx"}


def test_what_has_several_sources_stays_unknown() -> None:
    sources = [resource(f"urn:{n}", PASSWORD, length=16, special=False) for n in range(2)]
    given = resource(sources=("urn:0", "urn:1"), password=Unknown())
    assert translate(block({"password": "string"}), given, *sources).config == {"password": UNKNOWN}


def test_pulumi_s_own_names_are_known() -> None:
    made = translate(
        block({"alarm_name": "string"}), resource(name="cpu"), terraform_type="aws_cloudwatch_metric_alarm"
    )
    assert made.config == {"alarm_name": "cpu"}

"""The engine's values as rules see them: unknowns and secrets as markers, through whatever proxies they come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pulumi_policy
from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from plan.values import Secret, Unknown, UnknownSecret
from policies import pack, tokens
from policies.registry import POLICIES

SECRET = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "hunter2"}
UNKNOWN = proxy.UNKNOWN_STRING_VALUE


def args(properties: dict[str, Any], **more: Any) -> Any:
    """A resource policy's arguments, as pulumi-policy makes them from what the engine sends."""
    props = proxy.unknown_checking_proxy(pack.deserialized(properties))
    options = SimpleNamespace(protect=True, parent="urn:parent", ignore_changes=["a"])
    given = SimpleNamespace(urn="urn:provider", props={"region": "us-west-2"})
    return SimpleNamespace(
        urn="urn:db", resource_type=tokens.RDS, name="db", props=props, opts=options, provider=given, **more
    )


def test_a_secret_is_a_marker_wherever_it_is() -> None:
    found = pack.of_resource(args({"password": SECRET, "a": [{"b": SECRET}]})).inputs
    assert isinstance(found["password"], Secret)
    assert isinstance(found["a"][0]["b"], Secret)
    assert "hunter2" not in repr(found)


def test_an_unknown_is_a_marker_wherever_it_is() -> None:
    found = pack.of_resource(args({"kmsKeyId": UNKNOWN, "a": [UNKNOWN], "b": {"c": UNKNOWN}})).inputs
    assert [type(found["kmsKeyId"]), type(found["a"][0]), type(found["b"]["c"])] == [Unknown] * 3


def test_an_unknown_secret_is_both() -> None:
    found = pack.of_resource(args({"password": {**SECRET, "value": UNKNOWN}})).inputs
    assert isinstance(found["password"], UnknownSecret)


def test_without_marked_secrets_the_proxies_are_opened_too() -> None:
    raw = proxy.unknown_checking_proxy({"a": [{"b": UNKNOWN, "c": 3.0}]})
    assert pack.plain(raw) == {"a": [{"b": Unknown(), "c": 3}]}


def test_options_and_provider_are_the_records_own() -> None:
    found = pack.of_resource(args({}))
    assert (found.protect, found.parent, found.region, found.custom) == (True, "urn:parent", "us-west-2", True)
    assert found.provider == "urn:provider"


def test_a_stack_policy_judges_the_inputs_that_the_engine_showed_before() -> None:
    inputs = pack.Inputs()
    inputs.keep(args({"multiAz": True}))
    shown_at_the_end = args({"multiAz": UNKNOWN, "nodeType": UNKNOWN}, dependencies=[], property_dependencies={})
    assert inputs.of(shown_at_the_end) == {"multiAz": True}


def test_a_resource_that_the_engine_did_not_show_is_judged_by_its_outputs() -> None:
    assert pack.Inputs().of(args({"multiAz": True})) == {"multiAz": True}


def test_a_kubernetes_object_is_in_the_region_of_its_cluster() -> None:
    cluster = args({"name": "c"}, dependencies=[], property_dependencies={})
    provider = args({}, dependencies=[cluster], property_dependencies={})
    provider.urn, provider.resource_type, provider.provider = "urn:k8s", "pulumi:providers:kubernetes", None
    thing = args({}, dependencies=[], property_dependencies={})
    thing.urn, thing.provider = "urn:thing", SimpleNamespace(urn="urn:k8s", props={})
    provider.parent = thing.parent = cluster.parent = None
    stack = pack.of_stack([cluster, provider, thing], {}, pack.Inputs())
    assert {resource.region for resource in stack.resources} == {"us-west-2"}


def test_every_policy_is_crossguards_with_its_level_and_schema() -> None:
    made = {policy.name: policy for policy in pack.policies()}
    assert made.keys() == POLICIES.keys() | {pack.EXCEPTIONS}
    for name, policy in POLICIES.items():
        assert made[name].enforcement_level == pulumi_policy.EnforcementLevel(policy.level)
        assert isinstance(made[name], pulumi_policy.StackValidationPolicy) == policy.of_stack
        schema = made[name].config_schema
        assert schema is not None
        assert schema.properties.keys() == policy.settings.keys()


def test_a_violation_is_reported_with_the_operators_words() -> None:
    policy = next(p for p in pack.policies() if p.name == "rds-retention-explicit")
    told: list[str] = []
    given = args({"backupRetentionPeriod": 1.0})
    given.get_config = lambda: {"days": 7.0}
    policy.validate(given, lambda message, _urn=None: told.append(message))  # type: ignore[attr-defined]
    assert told == [
        (
            "db (aws:rds/instance:Instance): backupRetentionPeriod is 1; wanted backupRetentionPeriod at least 7 days. "
            "Fix: hal9:database.backupRetentionDays"
        )
    ]

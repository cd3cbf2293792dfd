"""Values on the wire and in a plan."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plan.values import (
    SENTINEL,
    Marker,
    Secret,
    Unknown,
    UnknownSecret,
    from_struct,
    kept,
    to_struct,
    unknown_paths,
    wrap_secret,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_a_value_comes_back_from_the_wire_as_it_went(values: dict[str, object]) -> None:
    assert from_struct(to_struct(values)) == values


@pytest.mark.parametrize("marker", [Unknown(), Secret(), UnknownSecret()])
def test_a_marker_survives_every_copy(marker: Marker) -> None:
    for other in (copy.copy(marker), copy.deepcopy([marker])[0], pickle.loads(pickle.dumps(marker))):
        assert (type(other), other) == (type(marker), marker)
    assert json.loads(json.dumps([marker])) == [str(marker)]


def test_a_secret_is_kept_as_a_marker_alone() -> None:
    value = {"a": wrap_secret("x"), "b": wrap_secret(SENTINEL), "c": SENTINEL, "d": [wrap_secret({"e": "f"})], "g": 3.0}
    assert kept(value, str) == {
        "a": "[secret]",
        "b": "[unknown secret]",
        "c": "[unknown]",
        "d": ["[secret]"],
        "g": 3,
    }


def test_unknowns_are_found_with_their_paths() -> None:
    value = {"a": [1, {"b": Unknown()}], "c": UnknownSecret(), "d": Secret(), "e": "[unknown]"}
    assert list(unknown_paths(value)) == ["a[1].b", "c"]

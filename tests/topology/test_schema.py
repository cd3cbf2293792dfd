"""The stack file's schema for editors: up to date, takes what is right, and underlines what is of a wrong kind."""

from __future__ import annotations

import jsonschema
import pytest

from plan.reader import read_yaml
from tests.stackfiles import ROOT
from tests.topology.test_cases import MISTAKES, VARIANTS, stack_file
from topology import schema

VALIDATOR = jsonschema.Draft202012Validator(schema.schema())
AS_TEXT = {"45-strings-for-numbers", "52-fractions-as-the-cli-writes-them"}
"""What `pulumi config set --path` writes and no person does."""
SEEN = """016-protect-text 018-regions-list 019-region-null 054-schedule-day 063-unknown-deep-key 064-snake-case-key
066-shards-empty 096-percent-101 099-replicas-bool 106-redis-replicas-6 121-gateway-replicas-1 153-identity-missing
163-null-everywhere 166-stack-name-in-other-namespace 168-no-disable-default-providers 174-secret-plain-unknown
172-surge-0 136-disk-1 115-ttl-zero 088-storage-64TiB""".split()


def test_the_file_is_up_to_date() -> None:
    assert schema.PATH.read_text("utf-8") == schema.text(), "make policies-doc writes it"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_our_own_stack_files_are_taken_and_name_it(stack: str) -> None:
    path = ROOT / f"Pulumi.{stack}.yaml"
    assert path.read_text("utf-8").startswith(schema.LINE + "\n")
    assert list(VALIDATOR.iter_errors(read_yaml(path))) == []


@pytest.mark.parametrize("case", [name for name in VARIANTS if "names" not in VARIANTS[name] and name not in AS_TEXT])
def test_a_variant_is_taken(case: str) -> None:
    assert list(VALIDATOR.iter_errors(stack_file(VARIANTS[case]["set"]))) == []


@pytest.mark.parametrize("case", SEEN)
def test_a_mistake_of_kind_is_underlined(case: str) -> None:
    assert list(VALIDATOR.iter_errors(stack_file(MISTAKES[case]["set"])))

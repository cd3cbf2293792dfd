"""The app's bill of materials: all of the lock file, the same each time, and refused where a hash is missing."""

from __future__ import annotations

import re

import pytest

from tools import sbom

LOCK = sbom.LOCK.read_text("utf-8")


def test_the_bill_names_every_package_of_the_lock_with_all_its_hashes() -> None:
    components = sbom.bill(LOCK)["components"]
    lines = [line for line in LOCK.splitlines() if re.match(r"\S+==", line)]
    assert [f"{one['name']}=={one['version']}" for one in components] == [line.split()[0] for line in lines]
    listed = sorted(re.findall(r"sha256:([0-9a-f]{64})", LOCK))
    billed = [one["content"] for part in components for one in part["externalReferences"][0]["hashes"]]
    assert sorted(billed) == listed


def test_a_package_of_some_platforms_alone_says_so() -> None:
    markers = {
        one["name"]: one["properties"][0]["value"] for one in sbom.bill(LOCK)["components"] if "properties" in one
    }
    assert markers["async-timeout"] == "python_full_version < '3.11.3'"


def test_the_same_lock_gives_the_same_bill_and_another_one_another() -> None:
    assert sbom.bill(LOCK) == sbom.bill(LOCK)
    assert sbom.bill(LOCK)["serialNumber"] != sbom.bill(LOCK.replace("redis==", "redis==9"))["serialNumber"]


def test_a_package_without_a_hash_is_refused() -> None:
    with pytest.raises(ValueError, match=r"redis 8.1.0 has no hash"):
        sbom.bill("redis==8.1.0 \\\n    # via nobody\n")

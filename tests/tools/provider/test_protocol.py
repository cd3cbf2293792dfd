"""A plugin is started, asked and ended, and one that dies or does not start is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from tools.provider import protocol
from tools.provider.protocol import UNKNOWN, Provider, ProviderError


def vpc(block: Any, name: str | None = None) -> dict[str, Any]:
    return {"cidr_block": block, "name": name, "tags": None}


def test_what_is_wrong_is_told_with_its_place(plugin: Path) -> None:
    with Provider(plugin) as provider:
        assert provider.version == "9.1.0"
        assert list(provider.validate("aws_vpc", vpc("10.0.0.0/16"))) == []
        assert list(provider.validate("aws_vpc", vpc(UNKNOWN))) == []
        (remark,) = provider.validate("aws_vpc", vpc("10.0.0.0"))
    assert (remark.is_error, remark.path, str(remark)) == (True, "cidr_block", "no CIDR block: two lines")


def test_what_only_a_new_resource_can_have_is_told(plugin: Path) -> None:
    with Provider(plugin) as provider:
        changed = provider.plan("aws_vpc", vpc("10.0.0.0/16"), vpc("10.1.0.0/16"))
        renamed = provider.plan("aws_vpc", vpc("10.0.0.0/16"), vpc("10.0.0.0/16", "new"))
    assert (changed.replaced_by, renamed.replaced_by) == ((("cidr_block",),), ())


def test_a_provider_that_dies_of_a_question_is_there_for_the_next(plugin: Path) -> None:
    with Provider(plugin) as provider:
        with pytest.raises(ProviderError, match="the provider died at aws_vpc"):
            provider.plan("aws_vpc", None, vpc("10.0.0.0/16", "die"))
        assert provider.plan("aws_vpc", None, vpc("10.0.0.0/16")).errors == ()


def test_nothing_is_left_running(plugin: Path) -> None:
    before = set(psutil.Process().children())
    with Provider(plugin):
        assert set(psutil.Process().children()) != before
    assert set(psutil.Process().children()) == before


def test_what_is_no_plugin_is_one_line(tmp_path: Path) -> None:
    program = tmp_path / "terraform-provider-aws"
    program.write_text("#!/bin/sh\necho This is a plugin\n")
    program.chmod(0o755)
    with pytest.raises(ProviderError, match=r"^terraform-provider-aws did not start as a plugin of protocol 5$"):
        Provider(program).__enter__()


def test_the_newest_plugin_is_found_by_number_and_one_that_is_named_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("5.9.0", "5.100.0"):
        folder = tmp_path / f"registry.terraform.io/hashicorp/aws/{version}/linux_amd64"
        folder.mkdir(parents=True)
        (folder / f"terraform-provider-aws_v{version}_x5").touch()
    monkeypatch.delenv("HAL9_AWS_PLUGIN", raising=False)
    monkeypatch.setattr(protocol, "FOLDERS", (str(tmp_path),))
    found = protocol.installed()
    assert found is not None
    assert found.name == "terraform-provider-aws_v5.100.0_x5"
    named = tmp_path / "named"
    named.touch()
    monkeypatch.setenv("HAL9_AWS_PLUGIN", str(named))
    assert protocol.installed() == named

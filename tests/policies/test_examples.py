"""What a stack file was shipped with, or copied from a document, is told in a plan and stops a deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plan.program import REPOSITORY
from policies import configuration
from policies.cli import main
from policies.judge import Judgement, judge
from policies.registry import POLICIES
from policies.stack import Stack
from tests.policies.conftest import TODAY

POLICY = "examples-replaced"
DIGEST = f"sha256:{8 * '0123abcd'}"
OWN = {
    "hal9:accountId": "814702239655",
    "hal9:domain": "shop.acme-tools.eu",
    "hal9:owner": "test",
    "hal9:server": json.dumps({"image": f"hal9-server@{DIGEST}"}),
    "hal9:cluster": json.dumps(
        {"adminRoleArns": ["arn:aws:iam::814702239655:role/todo-list"], "publicAccessCidrs": ["84.17.3.9/32"]}
    ),
    "hal9:edge": json.dumps({"hostedZoneId": "Z111122223333AB"}),
}


def asked(prod: Stack, changed: dict[str, Any], *, deploying: bool = True) -> Judgement:
    config = {
        **OWN,
        **{f"hal9:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in changed.items()},
    }
    one = {POLICY: configuration.configure(POLICIES[POLICY], {})}
    return judge("prod", Stack(prod.resources, config), one, (), TODAY, deploying=deploying)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("accountId", "123456789012", "accountId"),
        ("accountId", "000000000000", "accountId"),
        ("accountId", "111122223333", "accountId"),
        ("cluster", {"adminRoleArns": ["arn:aws:iam::123456789012:role/x"]}, "cluster.adminRoleArns[0]"),
        ("cluster", {"publicAccessCidrs": ["198.51.100.7/32"]}, "cluster.publicAccessCidrs[0]"),
        ("cluster", {"operatorCidrs": ["203.0.113.0/24"]}, "cluster.operatorCidrs[0]"),
        ("domain", "example.com", "domain"),
        ("domain", "hal9.Example.org", "domain"),
        ("domain", "hal9.test", "domain"),
        ("alarmEmail", "oncall@example.net", "alarmEmail"),
        ("identity", {"issuer": "https://id.example.org/"}, "identity.issuer"),
        ("identity", {"jwks": "https://localhost:8443/jwks.json"}, "identity.jwks"),
        ("monitoring", {"runbooks": "https://wiki.invalid/runbooks"}, "monitoring.runbooks"),
        ("server", {"image": f"hal9-server@sha256:{64 * '0'}"}, "server.image"),
        ("server", {"image": f"hal9-server@sha256:{64 * 'f'}"}, "server.image"),
        ("gateway", {"image": f"nginx@sha256:{64 * '0'}"}, "gateway.image"),
        ("owner", "CHANGEME", "owner"),
        ("owner", "your-team", "owner"),
        ("edge", {"hostedZoneId": "<zone id>"}, "edge.hostedZoneId"),
    ],
)
def test_an_example_stops_a_deployment_and_names_its_key(key: str, value: Any, path: str, prod: Stack) -> None:
    judgement = asked(prod, {key: value})
    assert judgement.stopped
    (message,) = judgement.verdicts[0].messages
    assert message.startswith(f"the stack: hal9:{path} is ")
    (put_off,) = asked(prod, {key: value}, deploying=False).verdicts
    assert not put_off.violations
    assert len(put_off.left) == 1


def test_what_is_somebodys_own_passes(prod: Stack) -> None:
    assert not asked(prod, {}).stopped


@pytest.mark.parametrize("key", ["server", "gateway"])
def test_an_image_is_not_asked_for_before_anything_runs(key: str, prod: Stack) -> None:
    zero = {"image": f"x@sha256:{64 * '0'}"}
    settings: dict[str, Any] = {"server": {"deployed": False, **(zero if key == "server" else {})}}
    if key == "gateway":
        settings["gateway"] = zero
    assert not asked(prod, settings).stopped


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_shipped_stack_says_what_to_replace_first(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", stack]) == 0
    brief = " ".join(capsys.readouterr().out.split())
    assert f"{stack} passes: " in brief
    assert "Not to be deployed yet" in brief
    assert "hal9:accountId" in brief
    assert main(["--stack", stack, "--deploy"]) == 1
    assert f"{stack} must not be deployed" in " ".join(capsys.readouterr().out.split())


def owned(directory: Path, stack: str = "prod") -> Path:
    """A shipped stack file with an account and images of somebody's own."""
    text = (REPOSITORY / f"Pulumi.{stack}.yaml").read_text("utf-8")
    path = directory / "Pulumi.own.yaml"
    path.write_text(text.replace("123456789012", "814702239655").replace(f"sha256:{64 * '0'}", DIGEST), "utf-8")
    return path


def test_a_stack_of_ones_own_may_be_deployed_in_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "prod", "--config", str(owned(tmp_path)), "--deploy"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("prod may be deployed: ")
    assert "region-capacity-n-minus-1" in second
    assert third.startswith("planned in ")

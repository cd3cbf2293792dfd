"""The stand-in providers refuse and record, seen through the real engine with small programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.conftest import EngineOn
from tests.engine.engine import project_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

HEAD = """
import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random
import pulumi_tls as tls

west = aws.Provider("west", region="us-west-2")
in_west = pulumi.ResourceOptions(provider=west)
"""


def test_a_program_goes_up_stays_the_same_and_goes_down(engine_on: EngineOn, tmp_path: Path) -> None:
    engine = engine_on(project_of(tmp_path, HEAD + 'aws.ec2.Vpc("v", cidr_block="10.0.0.0/16", opts=in_west)'))
    assert engine.run("preview").changes == {"create": 3}
    assert engine.run("up", "--yes", "--skip-preview").changes == {"create": 3}
    assert engine.run("up", "--yes", "--skip-preview").changes == {"same": 3}
    assert engine.run("destroy", "--yes", "--skip-preview").changes == {"delete": 3}
    assert not engine.providers.cloud.resources()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cidrBlok": "10.0.0.0/16"}, "no such name; did you mean cidrBlock?"),
        ({"cidrBlock": "10.0.0.0/16", "enableDnsSupport": "perhaps"}, "expected true or false, got a string"),
        ({"cidrBlock": "10.0.0.0/16", "tags": {"a": ["b"]}}, "expected a string, got a list"),
    ],
)
def test_an_input_of_a_wrong_name_or_type_is_refused(
    wrong: dict[str, object], said: str, engine_on: EngineOn, tmp_path: Path
) -> None:
    past_the_sdk = f"""
class Loose(pulumi.CustomResource):
    def __init__(self):
        super().__init__("aws:ec2/vpc:Vpc", "v", {wrong!r}, in_west)
Loose()
"""
    done = engine_on(project_of(tmp_path, HEAD + past_the_sdk)).run("preview", check=False)
    assert done.status
    assert said in done.problems


def test_a_name_that_aws_has_given_already_is_refused(engine_on: EngineOn, tmp_path: Path) -> None:
    twice = """
for key in "ab":
    east = aws.Provider(key, region=f"us-east-{1 if key == 'a' else 2}")
    aws.iam.Role(key, name="hal9", assume_role_policy="{}", opts=pulumi.ResourceOptions(provider=east))
"""
    done = engine_on(project_of(tmp_path, HEAD + twice)).run("up", "--yes", "--skip-preview", check=False)
    assert done.status
    assert "aws:iam/role:Role 'hal9' already exists" in done.problems


def test_a_changed_input_is_an_update_and_a_changed_name_a_replacement(engine_on: EngineOn, tmp_path: Path) -> None:
    group = 'aws.cloudwatch.LogGroup("g", name={!r}, retention_in_days={}, opts=in_west)'
    project = project_of(tmp_path, HEAD + group.format("a", 7))
    engine = engine_on(project)
    engine.run("up", "--yes", "--skip-preview")
    (project / "__main__.py").write_text(HEAD + group.format("a", 30))
    assert engine.run("up", "--yes", "--skip-preview").changes == {"same": 2, "update": 1}
    (project / "__main__.py").write_text(HEAD + group.format("b", 30))
    assert engine.run("up", "--yes", "--skip-preview").changes == {"same": 2, "replace": 1}
    assert [live.physical_name for live in engine.providers.cloud.resources()] == ["b"]


def test_what_was_deleted_behind_pulumis_back_is_made_again(engine_on: EngineOn, tmp_path: Path) -> None:
    engine = engine_on(project_of(tmp_path, HEAD + 'aws.ec2.Vpc("v", cidr_block="10.0.0.0/16", opts=in_west)'))
    engine.run("up", "--yes", "--skip-preview")
    engine.providers.cloud.live.clear()
    assert engine.run("refresh", "--yes", "--skip-preview").changes == {"same": 2, "delete": 1}
    assert engine.run("up", "--yes", "--skip-preview").changes == {"same": 2, "create": 1}


def test_random_and_tls_really_make_what_they_say(engine_on: EngineOn, tmp_path: Path) -> None:
    made = """
word = random.RandomPassword("w", length=24, special=False, min_numeric=4)
key = tls.PrivateKey("k", algorithm="ECDSA", ecdsa_curve="P256")
root = tls.SelfSignedCert("r", private_key_pem=key.private_key_pem, allowed_uses=["cert_signing"],
    is_ca_certificate=True, validity_period_hours=24, subject={"common_name": "root"})
request = tls.CertRequest("q", private_key_pem=key.private_key_pem, dns_names=["hal9.ai"])
leaf = tls.LocallySignedCert("l", ca_cert_pem=root.cert_pem, ca_private_key_pem=key.private_key_pem,
    cert_request_pem=request.cert_request_pem, allowed_uses=["digital_signature"], validity_period_hours=1)

def check(given):
    from cryptography import x509
    word, root, leaf = given[0], *(x509.load_pem_x509_certificate(pem.encode()) for pem in given[1:])
    leaf.verify_directly_issued_by(root)
    assert len(word) == 24 and sum(c.isdigit() for c in word) >= 4, "not the password that was asked for"
    return leaf.issuer.rfc4514_string()

made = pulumi.Output.all(word.result, root.cert_pem, leaf.cert_pem)
pulumi.export("issuer", pulumi.Output.unsecret(made.apply(check)))
"""
    engine = engine_on(project_of(tmp_path, HEAD + made))
    engine.run("up", "--yes", "--skip-preview")
    assert engine.run("stack", "output", "issuer", events=False).output.strip() == "CN=root"


def test_a_function_that_no_stand_in_has_is_refused(engine_on: EngineOn, tmp_path: Path) -> None:
    asks = 'pulumi.export("z", aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=west)).names)'
    done = engine_on(project_of(tmp_path, HEAD + asks)).run("preview", check=False)
    assert done.status
    assert "has no function aws:index/getAvailabilityZones" in done.output

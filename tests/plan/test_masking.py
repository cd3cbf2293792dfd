"""A secret never appears in any output: a known one is planted in every place, and every output is searched."""

from __future__ import annotations

import base64
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from plan import PlanError, run
from plan.__main__ import main
from plan.masking import Masker
from plan.values import wrap_secret
from tests.plan.conftest import Programs

SECRET = 'hunter2-"cörrect"/horse'

PLANTED = f"""
secret = pulumi.Output.secret({SECRET!r})
cluster = pulumi.ResourceOptions(provider=kubernetes.Provider("k", kubeconfig=secret))
key = aws.kms.Key("k", description="plain", opts=opts)
aws.secretsmanager.SecretVersion("v", secret_id=key.id, secret_string=secret, opts=opts)
aws.secretsmanager.SecretVersion("j", secret_id="s", secret_string=pulumi.Output.json_dumps({{"p": secret}}), opts=opts)
aws.ec2.Vpc("leak", cidr_block={SECRET!r}, tags={{"url": "postgres://u:{{}}@h".format({SECRET!r})}}, opts=opts)
kubernetes.core.v1.Secret("s", metadata={{"name": "s"}}, string_data={{"password": secret}}, opts=cluster)
kubernetes.core.v1.Secret("d", metadata={{"name": "d"}}, data={{"p": secret.apply(
    lambda s: __import__("base64").b64encode(s.encode()).decode())}}, opts=cluster)
kubernetes.core.v1.ConfigMap("c", metadata={{"name": "c"}}, data={{"leak": "x " + {SECRET!r}}}, opts=cluster)
kubernetes.helm.v3.Release("h", chart="c", values={{"password": secret}}, opts=cluster)
print("printed", {SECRET!r})
print("printed", {SECRET!r}, file=__import__("sys").stderr)
__import__("logging").getLogger("program").error({SECRET!r})
pulumi.log.warn({SECRET!r})
pulumi.export("plain", {SECRET!r})
pulumi.export("secret", secret)
pulumi.export("nested", {{"a": [secret]}})
pulumi.export("password", random.RandomPassword("p", length=32).result)
"""

FORMS = [
    SECRET,
    "hunter2",
    "rrect",
    base64.b64encode(SECRET.encode()).decode(),
    SECRET.encode().hex(),
]


def preview(project: Path, *more: str) -> tuple[int, str]:
    """The exit status and all that the command printed."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = main(["preview", "--stack", "dev", "--project", str(project), *more])
    return status, out.getvalue()


def assert_nowhere(text: str) -> None:
    assert [form for form in FORMS if form in text] == []


def test_no_output_of_a_preview_holds_a_planted_secret(program: Programs, tmp_path: Path) -> None:
    project = program(PLANTED)
    status, printed = preview(project, "--json", str(tmp_path / "o.json"), "--manifests", str(tmp_path / "m"))
    assert status == 0, printed
    written = [path for path in [tmp_path / "o.json", *(tmp_path / "m").rglob("*")] if path.is_file()]
    assert len(written) > 5
    for path in written:
        assert_nowhere(path.read_text())
    assert_nowhere(printed)
    assert_nowhere(repr(run("dev", project=project)))


@pytest.mark.parametrize(
    "body",
    [
        f"raise ValueError({SECRET!r} + str(pulumi.Output.secret({SECRET!r})))",
        f"s = pulumi.Output.secret({SECRET!r})\nraise ValueError('bad ' + {SECRET!r})",
        f"s = pulumi.Output.secret({SECRET!r})\ns.apply(lambda v: int(v))",
        f"s = pulumi.Output.secret({SECRET!r})\ns.apply(lambda v: {{}}[v])",
        f"s = pulumi.Output.secret({SECRET!r})\ns.apply(lambda v: v[7:]).apply(lambda v: int(v))",
        f"s = pulumi.Output.secret({SECRET!r})\naws.ec2.Vpc('a', cidr_block=s.apply(lambda v: [v]), opts=opts)",
        f"s = pulumi.Output.secret({SECRET!r})\naws.ec2.Vpc('a', tags=s, opts=opts)",
        f"s = pulumi.Output.secret({SECRET!r})\npulumi.log.error({SECRET!r})",
        f"s = pulumi.Output.secret({SECRET!r})\n__import__('sys').exit({SECRET!r})",
        f"s = pulumi.Output.secret({SECRET!r})\naws.ec2.Vpc('a', tags={{'a': {{1, {SECRET!r}}}}}, opts=opts)",
    ],
)
def test_no_error_holds_a_planted_secret(program: Programs, body: str) -> None:
    status, printed = preview(program(body))
    assert status == 1
    assert_nowhere(printed)


def test_a_secure_value_of_the_stack_file_never_reaches_the_program(program: Programs) -> None:
    project = program(
        "pulumi.export('token', pulumi.Config().require('token'))\n"
        "pulumi.export('nested', pulumi.Config().require_object('nested'))",
        {"sample:token": {"secure": SECRET}, "sample:nested": {"a": [{"secure": SECRET}], "b": 1}},
    )
    plan = run("dev", project=project)
    assert plan.outputs == {"token": "[secret]", "nested": {"a": ["[secret]"], "b": 1}}


def test_a_secret_setting_stays_secret(program: Programs) -> None:
    project = program(
        "pulumi.export('token', pulumi.Config().require_secret('token'))", {"sample:token": {"secure": "v1:abc"}}
    )
    assert type(run("dev", project=project).outputs["token"]).__name__ == "Secret"


def test_the_names_of_a_kubernetes_secret_are_kept_and_its_values_are_not(program: Programs) -> None:
    plan = run("dev", project=program(PLANTED))
    secret = next(r for r in plan.of_type("kubernetes:core/v1:Secret") if r.name == "s")
    assert secret.inputs["stringData"] == {"password": "[secret]"}


def test_a_text_that_holds_a_secret_is_masked_only_there(program: Programs) -> None:
    plan = run("dev", project=program(PLANTED))
    assert plan.of_type("Vpc")[0].inputs["tags"] == {"url": "postgres://u:[secret]@h"}


def test_a_short_secret_does_not_mask_every_text() -> None:
    masker = Masker()
    masker.add(wrap_secret("a"))
    assert masker.mask("a plain text") == "a plain text"


def test_parts_of_a_secret_object_are_masked() -> None:
    masker = Masker()
    masker.add(wrap_secret({"user": "hal9", "password": "correct-horse"}))
    assert masker.mask("hal9:correct-horse@db") == "hal9:[secret]@db"


def test_a_refusal_holds_no_secret(program: Programs) -> None:
    with pytest.raises(PlanError) as caught:
        run("dev", project=program(f"aws.ec2.Vpc('a', cidr_block=pulumi.Output.secret([{SECRET!r}]), opts=opts)"))
    assert_nowhere(str(caught.value))
    assert "a (aws:ec2/vpc:Vpc) cidr_block: expected a string, got a value of another kind" in str(caught.value)


def test_what_was_made_from_a_secret_is_masked_wherever_it_appears(program: Programs) -> None:
    body = f"""
secret = pulumi.Output.secret({SECRET!r}).apply(lambda value: value.upper())
aws.secretsmanager.SecretVersion("v", secret_id="s", secret_string=secret, opts=opts)
aws.ec2.Vpc("leak", cidr_block="10.0.0.0/16", tags={{"leak": {SECRET.upper()!r}}}, opts=opts)
"""
    assert run("dev", project=program(body)).of_type("Vpc")[0].inputs["tags"] == {"leak": "[secret]"}

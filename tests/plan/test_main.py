"""The command: what it prints, writes and answers, as a process of its own and in this one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from plan.__main__ import main
from plan.program import REPOSITORY
from tests.plan.conftest import Programs

CELLS = """
class Cell(pulumi.ComponentResource):
    def __init__(self, name, region):
        self.provider = aws.Provider(name, region=region)
        super().__init__("hal9:region:Cell", name, {}, pulumi.ResourceOptions(providers=[self.provider]))
        own = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(name, cidr_block="10.0.0.0/16", opts=own)
        for zone in "abc":
            aws.ec2.Subnet(f"{name}-{zone}", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=own)
        pulumi.export(name, {"vpc": vpc.id, "cidr": vpc.cidr_block})
        self.register_outputs({})

for name, region in pulumi.Config().require_object("regions").items():
    Cell(name, region)
"""
REGIONS = {"sample:regions": {"us-west": "us-west-2", "eu-central": "eu-central-1"}}


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says how wide the terminal is, whoever runs the tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


def preview(project: Path, *more: str) -> int:
    return main(["preview", "--stack", "dev", "--project", str(project), *more])


def test_a_preview_prints_the_tree_the_counts_the_outputs_and_what_is_unknown(
    program: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(program(CELLS, REGIONS)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sample dev: 11 resources would be created"
    assert lines[lines.index("") + 1 : lines.index("By type and region") - 1] == [
        "us-west-2                                                                      6",
        "├─ Cell us-west                                                                4",
        "│  └─ Subnet x3, Vpc",
        "└─ aws provider x2",
        "eu-central-1                                                                   5",
        "├─ Cell eu-central                                                             4",
        "│  └─ Subnet x3, Vpc",
        "└─ aws provider",
    ]
    assert [line.split() for line in lines if line.startswith("  aws:ec2")] == [
        ["aws:ec2", "Subnet", "3", "3", "6"],
        ["aws:ec2", "Vpc", "1", "1", "2"],
    ]
    assert "    cidr: 10.0.0.0/16" in lines
    assert "    vpc: [unknown]" in lines
    assert "  2 outputs: us-west.vpc, eu-central.vpc" in lines or "  2 outputs: eu-central.vpc, us-west.vpc" in lines
    assert "  6 inputs of 6 resources, from: Vpc x2" in lines
    assert lines[-1].startswith("11 resources in 2 components, 0 protected; planned in ")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_preview_fits_a_narrow_terminal(
    columns: int, program: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    body = CELLS + "\npulumi.export('long', 'word ' * 60)\nfor n in range(40): pulumi.export(f'output-{n}', west.id)"
    assert preview(program(body, REGIONS)) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if len(line) > columns] == []
    assert "  output-39: [unknown]" in told


def test_a_preview_fits_a_hundred_columns(program: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    body = CELLS + "\npulumi.export('long', 'word ' * 60)\nfor n in range(40): pulumi.export(f'output-{n}', west.id)"
    assert preview(program(body, REGIONS)) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_many_regions_fit_too(program: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    regions = {f"region-{n}": f"ap-southeast-{n}" for n in range(14)}
    assert preview(program(CELLS, {"sample:regions": regions})) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    subnets = [line.split()[2:] for line in lines if line.startswith("  aws:ec2 Subnet")]
    assert len(subnets) == 4
    assert [count for line in subnets for count in line] == ["3"] * 14 + ["-", "42"]


def test_there_are_no_colours_where_no_terminal_is(program: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    preview(program(CELLS, REGIONS))
    output = capsys.readouterr()
    assert "\033" not in output.out + output.err


def test_the_json_has_every_resource_with_all_that_is_recorded(program: Programs, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "plan.json"
    assert preview(program(CELLS, REGIONS), "--json", str(path), "--quiet") == 0
    document = json.loads(path.read_text())
    assert (document["project"], document["stack"]) == ("sample", "dev")
    (subnet,) = [r for r in document["resources"] if r["name"] == "us-west-a"]
    vpc = "urn:pulumi:dev::sample::hal9:region:Cell$aws:ec2/vpc:Vpc::us-west"
    assert subnet == {
        "urn": "urn:pulumi:dev::sample::hal9:region:Cell$aws:ec2/subnet:Subnet::us-west-a",
        "type": "aws:ec2/subnet:Subnet",
        "name": "us-west-a",
        "parent": "urn:pulumi:dev::sample::hal9:region:Cell::us-west",
        "custom": True,
        "provider": "urn:pulumi:dev::sample::pulumi:providers:aws::us-west",
        "region": "us-west-2",
        "inputs": {"vpcId": "[unknown]", "cidrBlock": "10.0.0.0/24"},
        "outputs": {},
        "dependencies": [vpc],
        "propertyDependencies": {"vpcId": [vpc]},
        "protect": False,
        "retainOnDelete": False,
        "deleteBeforeReplace": False,
        "deletedWith": "",
        "ignoreChanges": [],
        "replaceOnChanges": [],
        "additionalSecretOutputs": [],
        "aliases": [],
        "importId": "",
        "customTimeouts": {},
    }


def test_the_plan_is_the_same_twice(program: Programs, tmp_path: Path) -> None:
    project = program(CELLS, REGIONS)
    for name in ("a", "b"):
        # Another seed orders sets otherwise: what depends on their order shows.
        environment = {**os.environ, "PYTHONHASHSEED": "1" if name == "a" else "2"}
        command = ["preview", "--stack", "dev", "--project", str(project), "--json", str(tmp_path / f"{name}.json")]
        subprocess.run([sys.executable, "-m", "plan", *command, "--quiet"], cwd=REPOSITORY, env=environment, check=True)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_quiet_prints_nothing(program: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(program(CELLS, REGIONS), "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_another_stack_file_can_be_named(program: Programs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("config:\n  sample:regions: {ap-south: ap-south-1}\n")
    assert preview(program(CELLS, REGIONS), "--config", str(other)) == 0
    assert "Cell ap-south" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stack", "body", "told"),
    [
        ("prd", "", "There is no stack 'prd': Pulumi.prd.yaml does not exist. The stacks here: dev.\n"),
        ("dev", "1 / 0", "The program failed; nothing was planned.\n"),
        ("dev", "import pulumi\nraise pulumi.RunError('a\\nb')", "a\nb\n"),
    ],
)
def test_a_mistake_is_told_on_standard_error_with_status_1(
    program: Programs, capsys: pytest.CaptureFixture[str], stack: str, body: str, told: str
) -> None:
    assert main(["preview", "--stack", stack, "--project", str(program(body))]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(told)
    assert "Traceback" not in output.err


def test_a_file_that_cannot_be_written_is_told(
    program: Programs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert preview(program("pass"), "--json", str(tmp_path / "file" / "o.json")) == 1
    assert capsys.readouterr().err.endswith("File exists\n")


def test_a_refused_plan_writes_nothing(program: Programs, tmp_path: Path) -> None:
    project = program("aws.ec2.Vpc('a', cidr_block=3, opts=opts)")
    assert preview(project, "--json", str(tmp_path / "o.json"), "--manifests", str(tmp_path / "m")) == 1
    assert not (tmp_path / "o.json").exists()
    assert not (tmp_path / "m").exists()


def test_a_preview_needs_no_network_and_no_particular_directory(program: Programs, tmp_path: Path) -> None:
    project = program(CELLS, REGIONS)
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*a, **k): raise RuntimeError('the network was used')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = refuse\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
    )
    environment = {"PATH": "", "PYTHONPATH": f"{guard}:{REPOSITORY}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "plan", "preview", "--stack", "dev", "--project", str(project)]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sample dev: 11 resources would be created")


def test_a_reader_that_stops_is_no_failure(program: Programs) -> None:
    body = CELLS + "\nfor n in range(4000): pulumi.export(f'output-{n}', 'a long enough text to fill the pipe')"
    project = program(body, REGIONS)
    preview = shlex.join([sys.executable, "-m", "plan", "preview", "--stack", "dev", "--project", str(project)])
    command = f"{preview} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "sample dev: 11 resources would be created\n", "")

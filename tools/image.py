"""Build the app's image, push it to the registry, and write its digest into the stack file.

    make image STACK=prod [TAG=...]

It pushes to the last region's registry, from where ECR replicates to the others (components/registry.py), and edits one
line of the stack file: `hal9:server.image`. Nothing is written before the push has succeeded. It needs docker with
buildx, the AWS CLI, and credentials that may push.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from plan.errors import ProjectError
from plan.reader import read_yaml
from tools import sbom
from topology import catalog
from topology.load import parse
from topology.stackfile import NAMESPACE, StackFileError
from topology.topology import Topology

ROOT = Path(__file__).resolve().parent.parent
BILLS = ROOT / "out" / "image"
"""Where the bills of materials of images that were pushed are left."""
_IMAGE = re.compile(r"^(\s+image:\s*)(\S+)(.*)$", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageError(Exception):
    """The image was not built or pushed; the stack file is as it was."""


def topology_of(stack_file: Path, stack: str) -> Topology:
    """The stack's topology; a missing digest is what this command is there to mend, so it is no mistake here."""
    config = read_yaml(stack_file)["config"]
    data = {key.partition(":")[2]: value for key, value in config.items() if key.startswith(f"{NAMESPACE}:")}
    server = data.setdefault("server", {})
    server["image"] = f"{str(server.get('image', 'hal9-server')).partition('@')[0]}@sha256:{'0' * 64}"
    return parse(stack, data)


def with_digest(text: str, repository: str, digest: str) -> str:
    """The stack file's text with the image's digest in it and
    nothing else changed. ImageError where it has no image.
    """
    if not _DIGEST.fullmatch(digest):
        raise ImageError(f"the registry answered {digest!r}, which is no digest")
    section = re.search(rf"^\s*{NAMESPACE}:server:.*?(?=^\s*{NAMESPACE}:|\Z)", text, re.MULTILINE | re.DOTALL)
    changed, count = _IMAGE.subn(rf"\g<1>{repository}@{digest}\g<3>", section[0], count=1) if section else ("", 0)
    if section is None or count == 0:
        raise ImageError("the stack file has no line `image:` below hal9:server; add one, such as `image: hal9-server`")
    return text[: section.start()] + changed + text[section.end() :]


def build_and_push(topology: Topology, tag: str, platforms: str = "", runner: str = "docker") -> str:
    """Build for the nodes' architecture or `platforms` (such as linux/amd64,linux/arm64), push, and return the digest.

    The image is pushed with what buildx attests of it: how it was made, and everything
    that it holds. The app's own bill of materials is left in out/image as well.
    """
    for program in (runner, "aws"):
        if shutil.which(program) is None:
            raise ImageError(f"{program} is not installed; `make image` needs docker with buildx and the AWS CLI")
    size = catalog.instance_size(topology.cluster.on_demand.instance_type)
    assert size is not None, "the stack file's rules know every type"
    region = topology.ordered_regions[-1]
    registry = f"{topology.account_id}.dkr.ecr.{region.aws_region}.amazonaws.com"
    password = _run(["aws", "ecr", "get-login-password", "--region", region.aws_region], capture=True)
    _run([runner, "login", "--username", "AWS", "--password-stdin", registry], given=password)
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder) / "metadata.json"
        _run(
            [
                *(runner, "buildx", "build", "--platform", platforms or f"linux/{size.architecture}", "--push"),
                *("--provenance", "mode=max", "--sbom", "true"),
                *("--file", "app/Dockerfile", "--tag", f"{registry}/{topology.repository}:{tag}"),
                *("--metadata-file", str(metadata), "."),
            ]
        )
        digest = str(json.loads(metadata.read_text("utf-8"))["containerimage.digest"])
    BILLS.mkdir(parents=True, exist_ok=True)
    bill = json.dumps(sbom.bill(sbom.LOCK.read_text("utf-8")), indent=2)
    write(BILLS / f"{topology.repository}-{tag}.cdx.json", bill + "\n")
    return digest


def _run(command: list[str], given: str | None = None, *, capture: bool = False) -> str:
    """Run a step; its own output is the progress. The error names the step, never what it was given."""
    out = subprocess.PIPE if capture else None
    done = subprocess.run(command, check=False, cwd=ROOT, input=given, text=True, stdout=out)
    if done.returncode:
        raise ImageError(f"`{' '.join(command[:3])}` failed with status {done.returncode}; the stack file is unchanged")
    return done.stdout or ""


def write(path: Path, text: str) -> None:
    """Replace a file at once: a stop in between leaves the old one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


def main() -> int:
    """Exit status 0 when the digest is in the stack file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--tag", required=True, help="such as the commit's id; the registry takes each tag once")
    parser.add_argument("--platform", default="", help="for more than the nodes' architecture: linux/amd64,linux/arm64")
    parser.add_argument("--project", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    stack_file = options.project / f"Pulumi.{options.stack}.yaml"
    try:
        if not stack_file.exists():
            known = ", ".join(sorted(p.name.split(".")[1] for p in options.project.glob("Pulumi.*.yaml")))
            raise ImageError(f"there is no stack {options.stack!r}; there are {known}")
        topology = topology_of(stack_file, options.stack)
        text = stack_file.read_text("utf-8")
        with_digest(text, topology.repository, f"sha256:{'0' * 64}")  # before the long work: is there a line to write?
        digest = build_and_push(topology, options.tag, options.platform)
        write(stack_file, with_digest(text, topology.repository, digest))
    except (ImageError, ProjectError, StackFileError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{stack_file.name}: {topology.repository}@{digest}")
    return 0


if __name__ == "__main__":
    console.run(main)

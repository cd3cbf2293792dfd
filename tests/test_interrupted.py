"""Ctrl-C while a command still imports what it needs, which is most of a second: every command of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plan.program import REPOSITORY

ROOMS = sorted({file.relative_to(REPOSITORY).parts[0] for file in REPOSITORY.glob("*/*.py")} - {"tests"})
STARTED_BY_OTHERS = {"lab.links", "bench.app.echo", "policies.__main__"}
"""Processes of the lab and of the benches, which nobody types, and the pack that Pulumi starts."""

SITE = """
import os, signal, sys

class Interrupts:
    '''Sends Ctrl-C at the first import of what is neither the standard library's (which asks for Jython's
    `org`) nor light, or at a later one.'''

    left = int(os.environ["TEST_IMPORTS"])

    def find_spec(self, name, path=None, target=None):
        light = name in ("app", "app.console", "org", *os.environ["TEST_PACKAGES"].split(","))
        if not light and name.split(".")[0] not in sys.stdlib_module_names:
            Interrupts.left -= 1
            if Interrupts.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""


def commands() -> list[str]:
    """Every module that can be run, by its name."""
    files = [file for room in ROOMS for file in sorted((REPOSITORY / room).rglob("*.py"))]
    found = [
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
        for file in files
        if '\nif __name__ == "__main__":' in file.read_text("utf-8") or file.name == "__main__.py"
    ]
    return [name.removesuffix(".__main__") for name in found if name not in STARTED_BY_OTHERS]


@pytest.mark.parametrize("imports", [1, 40])
@pytest.mark.parametrize("module", commands())
def test_an_import_that_is_interrupted_is_one_line_and_status_130(module: str, imports: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    parents = module.split(".")
    packages = [".".join(parents[: n + 1]) for n in range(len(parents))] + [f"{module}.__main__"]
    environment = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"} | {
        "PYTHONPATH": f"{tmp_path}:{REPOSITORY}",
        "TEST_IMPORTS": str(imports),
        "TEST_PACKAGES": ",".join(packages),
    }
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode == 0:
        assert done.stdout.startswith("usage:"), "it needs fewer imports than that"
    else:
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")

"""The stand-in, as the executable file that a plugin is."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Where a plugin stands in a mirror of Terraform's: its folder says its version."""
    path = tmp_path / "registry.terraform.io/hashicorp/aws/9.1.0/linux_amd64/terraform-provider-aws_v9.1.0"
    path.parent.mkdir(parents=True)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.tools.provider.standin import main; main()"
    # By a shell, as a `#!` holds no path with a space in it.
    path.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, '-c', program])}\n")
    path.chmod(0o755)
    return path

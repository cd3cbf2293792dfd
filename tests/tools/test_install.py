"""What set-up says: how far it is, and one sentence where the registry does not answer, without its password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plan.program import REPOSITORY
from tools import install

NOWHERE = "http://somebody:hidden-word@127.0.0.1:9/simple"
"""Nothing listens at the port called discard."""


def test_a_registry_that_cannot_be_reached_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"hal9-is-in-no-registry==1.0 --hash=sha256:{'0' * 64}\n")
    nowhere = {"UV_DEFAULT_INDEX": NOWHERE, "PIP_INDEX_URL": NOWHERE, "UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))} | nowhere
    command = [sys.executable, "-m", "tools.install", "what nobody has", str(wanted)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("installing what nobody has (once): up to 1 packages into ")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("the package registry 127.0.0.1:9 could not be reached (")
    assert "nothing was installed" in sentence
    assert "hidden-word" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "said",
    [
        "WARNING: Retrying: NewConnectionError('<pip._vendor>: Failed to establish a new connection')",
        "ERROR: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/uv/",
        "error: Failed to fetch: `https://pypi.org/simple/x/`\n  Caused by: dns error: failed to lookup address",
        "  Caused by: invalid peer certificate: UnknownIssuer",
        "ERROR: Could not fetch URL: SSLError(1, 'certificate verify failed: unable to get local issuer')",
    ],
)
def test_what_pip_and_uv_say_of_it_is_known(said: str) -> None:
    failing = [sys.executable, "-c", f"print({said!r}); raise SystemExit(2)"]
    with pytest.raises(
        install.InstallError, match=r"^the package registry \S+ could not be reached \([^()]+\): nothing"
    ):
        list(install.lines_of(failing, os.environ))


def test_another_failure_is_told_in_the_installer_s_own_words() -> None:
    failing = [sys.executable, "-c", "print('error: Hash mismatch for `a==1`'); raise SystemExit(2)"]
    with pytest.raises(install.InstallError, match=r"^error: Hash mismatch for `a==1`$"):
        list(install.lines_of(failing, os.environ))


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ("Downloading pulumi-aws (12.3MiB)", "downloading pulumi-aws (12.3MiB)"),
        ("Resolved 40 packages in 3ms", "resolved 40 packages"),
        ("Collecting uv==0.9", "collecting uv==0.9"),
        (" + attrs==25.1", ""),
    ],
)
def test_how_far_it_is_is_the_installer_s_word(line: str, progress: str) -> None:
    assert install.told(line) == progress


def test_a_home_that_cannot_be_written_costs_the_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME", "UV_NO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")  # where root can make no file either
    assert install.environment()["UV_NO_CACHE"] == "1"

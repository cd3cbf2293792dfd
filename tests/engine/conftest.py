"""What the engine's tests share: the stand-in providers, and the real CLI on a project of the test's own.

    def test_something(engine_on, tmp_path):
        engine = engine_on(project_of(tmp_path, PROGRAM))
        done = engine.run("up", "--yes", "--skip-preview")

A policy pack is run by `engine_on(project, language_host=False)`, an inline program through the Automation API
with `engine.environment`: there the CLI starts the pack through `pulumi-analyzer-policy-python`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.engine.engine import Engine
from tests.engine.standins.server import Providers
from tools import build

TOOLS = ("pulumi", "pulumi-language-python", "pulumi-analyzer-policy-python")


class EngineOn(Protocol):
    """Makes the backend and the stack for a project, and gives its engine."""

    def __call__(self, project: Path, stack: str = "dev", language_host: bool = True) -> Engine: ...


Say = Callable[[str], None]


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Writes a line on the terminal while the tests run."""
    plugins = request.config.pluginmanager
    terminal, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def write(line: str) -> None:
        if terminal and capture:
            with capture.global_and_fixture_disabled():
                terminal.write_line(f"  {line}")
                terminal.flush()
        else:
            print(line)

    return write


@pytest.fixture(scope="session")
def cli() -> None:
    """The built tools. Where Go is absent and none are cached, the lane is skipped by name."""
    try:
        for name in TOOLS:
            build.directory(name)
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the engine lane is skipped")


@pytest.fixture
def providers(cli: None, tmp_path: Path) -> Iterator[Providers]:
    """Stand-in providers over an empty cloud."""
    with Providers(tmp_path) as started:
        yield started


@pytest.fixture
def engine_on(providers: Providers) -> EngineOn:
    """See `EngineOn`."""

    def on(project: Path, stack: str = "dev", language_host: bool = True) -> Engine:
        engine = Engine(project, stack, providers, language_host)
        engine.init()
        return engine

    return on

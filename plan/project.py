"""Reads `Pulumi.yaml` and a stack file the way the Pulumi CLI does:
into flat text configuration, nothing of its meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan.errors import ProjectError
from plan.reader import read_yaml

SECURE = "[secret]"
"""What the program gets for a `secure:` value: only the CLI has the key that opens it."""

NO_DEFAULTS = "pulumi:disable-default-providers"


@dataclass(frozen=True)
class Project:
    """A project with one stack's configuration: `config` maps `namespace:key` to text, structured values as JSON."""

    name: str
    stack: str
    directory: Path
    main: Path
    config: Mapping[str, str]
    secret_keys: tuple[str, ...]

    @property
    def no_default_provider(self) -> frozenset[str]:
        """The packages whose default provider is switched off (`NO_DEFAULTS`); `*` is all."""
        return frozenset(json.loads(self.config.get(NO_DEFAULTS, "[]")))


def stacks(directory: Path) -> list[str]:
    """The stacks that have a file in a project."""
    return sorted(path.name.split(".")[1] for path in directory.glob("Pulumi.*.yaml"))


def own_name(stack: str) -> str:
    """A stack's own name: `prod` of `acme/prod` and `acme/hal9/prod`, as the CLI takes them."""
    found = re.fullmatch(r"[A-Za-z0-9][\w.-]*/(?:[A-Za-z0-9][\w.-]*/)?([^/]+)", stack)
    return found[1] if found else stack


def stack_file(directory: Path, stack: str) -> Path:
    """A stack's file. ProjectError, with the stacks that there are, where there is none."""
    path = directory / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = " and ".join(stacks(directory)) or "none"
        raise ProjectError(f"There is no stack {stack!r}: {path.name} does not exist. The stacks here: {known}.")
    return path


def read_project(directory: Path, stack: str, source: Path | Mapping[str, Any] | None = None) -> Project:
    """The project in `directory` with one stack's configuration: from
    its own file, another one, or a map like a file's.
    """
    directory, stack = directory.resolve(), own_name(stack)
    if not (directory / "Pulumi.yaml").is_file():
        raise ProjectError(f"There is no Pulumi.yaml in {directory.name}/: it is no Pulumi project.")
    settings = read_yaml(directory / "Pulumi.yaml")
    name = str(settings.get("name") or directory.name)
    data = source if isinstance(source, Mapping) else read_yaml(source or stack_file(directory, stack))
    values: dict[str, Any] = {}
    for key, value in (settings.get("config") or {}).items():
        default = value.get("value", value.get("default")) if isinstance(value, dict) else value
        if default is not None:
            values[key] = default
    where = source.name if isinstance(source, Path) else f"Pulumi.{stack}.yaml"
    full = {key if ":" in key else f"{name}:{key}": value for key, value in values.items()}
    full.update(_settings(where, name, data.get("config")))
    if not isinstance(full.get(NO_DEFAULTS, []), list):
        raise ProjectError(f"{NO_DEFAULTS} must be a list of packages, such as [aws, kubernetes]")
    main = directory / str(settings.get("main") or ".")
    return Project(
        name=name,
        stack=stack,
        directory=directory,
        main=main if main.suffix == ".py" else main / "__main__.py",
        config={key: _text(_opened(value)) for key, value in full.items()},
        secret_keys=tuple(key for key, value in full.items() if _opened(value) != value),
    )


def _settings(where: str, project: str, config: Any) -> dict[str, Any]:
    """A stack file's settings by full key; one that has no value is empty text, as the CLI hands it over."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise ProjectError(f"{where}: config must be a map of settings, such as {project}:owner: platform")
    for key in config:
        namespace, _, name = key.partition(":")
        if not (namespace and name) or ":" in name:
            right = key.rpartition(":")[2] or "owner"
            raise ProjectError(f"{where}: config.{key} is no full key such as {project}:{right}")
    return {key: "" if value is None else value for key, value in config.items()}


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        secret = set(value) == {"secure"} and isinstance(value["secure"], str)
        return SECURE if secret else {key: _opened(inner) for key, inner in value.items()}
    return [_opened(inner) for inner in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

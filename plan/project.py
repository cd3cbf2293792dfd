"""Reads `Pulumi.yaml` and a stack file the way the Pulumi CLI does: into flat text configuration, nothing of its meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plan.errors import ProjectError

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


class _Loader(yaml.SafeLoader):
    """YAML as the CLI reads it: `no`, `on` and `12:30` are text, a key twice in one map is refused; and keys are text."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} is there twice", key.start_mark)
        seen.add(str(key.value))
    loader.flatten_mapping(node)
    return {loader.construct_scalar(k): loader.construct_object(v, deep=True) for k, v in node.value}


def _integer(_loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value)
    return int(text, 0) if re.match(r"0[ox]", text) else int(text)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a map. ProjectError, with file and line, where it is none."""
    try:
        data = yaml.load(path.read_text("utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ProjectError(f"{path.name}{where} is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path.name} is not YAML: {error}") from None
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ProjectError(f"{path.name} must be a map at its top")
    return data


def stacks(directory: Path) -> list[str]:
    """The stacks that have a file in a project."""
    return sorted(path.name.split(".")[1] for path in directory.glob("Pulumi.*.yaml"))


def stack_file(directory: Path, stack: str) -> Path:
    """A stack's file. ProjectError, with the stacks that there are, where there is none."""
    path = directory / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = " and ".join(stacks(directory)) or "none"
        raise ProjectError(f"There is no stack {stack!r}: {path.name} does not exist. The stacks here: {known}.")
    return path


def read_project(directory: Path, stack: str, source: Path | Mapping[str, Any] | None = None) -> Project:
    """The project in `directory` with one stack's configuration: from its own file, another one, or a map like a file's."""
    directory = directory.resolve()
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
    values.update(data.get("config") or {})
    full = {key if ":" in key else f"{name}:{key}": value for key, value in values.items() if value is not None}
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


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        return SECURE if set(value) == {"secure"} else {key: _opened(inner) for key, inner in value.items()}
    return [_opened(inner) for inner in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

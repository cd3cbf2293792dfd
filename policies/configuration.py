"""What of the policies is set for a stack: levels and thresholds, from the file that CrossGuard takes too.

`policies/config.<stack>.json` is `--policy-pack-config`'s own format: a policy's name to a level, or to an object of
`enforcementLevel` and the policy's settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.policy import Level, Policy

LEVEL_KEY = "enforcementLevel"


class ConfigurationError(Exception):
    """The file cannot be used. `str()` is the whole message: the file, and every mistake with its key."""


@dataclass(frozen=True)
class Configured:
    """One policy as it is set: its level, its settings' values, and which of them are not the default."""

    policy: Policy
    level: Level
    settings: Mapping[str, Any]

    @property
    def changes(self) -> list[str]:
        """What differs from the policy's defaults, for the operator to see."""
        found = [] if self.level is self.policy.level else [f"{self.level} (default {self.policy.level})"]
        for name, setting in self.policy.settings.items():
            if self.settings[name] != setting.default:
                found.append(f"{name} {_shown(self.settings[name])} (default {_shown(setting.default)})")
        return found


def file_of(stack: str) -> Path:
    """Where a stack's file is."""
    return Path(__file__).with_name(f"config.{stack}.json")


def read(path: Path, policies: Mapping[str, Policy]) -> dict[str, Configured]:
    """Every policy as a file sets it. ConfigurationError with all mistakes, or where there is no file.

    A file that is not there must not be every default in silence: prod's thresholds are not another stack's.
    """
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no {path}: a stack's levels and thresholds are said in a file of its own; {{}} "
            "takes every default."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path.name} must be an object of policies")
    problems = [f"{name}: is no policy" for name in data if name not in policies]
    configured: dict[str, Configured] = {}
    for name, policy in policies.items():
        try:
            configured[name] = configure(policy, data.get(name, {}))
        except ValueError as error:
            problems.append(f"{name}{error}")
    if problems:
        raise ConfigurationError("\n".join([f"{path.name} cannot be used:", *(f"  {problem}" for problem in problems)]))
    return configured


def configure(policy: Policy, value: Any) -> Configured:
    """A policy with one entry of the file. ValueError that begins with the key inside the entry."""
    entry = {LEVEL_KEY: value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping):
        raise ValueError(f": {value!r} is neither a level nor an object")
    if unknown := sorted(entry.keys() - {LEVEL_KEY, *policy.settings}):
        known = ", ".join([LEVEL_KEY, *policy.settings])
        raise ValueError(f".{unknown[0]}: is no setting; there are {known}")
    level = entry.get(LEVEL_KEY, policy.level)
    if level not in list(Level):
        raise ValueError(f".{LEVEL_KEY}: {level!r} is not one of {', '.join(Level)}")
    settings: dict[str, Any] = {}
    for name, setting in policy.settings.items():
        try:
            settings[name] = setting.read(entry[name]) if name in entry else setting.default
        except ValueError as error:
            raise ValueError(f".{name}: {error}") from None
    return Configured(policy, Level(level), settings)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return json.dumps(value) if not isinstance(value, str) else value

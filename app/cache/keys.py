"""Cache keys of decorated functions, from a template over their arguments."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable
from typing import Any


def key_maker(template: str, function: Callable[..., Any]) -> Callable[..., str]:
    """A function that makes the key of a call: `item:{user}:{name}` from the arguments `user` and `name`.

    It is compiled once, with `function`'s own signature, so that a call costs one f-string.
    Raises: ValueError for a field that is no plain argument of `function`.
    """
    parameters = inspect.signature(function).parameters
    parts: list[str] = []
    for text, field, spec, conversion in string.Formatter().parse(template):
        parts.append(text.replace("{", "{{").replace("}", "}}").replace("\\", "\\\\").replace('"', '\\"'))
        if field is None:
            continue
        if field not in parameters or spec or conversion:
            raise ValueError(f"{{{field}}} in {template!r} is no argument of {function.__name__}")
        parts.append("{" + field + "}")
    if not any(part.startswith("{") and not part.startswith("{{") for part in parts) and parameters:
        raise ValueError(f"{template!r} names no argument of {function.__name__}: every call would share one value")
    arguments: list[str] = []
    defaults: dict[str, Any] = {}
    star = False
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            raise ValueError(f"{function.__name__} takes any arguments: its calls have no key")
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            arguments.append("*")
            star = True
        if parameter.default is parameter.empty:
            arguments.append(name)
        else:
            defaults[f"_default_{name}"] = parameter.default
            arguments.append(f"{name}=_default_{name}")
    source = f'def key({", ".join(arguments)}): return f"{"".join(parts)}"'
    names: dict[str, Any] = dict(defaults)
    exec(compile(source, f"<key of {function.__qualname__}>", "exec"), names)
    made: Callable[..., str] = names["key"]
    return made

"""A stack file's mistakes: all of them at once, each with its path, what is wrong, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pydantic
from pulumi import RunError
from pydantic.fields import FieldInfo

from topology import forms

NAMESPACE = "hal9"
STACK = "$stack"
"""The path of the stack's own name."""
WITHHELD = "[secret]"
"""What the embedded engine hands over for an encrypted value (plan.project.SECURE)."""
Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: the path below `hal9:` in the stack file, and a
    sentence that says what is wrong and what would be right.

    `rests_on`: paths of the other settings that it was judged by. `cause`: what it has in common with others that one
    change would mend; of those, one is told, with the paths of the rest.
    """

    path: str
    message: str
    rests_on: tuple[str, ...] = field(default=(), compare=False)
    cause: str = field(default="", compare=False)


class StackFileError(RunError):
    """The stack file cannot be planned. `str()` is the whole message for the operator; `mistakes` the single ones.

    A RunError, so that the Pulumi CLI prints the message and no traceback.
    """

    def __init__(self, stack: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        paths = [_full(m.path) for m in self.mistakes]
        width = min(max(map(len, paths)), 48)
        count = "1 mistake" if len(paths) == 1 else f"{len(paths)} mistakes"
        lines = [f"  {path:<{width}}  {m.message}" for path, m in zip(paths, self.mistakes, strict=True)]
        super().__init__("\n".join([f"Pulumi.{stack}.yaml has {count}; nothing was planned.", *lines]))


def structure(model: type[pydantic.BaseModel], config: Mapping[str, str]) -> dict[str, Any]:
    """Pulumi's flat text configuration as the nested data that `model` describes.

    Pulumi hands every value over as text, structured ones as JSON. A field that is text stays as it is, so that an
    account id with a leading zero survives; anything else is read as JSON, and left as text where it is none, for the
    model to refuse with the field's path.
    """
    fields = {known.alias or name: known for name, known in model.model_fields.items()}
    data: dict[str, Any] = {}
    for full_key, text in config.items():
        namespace, _, key = full_key.partition(":")
        if namespace != NAMESPACE:
            continue
        data[key] = text if key in fields and _is_text(fields[key].annotation) else _from_json(text)
    return data


def mistakes_of(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> list[Mistake]:
    """Pydantic's findings in the words of this project."""
    found = error.errors(include_url=False)
    inner = {e["loc"] for e in found}
    counted = [
        e
        for e in found
        if e["type"] != "too_short" or not any(len(i) > len(e["loc"]) and i[: len(e["loc"])] == e["loc"] for i in inner)
    ]
    return sorted({Mistake(_path(e["loc"]), _sentence(e, model)) for e in counted})


def secrets_of(
    encrypted: Iterable[str], data: Mapping[str, Any], model: type[pydantic.BaseModel]
) -> tuple[list[Mistake], dict[str, Any]]:
    """A mistake for each setting that was set with `--secret`, and the data without them; no value is shown.

    What the embedded engine withholds is told by its own path; from the CLI only the key is known.
    """
    found, left = [], json.loads(json.dumps(data))
    for key in sorted(name.removeprefix(f"{NAMESPACE}:") for name in encrypted if name.startswith(f"{NAMESPACE}:")):
        paths = list(_withheld(left.get(key), (key,))) or [(key,)]
        for location in paths:
            holder = left
            for part in location[:-1]:
                holder = holder[part]
            if isinstance(holder, dict):
                holder.pop(location[-1], None)
            known = key in _keys_at(model, ())
            right = "is encrypted, and no setting is a secret; set it with --plaintext"
            found.append(Mistake(_path(location), right if known else _no_key(key, _keys_at(model, ()))))
    return found, left


def _withheld(value: Any, location: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    """Where in a value the embedded engine has put `WITHHELD`."""
    if value == WITHHELD:
        yield location
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _withheld(inner, (*location, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _withheld(inner, (*location, index))


def by_cause(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes in order, those of one cause as one."""
    told: dict[str, list[Mistake]] = {}
    for mistake in sorted(mistakes):
        told.setdefault(mistake.cause or f"{mistake.path}: {mistake.message}", []).append(mistake)
    return [_joined(held) for held in told.values()]


def _joined(held: list[Mistake]) -> Mistake:
    first, *others = held
    if not others:
        return first
    return replace(first, message=f"{first.message}; the same at {', '.join(dict.fromkeys(o.path for o in others))}")


def repaired(
    data: Mapping[str, Any],
    error: pydantic.ValidationError,
    model: type[Model],
    validate: Callable[[Mapping[str, Any]], Model],
) -> Model | None:
    """The model with every refused value replaced, so that the rules between the parts can still be asked.

    What has a default gets it, what has none the example of its field; an entry of a list keeps its place, so that the
    paths of the others stay true. None where that is not enough. What the rules then say of a replaced value must not
    be reported: `touches` tells.
    """
    copy: dict[str, Any] = json.loads(json.dumps(data))
    for _ in range(4):  # a map that was replaced by an empty one lacks its keys in the next round, and so on inwards
        for found in sorted(error.errors(include_url=False), key=lambda e: len(e["loc"]), reverse=True):
            _replace(copy, found["loc"], model)
        try:
            return validate(copy)
        except pydantic.ValidationError as next_error:
            error = next_error
    return None


def _replace(data: dict[str, Any], location: tuple[int | str, ...], model: type[pydantic.BaseModel]) -> None:
    *parents, last = location
    holder: Any = data
    for part in parents:
        holder = holder.get(part) if isinstance(holder, dict) else holder[part]
    if isinstance(holder, list) and isinstance(last, int):
        examples = _examples(model, location[:-1])
        holder[last] = examples[0][0] if examples else ""
    elif isinstance(holder, dict):
        holder.pop(last, None)
        if examples := _examples(model, location):
            holder[str(last)] = examples[0]
        elif not _keys_at(model, location[:-1]) and _keys_at(model, location):
            holder[str(last)] = {}  # one of a map of models, such as a region: it still counts


def touches(mistake: Mistake, found: Iterable[Mistake]) -> bool:
    """Whether a rule's mistake rests on something that was refused already, and so may be only its echo."""
    judged_by = [_segments(path) for path in (mistake.path, *mistake.rests_on)]
    refused = [_segments(other.path) for other in found]
    return any(a[: len(b)] == b[: len(a)] for a in judged_by for b in refused)


def listed(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = list(names)
    return f"{', '.join(head)} or {last}" if head else last


def unknown(name: str, kind: str, known: Sequence[str]) -> str:
    """That a name is none of the `known` of its kind, and which there are."""
    return f"{name!r} is no {kind}; there {'are' if len(known) > 1 else 'is'} {', '.join(known)}"


_SECRET = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)


def _no_key(name: str, known: Sequence[str]) -> str:
    """That a key is none of the `known`, and which was meant."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if _SECRET.search(name) and not (near and _SECRET.search(near[0])):
        return "is no known key; no setting is a secret: the program makes passwords and keys itself"
    return (
        f"is no known key; did you mean {near[0]}?" if near else f"is no known key; known are {listed(sorted(known))}"
    )


def _full(path: str) -> str:
    """A path as it stands in the stack file; what a terminal would obey instead of showing it is escaped."""
    if path == STACK:
        return "the stack's name"
    full = path if ":" in path.split(".", maxsplit=1)[0] else f"{NAMESPACE}:{path}"
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in full)


def unknown_region(path: str, name: str, regions: Sequence[str]) -> Mistake:
    """That a setting names a region that is not there. A region that
    was renamed or taken out is one mistake, wherever it is named.
    """
    near = difflib.get_close_matches(name, regions, n=1, cutoff=0.9)
    meant = f"; did you mean {near[0]}?" if near else ""
    return Mistake(path, f"{unknown(name, 'region', regions)}{meant}", cause=f"region {name}", rests_on=("regions",))


def _segments(path: str) -> list[str]:
    """`shards[1].home` as `shards`, `1]`, `home`."""
    return re.split(r"[.\[]", path)


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".").replace("$$", "$")


def _sentence(error: Any, model: type[pydantic.BaseModel]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    match kind:
        case "missing":
            return "is missing; it must be set"
        case "extra_forbidden":
            return _no_key(str(error["loc"][-1]), _keys_at(model, error["loc"][:-1]))
        case "literal_error" | "enum":
            return f"{_shown(given)} is not {context['expected']}"
        case "greater_than_equal" | "greater_than":
            return (
                f"{_shown(given)} is too small; {'at least' if 'ge' in context else 'more than'} "
                f"{context.get('ge', context.get('gt')):g}"
            )
        case "less_than_equal" | "less_than":
            return (
                f"{_shown(given)} is too large; {'at most' if 'le' in context else 'less than'} "
                f"{context.get('le', context.get('lt'))}"
            )
        case "value_error":
            return str(context["error"])
        case "too_short":
            least = context["min_length"]
            count = f"has only {context['actual_length']}" if context["actual_length"] else "is empty"
            return f"{count}; at least {least} {'entry' if least == 1 else 'entries'}"
    if kind == "finite_number":
        return f"{_shown(given)} is not a number"
    wanted = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "string_type": "text",
        "bool_type": "true or false",
        "dict_type": "a map",
        "model_type": "a map",
        "model_attributes_type": "a map",
        "tuple_type": "a list",
        "list_type": "a list",
        "frozen_set_type": "a list",
        "ip_v4_network": "an IPv4 block such as 10.0.0.0/16",
    }.get(kind)
    if wanted and wanted != "text" and given in ("", None):
        return f"is empty; {wanted}, or leave the key out"
    if wanted == "text" and isinstance(given, bool | int | float):
        return f"{_shown(given)} is not text; quote it, as YAML reads some words (NO, on) and digits as something else"
    return f"{_shown(given)} is not {wanted}" if wanted else f"{_shown(given)}: {error['msg']}"


def _shown(value: Any) -> str:
    return forms.shown(value) if isinstance(value, str) else json.dumps(value, default=str)[:60]


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _arms(annotation: Any) -> list[Any]:
    """A type's members: of a union each, else itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _arms(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [arm for member in typing.get_args(annotation) for arm in _arms(member)]
    return [annotation]


def _is_text(annotation: Any) -> bool:
    return str in _arms(annotation)


def _examples(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> list[Any]:
    """The examples of the field at `location`."""
    found = fields_at(model, location[:-1]).get(str(location[-1])) if location else None
    return found.examples or [] if found else []


def fields_at(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """The fields by key of the model at `location`."""
    current: Any = model
    for part in location:
        for arm in _arms(current):
            if isinstance(arm, type) and issubclass(arm, pydantic.BaseModel):
                known = next((f for name, f in arm.model_fields.items() if (f.alias or name) == part), None)
                current = known.annotation if known else None
            elif typing.get_origin(arm) in (dict, tuple):
                args = typing.get_args(arm)
                current = args[1] if typing.get_origin(arm) is dict else args[0]
    models = [arm for arm in _arms(current) if isinstance(arm, type) and issubclass(arm, pydantic.BaseModel)]
    return {known.alias or name: known for m in models for name, known in m.model_fields.items()}


def _keys_at(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that an operator may set at `location`."""
    return [name for name in fields_at(model, location) if not name.startswith("$")]

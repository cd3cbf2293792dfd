"""A stack file's mistakes: all of them at once, each with its path, what is wrong, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic
from pulumi import RunError
from pydantic.fields import FieldInfo

NAMESPACE = "hal9"
Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: the path below `hal9:` in the stack file, and a sentence that says what is wrong and what would be right."""

    path: str
    message: str


class StackFileError(RunError):
    """The stack file cannot be planned. `str()` is the whole message for the operator; `mistakes` the single ones.

    A RunError, so that the Pulumi CLI prints the message and no traceback.
    """

    def __init__(self, stack: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        paths = [f"{NAMESPACE}:{m.path}" for m in self.mistakes]
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
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
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


def repaired(data: Mapping[str, Any], error: pydantic.ValidationError, model: type[Model]) -> Model | None:
    """The model with every refused value taken out, so that the rules between the parts can still be asked.

    What has a default gets it, what has none the example of its field. None where that is not enough. What the rules
    then say of a repaired value must not be reported: `touches` tells.
    """
    copy: dict[str, Any] = json.loads(json.dumps(data))
    for _ in range(3):  # taking out an entry can leave its list too short, and so on outwards
        for found in sorted(error.errors(include_url=False), key=lambda e: len(e["loc"]), reverse=True):
            _take_out(copy, found["loc"], model)
        copy = _without_nulls(copy)
        try:
            return model.model_validate_json(json.dumps(copy))
        except pydantic.ValidationError as next_error:
            error = next_error
    return None


def _take_out(data: dict[str, Any], location: tuple[int | str, ...], model: type[pydantic.BaseModel]) -> None:
    *parents, last = location
    holder: Any = data
    for part in parents:
        holder = holder[part]
    field = _fields_at(model, location[:-1]).get(str(last))
    if isinstance(holder, list) and isinstance(last, int):
        holder[last] = None
    elif isinstance(holder, dict):
        holder.pop(last, None)
        if field and field.examples:
            holder[str(last)] = field.examples[0]


def touches(mistake: Mistake, found: Iterable[Mistake]) -> bool:
    """Whether a rule's mistake speaks of something that was refused already, and so may be only its consequence."""
    for other in found:
        head = re.split(r"[.\[]", other.path)
        region = head[1] if head[0] == "regions" and len(head) > 1 else None
        if (
            mistake.path.startswith(other.path)
            or other.path.startswith(mistake.path)
            or (region and region in mistake.message)
        ):
            return True
    return False


def listed(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = list(names)
    return f"{', '.join(head)} or {last}" if head else last


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


def _sentence(error: Any, model: type[pydantic.BaseModel]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    match kind:
        case "missing":
            return "is missing; it must be set"
        case "extra_forbidden":
            name, known = str(error["loc"][-1]), _keys_at(model, error["loc"][:-1])
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            return (
                f"is no known key; did you mean {near[0]}?"
                if near
                else f"is no known key; known are {listed(sorted(known))}"
            )
        case "literal_error" | "enum":
            return f"{_shown(given)} is not {context['expected']}"
        case "greater_than_equal" | "greater_than":
            return f"{_shown(given)} is too small; {'at least' if 'ge' in context else 'more than'} {context.get('ge', context.get('gt'))}"
        case "less_than_equal" | "less_than":
            return f"{_shown(given)} is too large; {'at most' if 'le' in context else 'less than'} {context.get('le', context.get('lt'))}"
        case "string_pattern_mismatch":
            return f"{_shown(given)} does not look right; it must match {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case "too_short":
            return f"has {context['actual_length']} entries; at least {context['min_length']}"
    wanted = {
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number", "string_type": "text",
        "bool_type": "true or false", "dict_type": "a map", "model_type": "a map", "model_attributes_type": "a map",
        "tuple_type": "a list", "list_type": "a list", "frozen_set_type": "a list", "ip_v4_network": "an IPv4 block such as 10.0.0.0/16",
    }.get(kind)  # fmt: skip
    if wanted == "text" and isinstance(given, bool | int | float):
        return f"{_shown(given)} is not text; quote it, as YAML reads some words (NO, on) and digits as something else"
    return f"{_shown(given)} is not {wanted}" if wanted else f"{_shown(given)}: {error['msg']}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text[:60]) if isinstance(value, str) else text[:60]


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


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items()}
    return [_without_nulls(v) for v in value if v is not None] if isinstance(value, list) else value


def _fields_at(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """The fields by key of the model at `location`."""
    current: Any = model
    for part in location:
        for arm in _arms(current):
            if isinstance(arm, type) and issubclass(arm, pydantic.BaseModel):
                field = next((f for name, f in arm.model_fields.items() if (f.alias or name) == part), None)
                current = field.annotation if field else current
            elif typing.get_origin(arm) in (dict, tuple):
                args = typing.get_args(arm)
                current = args[1] if typing.get_origin(arm) is dict else args[0]
    models = [arm for arm in _arms(current) if isinstance(arm, type) and issubclass(arm, pydantic.BaseModel)]
    return {field.alias or name: field for m in models for name, field in m.model_fields.items()}


def _keys_at(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that an operator may set at `location`."""
    return [name for name in _fields_at(model, location) if not name.startswith("$")]

"""The way from a stack file to its topology: read, validated, held against the rules between its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from topology import rules
from topology.stackfile import StackFileError, mistakes_of, repaired, secrets_of, structure, touches
from topology.topology import Topology


def load() -> Topology:
    """The running stack's topology. StackFileError with every mistake where there is one."""
    import pulumi  # here, so that the model is used without the engine

    config = pulumi.runtime.config.CONFIG.get()
    encrypted = [key for key in config if pulumi.runtime.config.is_config_secret(key)]
    return parse(pulumi.get_stack(), structure(Topology, config), encrypted)


def parse(stack: str, data: Mapping[str, Any], encrypted: Iterable[str] = ()) -> Topology:
    """A topology from a stack file's nested data (the keys below `hal9:`). StackFileError with every mistake.

    `encrypted`: full keys set with `--secret`. No setting is a secret, and a mistake shows what was set.
    """

    def validate(values: Mapping[str, Any]) -> Topology:
        return Topology.model_validate_json(json.dumps(_named(values, stack)))

    secret = secrets_of(encrypted)
    data = {key: value for key, value in data.items() if key not in {mistake.path for mistake in secret}}
    model: Topology | None
    try:
        model, refused = validate(data), secret
    except pydantic.ValidationError as error:
        refused = secret + [mistake for mistake in mistakes_of(error, Topology) if not touches(mistake, secret)]
        model = repaired(data, error, Topology, validate)
    between = [m for m in rules.mistakes(model) if not touches(m, refused)] if model else []
    if model is None or refused or between:
        raise StackFileError(stack, sorted({*refused, *between}))
    return model


def _named(data: Mapping[str, Any], stack: str) -> dict[str, Any]:
    """The data with each region's own name in it, and the stack's, under keys that no stack file may hold."""
    regions = data.get("regions")
    if isinstance(regions, dict):
        regions = {k: {**_plain(v), "$name": k} if isinstance(v, dict) else v for k, v in regions.items()}
        data = {**data, "regions": regions}
    return {**_plain(data), "$stack": stack}


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with a stack file's own keys that begin with $ made into ones that are refused as unknown."""
    return {key.replace("$", "$$", 1) if key.startswith("$") else key: value for key, value in data.items()}

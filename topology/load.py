"""The way from a stack file to its topology: read, validated, held against the rules between its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from topology import rules, switches
from topology.stackfile import Mistake, StackFileError, by_cause, mistakes_of, repaired, secrets_of, structure, touches
from topology.topology import Topology


def load() -> Topology:
    """The running stack's topology. StackFileError with every mistake where there is one."""
    import pulumi  # here, so that the model is used without the engine

    config = pulumi.runtime.config.CONFIG.get()
    encrypted = [key for key in config if pulumi.runtime.config.is_config_secret(key)]
    return of_config(pulumi.get_stack(), config, encrypted)


def of_config(stack: str, config: Mapping[str, str], encrypted: Iterable[str] = ()) -> Topology:
    """The topology of a stack's flat configuration, as Pulumi hands it over. StackFileError with every mistake."""
    return parse(stack, structure(Topology, config), encrypted, switches.mistakes(config))


def parse(
    stack: str,
    data: Mapping[str, Any],
    encrypted: Iterable[str] = (),
    beside: Iterable[Mistake] = (),
    *,
    judged: bool = True,
) -> Topology:
    """A topology from a stack file's nested data (the keys below `hal9:`). StackFileError with every mistake.

    `encrypted`: full keys set with `--secret`. No setting is a secret, and a mistake shows
    what was set. `beside`: mistakes of what is no setting of this project. `judged`: held
    against the rules between its parts too; what stands already may be older than a rule.
    """

    def validate(values: Mapping[str, Any]) -> Topology:
        return Topology.model_validate_json(json.dumps(_named(values, stack)))

    secret, data = secrets_of(encrypted, data, Topology)
    model: Topology | None
    try:
        model, refused = validate(data), secret
    except pydantic.ValidationError as error:
        refused = secret + [mistake for mistake in mistakes_of(error, Topology) if not touches(mistake, secret)]
        model = repaired(data, error, Topology, validate)
    between = [m for m in rules.mistakes(model) if not touches(m, refused)] if model and judged else []
    found = {*refused, *between, *beside}
    if model is None or found:
        raise StackFileError(stack, by_cause(found))
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

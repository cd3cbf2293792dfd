"""The stand-in for the random provider, which really generates."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.engine.standins.cloud import Refused
from tests.engine.standins.package import Made, Values

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"


class Random:
    """See `Package`."""

    name = "random"

    def scope(self, token: str, inputs: Values, config: Values) -> str:
        """See `Package.scope`: these are nowhere but in the state."""
        return self.name

    def create(self, token: str, logical_name: str, inputs: Values, config: Values, serial: int) -> Made:
        """See `Package.create`."""
        makers: dict[str, Callable[[Values], tuple[str, dict[str, Any]]]] = {
            "RandomPassword": lambda given: ("none", {"result": _characters(given), "bcryptHash": ""}),
            "RandomString": lambda given: (text := _characters(given), {"result": text}),
            "RandomBytes": _bytes,
            "RandomId": _id,
            "RandomUuid": lambda _given: (text := str(uuid.uuid4()), {"result": text}),
            "RandomInteger": _integer,
            "RandomPet": lambda _given: (text := secrets.token_hex(4), {"id": text}),
        }
        kind = token.rpartition(":")[2]
        if kind not in makers:
            raise Refused(f"the stand-in for random makes no {kind}")
        made_id, outputs = makers[kind](inputs)
        # All passwords have the id "none" in the real provider; here an id tells resources apart.
        unique = f"{made_id}-{secrets.token_hex(8)}" if made_id == "none" or kind == "RandomBytes" else made_id
        return Made(unique, {**inputs, **outputs, "id": unique})

    def update(self, token: str, before: Values, inputs: Values) -> dict[str, Any]:
        """See `Package.update`."""
        return {**before, **inputs}

    def replaces(self, token: str, changed: set[str]) -> set[str]:
        """Any change draws anew."""
        return changed

    def functions(self) -> Mapping[str, Callable[[Values, Values], dict[str, Any]]]:
        """None."""
        return {}


def _characters(given: Values) -> str:
    """As the provider: the kinds asked for, the minimum of each, the rest from all."""
    kinds = [
        (string.ascii_lowercase, given.get("lower", True), given.get("minLower", 0)),
        (string.ascii_uppercase, given.get("upper", True), given.get("minUpper", 0)),
        (string.digits, given.get("numeric", True), given.get("minNumeric", 0)),
        (given.get("overrideSpecial") or _SPECIAL, given.get("special", True), given.get("minSpecial", 0)),
    ]
    drawn = [secrets.choice(alphabet) for alphabet, wanted, least in kinds if wanted for _ in range(int(least))]
    everything = "".join(alphabet for alphabet, wanted, _ in kinds if wanted)
    if not everything:
        raise Refused("no kind of character is allowed")
    drawn += [secrets.choice(everything) for _ in range(int(given["length"]) - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def _bytes(given: Values) -> tuple[str, dict[str, Any]]:
    data = secrets.token_bytes(int(given["length"]))
    return "none", {"base64": base64.b64encode(data).decode(), "hex": data.hex()}


def _id(given: Values) -> tuple[str, dict[str, Any]]:
    data, prefix = secrets.token_bytes(int(given["byteLength"])), str(given.get("prefix") or "")
    url = base64.urlsafe_b64encode(data).decode().rstrip("=")
    encodings = {
        "b64Url": prefix + url,
        "b64Std": prefix + base64.b64encode(data).decode(),
        "hex": prefix + data.hex(),
        "dec": prefix + str(int.from_bytes(data, "big")),
    }
    return url, encodings


def _integer(given: Values) -> tuple[str, dict[str, Any]]:
    number = int(given["min"]) + secrets.randbelow(int(given["max"]) - int(given["min"]) + 1)
    return str(number), {"result": number}

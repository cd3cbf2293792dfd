"""What a cloud adds to a resource when it comes to be, made up from the SDK's own output types.

Values are plausible (an ARN looks like one), and the same for the same resource: the digest of its scope, type and
logical name stands where the cloud would draw at random.
"""

from __future__ import annotations

import base64
import hashlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plan import schema

_WHEN = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Identity:
    """Who a new resource is: where it lives and what it is
    called. `serial` tells a replacement from what it replaces.
    """

    token: str
    account: str
    region: str
    name: str
    serial: int = 0

    @property
    def digest(self) -> str:
        """Forty hexadecimal digits."""
        return hashlib.sha1(repr(self).encode(), usedforsecurity=False).hexdigest()

    @property
    def service(self) -> str:
        """`ec2` of `aws:ec2/vpc:Vpc`."""
        return self.token.split(":")[1].split("/")[0].lower()

    @property
    def kind(self) -> str:
        """`vpc` of `aws:ec2/vpc:Vpc`."""
        return self.token.rpartition(":")[2].lower()

    @property
    def id(self) -> str:
        """An id as AWS draws them: `vpc-0123456789abcdef0`."""
        return f"{self.kind}-{self.digest[:17]}"

    @property
    def arn(self) -> str:
        """The resource's ARN; a global service's names no region."""
        region = "" if self.service in {"iam", "route53", "cloudfront"} else self.region
        return f"arn:aws:{self.service}:{region}:{self.account}:{self.kind}/{self.name}"


def completed(identity: Identity, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """All outputs of a new resource: its inputs, and every property that the SDK says is always there."""
    cls = schema.resource_class(identity.token)
    taken = schema.members(schema.inputs_class(identity.token))
    outputs = dict(inputs)
    for name, hint in schema.members(cls).items():
        if outputs.get(name) is None and (name not in taken or not _optional(hint)):
            outputs[name] = _made_up(identity, name, hint, output_only=name not in taken, depth=0)
    return {name: value for name, value in outputs.items() if value is not None}


def _optional(hint: Any) -> bool:
    inner = typing.get_args(hint)[0] if typing.get_args(hint) else hint
    return type(None) in typing.get_args(inner)


def _made_up(identity: Identity, name: str, hint: Any, *, output_only: bool, depth: int) -> Any:
    choices = schema.alternatives(hint)
    for choice in choices:
        origin = typing.get_origin(choice) or choice
        inside = typing.get_args(choice)
        if origin is str:
            return _text(identity, name)
        if origin is bool:
            return False
        if origin in (int, float):
            return 443 if name.lower().endswith("port") else 1
        if inside and not issubclass(origin, Mapping):  # a list
            some = output_only and depth < 3
            return [_made_up(identity, name, inside[0], output_only=True, depth=depth + 1)] if some else []
        if depth < 3 and schema.element_classes(choice):
            members = schema.members(choice)
            return {
                member: _made_up(identity, member, of, output_only=output_only, depth=depth + 1)
                for member, of in members.items()
            }
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {}
    return None


def _text(identity: Identity, name: str) -> str:
    """A text by what the property is called."""
    low = name.lower()
    host = (
        f"{identity.name}.{identity.digest[:8]}.{identity.service}.{identity.region or 'global'}.amazonaws.com".lower()
    )
    rules: tuple[tuple[bool, str], ...] = (
        (low == "region", identity.region),
        (low == "arn", identity.arn),
        (low.endswith("arn"), f"{identity.arn}/{name}"),
        (low in {"ownerid", "accountid", "registryid"}, identity.account),
        (low.endswith("zoneid"), f"Z{identity.digest[:13].upper()}"),
        (low == "availabilityzone", f"{identity.region}a"),
        (low.endswith(("endpoint", "address", "domainname", "dnsname", "fqdn", "host", "server")), host),
        (low.endswith("uri"), f"https://{host}/{identity.name}"),
        (low.endswith(("url", "issuer")), f"https://{host}/id/{identity.digest[:32].upper()}"),
        (low.endswith(("ip", "ipaddress")), f"198.51.100.{int(identity.digest[:2], 16) % 254 + 1}"),
        (low.endswith(("data", "pem", "certificate")), base64.b64encode(f"stand-in {name}".encode()).decode()),
        (low.endswith(("date", "time", "at", "notafter", "notbefore")), _WHEN),
        (low in {"name", "identifier", "bucket"}, f"{identity.name}-{identity.digest[:7]}"),
        (low.endswith("id"), f"{low.removesuffix('id') or identity.kind}-{identity.digest[:17]}"),
    )
    return next((text for matches, text in rules if matches), f"{name}-{identity.digest[:8]}")

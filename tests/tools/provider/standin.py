"""A provider of one resource type, `aws_vpc`, which speaks the protocol as Terraform's AWS provider does.

It refuses a `cidr_block` without a slash, replaces a resource whose `cidr_block` changes, and dies where `name` is
`die`. `main` serves it as a plugin is served: the handshake's line on its output, then requests until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent import futures
from typing import Any

import grpc
import msgspec

from tools.provider import protocol

MESSAGES: dict[str, Any] = protocol.message_classes()


def _attribute(name: str, type_: object, *, required: bool = False) -> Any:
    return MESSAGES["Attribute"](name=name, type=json.dumps(type_).encode(), required=required, optional=not required)


def schemas() -> Any:
    """The provider's own schema and that of its one type."""
    block = MESSAGES["Block"](
        attributes=[
            _attribute("cidr_block", "string", required=True),
            _attribute("name", "string"),
            _attribute("tags", ["map", "string"]),
        ]
    )
    vpc = MESSAGES["ResourceSchema"](key="aws_vpc", value=MESSAGES["Schema"](block=block))
    own = MESSAGES["Block"](attributes=[_attribute("region", "string")])
    return MESSAGES["Schemas"](provider=MESSAGES["Schema"](block=own), resources=[vpc])


def _value(given: Any) -> Any:
    return msgspec.msgpack.decode(given.msgpack)


def validate(request: Any) -> Any:
    """Refuses a block without a slash."""
    block = _value(request.config)["cidr_block"]
    wrong = isinstance(block, str) and "/" not in block
    said = MESSAGES["Diagnostic"](severity=1, summary="no CIDR block", detail="two\nlines")
    said.attribute.steps.add(attribute_name="cidr_block")
    return MESSAGES["Judged"](diagnostics=[said] if wrong else [])


def plan(request: Any) -> Any:
    """Replaces a resource whose block changes."""
    before, after = _value(request.prior_state), _value(request.proposed_new_state)
    if after["name"] == "die":
        os._exit(1)
    answer = MESSAGES["Planned"]()
    if before is not None and before["cidr_block"] != after["cidr_block"]:
        answer.requires_replace.add().steps.add(attribute_name="cidr_block")
    return answer


METHODS = {
    "GetSchema": ("Nothing", lambda _request: schemas()),
    "Configure": ("Configure", lambda _request: MESSAGES["Judged"]()),
    "ValidateResourceTypeConfig": ("Config", validate),
    "PlanResourceChange": ("Change", plan),
}


def main() -> None:
    """Serves until it is killed."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != protocol.COOKIE:
        sys.exit("this is a plugin, and no command")
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            lambda request, _context, answer=answer: answer(request),
            request_deserializer=MESSAGES[request].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for method, (request, answer) in METHODS.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"1|5|tcp|127.0.0.1:{port}|grpc|", flush=True)
    server.wait_for_termination()

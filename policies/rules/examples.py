"""The policy of what a stack file was shipped with, or copied from a
document: accounts, domains, addresses and digests of nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import islice
from typing import Any

from policies import tokens
from policies.expect import shown
from policies.policy import Finding, Violation, stack_policy
from policies.stack import Stack
from topology.stackfile import NAMESPACE

ACCOUNTS = frozenset(
    "123456789012 210987654321 012345678901 111122223333 444455556666 777788889999 555555555555".split()
) | frozenset(digit * 12 for digit in "0123456789")
"""Accounts of AWS's and this project's documents, and those of one digit."""
NETWORKS = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
"""Addresses for documents (RFC 5737, RFC 3849)."""
_ACCOUNT = re.compile(r"(?<!\w)[0-9]{12}(?!\w)")
_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost)\.?(?![\w.-])", re.IGNORECASE
)
_HOSTED = re.compile(r"(?:^|@|//)([^/@:\s]+\.?)(?=[/:]|$)")
_DIGEST = re.compile(
    r"sha256:([0-9a-f])\1{63}\b|sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)
_FILL_IN = re.compile(
    r"\b(?:(?i:change[-_ ]?me|fill[-_ ]?in|replace[-_ ]?me)|TODO|FIXME|YOUR[-_]\w+)\b|<[A-Za-z][\w -]*>"
    r"|\b(?i:your[-_](?:account|bucket|company|domain|e?-?mail|name|org|organisation|team|zone))\b"
)
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|2001:0?db8:[0-9a-f:]*)(?:/[0-9]{1,3})?(?![\w.:])", re.IGNORECASE
)
_NOT_DEPLOYED = ("server.image", "gateway.image")
_KEPT = frozenset(("policyExceptions", "lab"))
"""Keys that reach no cloud."""


@stack_policy(tokens.VPC, at_deployment=True)
def examples_replaced(stack: Stack) -> Iterator[Finding]:
    """An example that is deployed is somebody else's account, mailbox or domain, or an image that no registry has: the
    providers refuse the first after minutes, and nobody hears an alarm that goes to the second.
    (RFC 2606, RFC 5737; the shipped stack files)

    Fix: the key that is named, in the stack file: hal9:accountId, hal9:domain,
    hal9:alarmEmail and their neighbours are yours; `make image` writes hal9:server.image.
    """
    for path, value in sorted(_texts(stack.config)):
        for found, wanted in islice(_examples(value), 1):
            yield Violation(None, f"{NAMESPACE}:{path} is {shown(value)}, {found}", wanted)


def _texts(config: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every text below the project's keys, with its path."""
    values = {}
    for key, text in config.items():
        namespace, _, name = key.partition(":")
        if namespace != NAMESPACE or name in _KEPT:
            continue
        try:
            values[name] = json.loads(text) if text[:1] in "[{" else text
        except ValueError:
            values[name] = text
    server = values.get("server")
    deployed = not (isinstance(server, dict) and server.get("deployed") is False)
    for name, value in values.items():
        yield from (leaf for leaf in _leaves(name, value) if deployed or leaf[0] not in _NOT_DEPLOYED)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    elif isinstance(value, str):
        yield path, value


def _examples(text: str) -> Iterator[tuple[str, str]]:
    """What of a text is an example, and what belongs there."""
    if any(account in ACCOUNTS for account in _ACCOUNT.findall(text)):
        yield "an account of examples", "your own account"
    if any(_HOST.fullmatch(host) for host in _HOSTED.findall(text) if "." in host or "//" in text or "@" in text):
        yield "a name that is nobody's", "a name of your own"
    if _DIGEST.search(text):
        yield "a digest that no image has", "the digest of an image"
    if any(_documented(address) for address in _ADDRESS.findall(text)):
        yield "an address of documents", "an address of your own"
    if _FILL_IN.search(text):
        yield "still to be filled in", "a value of your own"


def _documented(text: str) -> bool:
    try:
        block = ip_network(text, strict=False)
    except ValueError:
        return False
    return any(block.version == other.version and block.overlaps(other) and block.prefixlen >= 8 for other in NETWORKS)


POLICIES = (examples_replaced,)

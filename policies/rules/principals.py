"""Policies of whose rights they are: every document that names a principal or a resource, wherever it sits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown
from policies.policy import Finding, Later, Violation, stack_policy
from policies.stack import Stack

ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
DOCUMENTS: dict[str, tuple[str, ...]] = {
    tokens.ROLE: ("assumeRolePolicy",),
    tokens.ROLE_POLICY: ("policy",),
    tokens.IAM_POLICY: ("policy",),
    tokens.KEY: ("policy",),
    tokens.TOPIC_POLICY: ("policy",),
    tokens.TOPIC: ("policy",),
    tokens.SECRET: ("policy",),
    ENDPOINT: ("policy",),
}
_OWN_ACCOUNT = ("aws:SourceAccount", "aws:PrincipalAccount", "kms:CallerAccount", "aws:ResourceAccount")
_WHOLE_SERVICE = re.compile(r"arn:aws[\w-]*:[\w-]+:[^:]*:[^:]*:(\*|[\w-]+[:/]\*)")


def _accounts(stack: Stack) -> set[str]:
    """The stack's account: what its providers are held to. (A provider's list travels as text.)"""
    found: set[str] = set()
    for provider in stack.of(tokens.AWS_PROVIDER):
        held = at(provider, "allowedAccountIds")
        found |= set(
            re.findall(r"\d{12}", held if isinstance(held, str) else " ".join(items(provider, "allowedAccountIds")))
        )
    return found


@stack_policy(*DOCUMENTS, tokens.ACCESS_ENTRY, tokens.ACCESS_POLICY)
def principals_of_this_account(stack: Stack) -> Iterator[Finding]:
    """A stranger's account that a role trusts, or that a key lets in, has what the role may and the key opens; so has
    anybody who can be a principal of `*`. (CIS AWS 1.16, 1.20; CKV_AWS_33, 60, 61)

    Fix: hal9:accountId and hal9:cluster.adminRoleArns; the statement's Principal, an ARN of this account or a service.
    """
    accounts = _accounts(stack)
    for resource in stack.of(tokens.ACCESS_ENTRY, tokens.ACCESS_POLICY):
        arn = at(resource, "principalArn")
        if isinstance(arn, str) and not is_unknown(arn) and _account(arn) not in accounts:
            yield Violation(
                resource, f"principalArn is {shown(arn)}", f"a role of account {', '.join(sorted(accounts))}"
            )
    for resource, path, statement in _statements(stack):
        if statement is None:
            yield Later(resource, path)
            continue
        if statement.get("Effect") != "Allow":
            continue
        for kind, principal in _principals(statement.get("Principal")):
            if problem := _strange(kind, principal, statement.get("Condition"), accounts):
                name = statement.get("Sid", path)
                yield Violation(resource, f"statement {name}: {problem}", "principals of this account, or services")


@stack_policy(tokens.ROLE_POLICY, tokens.IAM_POLICY)
def resources_named(stack: Stack) -> Iterator[Finding]:
    """`secret:*` is every secret of the account and `role/*` with iam:PassRole is an
    administrator; a name before the star says whose they are. (CKV_AWS_109, 111, 356)

    Fix: components/pod_roles.py; the resource's own name, or this stack's names before the star.
    """
    for resource, _, statement in _statements(stack, tokens.ROLE_POLICY, tokens.IAM_POLICY):
        if statement is None or statement.get("Effect") != "Allow":
            continue
        for arn in _listed(statement.get("Resource")):
            if _WHOLE_SERVICE.fullmatch(arn):
                yield Violation(resource, f"statement {statement.get('Sid', '')}: Resource {arn}", "named resources")


def _statements(stack: Stack, *types: str) -> Iterator[tuple[Resource, str, dict[str, Any] | None]]:
    """Every statement of every document, with where it is; None for a document that is not known yet."""
    for resource in stack.of(*(types or DOCUMENTS)):
        for path in DOCUMENTS[resource.type]:
            text = at(resource, path)
            if text is None:
                continue
            if is_unknown(text):
                yield resource, path, None
                continue
            try:
                found = json.loads(text)["Statement"]
            except (TypeError, ValueError, KeyError):
                continue  # that it is none is no-wildcard-iam's
            for statement in found if isinstance(found, list) else [found]:
                if isinstance(statement, dict):
                    yield resource, path, statement


def _principals(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield "AWS", value
    elif isinstance(value, dict):
        for kind, named in value.items():
            yield from ((kind, one) for one in _listed(named))


def _strange(kind: str, principal: str, condition: Any, accounts: set[str]) -> str:
    """What is wrong with a principal; empty where nothing is."""
    if kind == "Service":
        return "Service *" if "*" in principal else ""
    if kind == "AWS" and principal != "*":
        return "" if _account(principal) in accounts else f"principal {principal} of another account"
    if kind == "Federated" and "*" not in principal and _account(principal) in accounts:
        return ""
    return "" if kind == "AWS" and _own_account(condition, accounts) else f"{kind} {principal}"


def _own_account(condition: Any, accounts: set[str]) -> bool:
    """Whether a condition lets in this account alone."""
    equals = condition.get("StringEquals") if isinstance(condition, dict) else None
    if not isinstance(equals, dict):
        return False
    return any(set(_listed(equals.get(key))) <= accounts and _listed(equals.get(key)) for key in _OWN_ACCOUNT)


def _account(principal: str) -> str:
    found = re.fullmatch(r"arn:aws[\w-]*:(?:iam|sts)::(\d{12}):.+|(\d{12})", principal)
    return (found[1] or found[2]) if found else ""


def _listed(value: Any) -> list[str]:
    return [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]


POLICIES = (principals_of_this_account, resources_named)

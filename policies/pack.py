"""The policies as CrossGuard's: what the real engine hands over, as the records that rules judge.

Everything here works on values; the pack itself, which serves for ever, is made in `__main__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pulumi
import pulumi_policy
from pulumi_policy import deserialize, proxy, secret
from pulumi_policy.secret import Secret as SecretValue

from plan.record import Resource
from plan.values import Secret, Unknown, UnknownSecret, is_unknown
from policies import exceptions as excuses
from policies.configuration import LEVEL_KEY, configure
from policies.judge import LONGEST_EXCEPTION_DAYS, findings
from policies.policy import Finding, Later, Policy
from policies.registry import POLICIES
from policies.stack import Stack

NAME = "hal9"
EXCEPTIONS = "exceptions-current"
_PROXIES = (proxy._DictProxy, proxy._ListProxy, secret._DictSecretsProxy, secret._ListSecretsProxy)  # noqa: SLF001 - the SDK has no public name for it


def plain(value: Any) -> Any:
    """A value of the engine as a plan keeps it: unknowns and secrets as markers, whatever proxies it came in.

    The proxies are opened by their own key: reading through them raises at unknowns, and gives secrets away.
    """
    if isinstance(value, _PROXIES):
        value = value["__target"]
    if isinstance(value, SecretValue):
        return UnknownSecret() if is_unknown(plain(value.value)) else Secret()
    if proxy._is_unknown(value):  # noqa: SLF001 - the SDK has no public name for it
        return Unknown()
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def deserialized(properties: dict[str, Any], _keep_secrets: bool = True) -> Any:
    """The engine's properties with secrets still marked. pulumi-policy unwraps them for validations, so that any rule
    could print one and none could tell whether it was marked; `__main__` puts this in the place of its function.
    """
    return deserialize.deserialize_properties(properties, True)


class Inputs:
    """The inputs of every resource that the engine has asked about.

    At the end the engine shows stack policies each resource's outputs, where all that the provider computes is unknown
    and what was left out cannot be told from it. Rules judge inputs, as in a plan: so they are kept when the engine
    shows them, one resource at a time. A resource that it did not show (`--target`) is judged by its outputs.
    """

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._plain: dict[str, tuple[Any, dict[str, Any]]] = {}

    def keep(self, args: Any) -> None:
        """Keeps the inputs of a resource policy's arguments."""
        self._shown[args.urn] = args.props

    def of(self, resource: Any) -> dict[str, Any]:
        """The inputs of a stack policy's resource."""
        given = self._shown.get(resource.urn, resource.props)
        known = self._plain.get(resource.urn)
        if known is None or known[0] is not given:
            known = self._plain[resource.urn] = (given, plain(given))
        return known[1]


def of_resource(args: Any, inputs: Mapping[str, Any] | None = None) -> Resource:
    """The record of one resource: of a resource policy's arguments, or of a stack policy's resource with its inputs."""
    given = args.provider
    dependencies = getattr(args, "dependencies", [])
    parents = getattr(args, "parent", None)
    return Resource(
        urn=args.urn,
        type=args.resource_type,
        name=args.name,
        parent=parents.urn if parents is not None else (args.opts.parent or ""),
        custom=given is not None or args.resource_type.startswith("pulumi:providers:"),
        provider=given.urn if given is not None else "",
        region=_region(given.props if given is not None else args.props),
        inputs=plain(args.props) if inputs is None else inputs,
        dependencies=tuple(sorted(resource.urn for resource in dependencies)),
        property_dependencies={
            name: tuple(sorted(resource.urn for resource in sources))
            for name, sources in getattr(args, "property_dependencies", {}).items()
        },
        protect=args.opts.protect,
        ignore_changes=tuple(args.opts.ignore_changes),
    )


def _region(props: Any) -> str:
    found = plain(props).get("region")
    return found if isinstance(found, str) and not is_unknown(found) else ""


def of_stack(resources: list[Any], config: Mapping[str, str], inputs: Inputs) -> Stack:
    """The stack of a stack policy's arguments. A Kubernetes
    provider lives where the cluster is that it is made from.
    """
    records = [of_resource(resource, inputs.of(resource)) for resource in resources]
    regions = {record.urn: record.region for record in records}
    for record in records:
        if record.type.startswith("pulumi:providers:") and not record.region:
            regions[record.urn] = next((regions[urn] for urn in record.dependencies if regions.get(urn)), "")
    placed = [
        record if record.region else _placed(record, regions.get(record.urn) or regions.get(record.provider, ""))
        for record in records
    ]
    return Stack(tuple(placed), config)


def _placed(record: Resource, region: str) -> Resource:
    return replace(record, region=region) if region else record


def config() -> dict[str, str]:
    """The stack's flat configuration, as the engine hands it to the pack."""
    return dict(pulumi.runtime.config.get_config_env())


def policies() -> list[pulumi_policy.Policy]:
    """Every policy as CrossGuard takes it."""
    inputs = Inputs()
    return [*(_crossguard(policy, inputs) for policy in POLICIES.values()), _exceptions_current(inputs)]


def _crossguard(policy: Policy, inputs: Inputs) -> pulumi_policy.Policy:
    kind = pulumi_policy.StackValidationPolicy if policy.of_stack else pulumi_policy.ResourceValidationPolicy
    return kind(
        name=policy.name,
        description=policy.prevents,
        enforcement_level=pulumi_policy.EnforcementLevel(policy.level),
        config_schema=pulumi_policy.PolicyConfigSchema({n: s.schema for n, s in policy.settings.items()}),
        remediation_steps=policy.fix,
        validate=_validation(policy, inputs),
    )


def _validation(policy: Policy, inputs: Inputs) -> Callable[[Any, Callable[..., None]], None]:
    def validate(args: Any, report: Callable[..., None]) -> None:
        if not policy.of_stack:
            inputs.keep(args)
        configured = configure(policy, {k: v for k, v in (args.get_config() or {}).items() if k != LEVEL_KEY})
        found: Iterator[Finding]
        if policy.of_stack:
            found = policy.of(of_stack(args.resources, config(), inputs), configured.settings)
        elif policy.judges(args.resource_type):
            found = policy.of_resource(of_resource(args), configured.settings)
        else:
            return
        for finding, message, exception in findings(found, configured, excuses.exceptions_of(config()), today()):
            if not isinstance(finding, Later) and exception is None:
                report(message, finding.resource.urn if finding.resource else None)

    return validate


def _exceptions_current(inputs: Inputs) -> pulumi_policy.Policy:
    def validate(args: Any, report: Callable[..., None]) -> None:
        stack = of_stack(args.resources, config(), inputs)
        entries = excuses.exceptions_of(stack.config)
        for mistake in excuses.mistakes(stack, entries, today(), POLICIES, LONGEST_EXCEPTION_DAYS):
            report(mistake, None)

    return pulumi_policy.StackValidationPolicy(
        name=EXCEPTIONS,
        description="An exception that has ended, or that excuses nothing there is, hides what it once named.",
        enforcement_level=pulumi_policy.EnforcementLevel.MANDATORY,
        validate=validate,
    )


def today() -> date:
    """The day that exceptions are judged by."""
    return datetime.now(UTC).date()

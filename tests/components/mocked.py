"""One component run under Pulumi's mocks: what it registers, with which options, and what it gives to the others.

`build` runs a function in a thread of its own, where Pulumi's state is empty, and returns what was registered. With
`preview=True` every output of a resource is unknown, as before the first deployment; applies on them do not run then,
so a component that works only with known values shows it here.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from components.alarms import RegionAlarms
from components.database import RegionDatabase
from components.domain import Domain
from components.keys import RegionKeys
from components.network import RegionNetwork
from components.redis import RegionRedis
from components.region import aws_provider
from components.secrets import Vault
from plan.values import from_struct, kept
from topology.naming import GLOBAL
from topology.settings import Region
from topology.topology import Topology

PROJECT = "hal9"
PROVIDER = "pulumi:providers:"

OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "aws:acm/certificate:Certificate": {
        "domainValidationOptions": [
            {"resourceRecordName": "_proof.hal9.ai", "resourceRecordType": "CNAME", "resourceRecordValue": "_value.aws"}
        ]
    },
    "aws:acm/certificateValidation:CertificateValidation": {"certificateArn": "arn:aws:acm:valid"},
    "aws:cloudfront/distribution:Distribution": {"domainName": "d1.cloudfront.net", "hostedZoneId": "Z2FDTNDATAQYW2"},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
    "aws:ecr/repository:Repository": {"repositoryUrl": "registry/hal9-server"},
    "aws:kms/key:Key": {"keyId": "key-id"},
    "aws:lb/loadBalancer:LoadBalancer": {"dnsName": "nlb.amazonaws.com", "zoneId": "ZNLB", "arnSuffix": "net/nlb"},
    "aws:lb/targetGroup:TargetGroup": {"arnSuffix": "targetgroup/pods"},
    "aws:route53/record:Record": {"fqdn": "record.hal9.ai"},
    "aws:route53/zone:Zone": {"zoneId": "ZDOMAIN", "nameServers": ["ns-1.example", "ns-2.example"]},
    "random:index/randomBytes:RandomBytes": {"base64": "a2V5LWJ5dGVz"},
    "random:index/randomPassword:RandomPassword": {"result": "correct-horse"},
    "tls:index/privateKey:PrivateKey": {"privateKeyPem": "private-key-pem"},
    "tls:index/certRequest:CertRequest": {"certRequestPem": "request-pem"},
    "tls:index/locallySignedCert:LocallySignedCert": {"certPem": "certificate-pem"},
    "tls:index/selfSignedCert:SelfSignedCert": {"certPem": "root-pem"},
}
"""Outputs that are no echo of an input, by type; any resource has an `arn` and an `id` of its name."""

SECRETS = ("correct-horse", "a2V5LWJ5dGVz", "private-key-pem")
"""Every secret value that the mocks make."""


@dataclass(frozen=True)
class Registered:
    """One registration as the engine got it: inputs camelCase, secrets and unknowns as markers."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    region: str
    """AWS region of the provider; of a provider, its own; empty where there is none."""
    provider: str
    inputs: Mapping[str, Any]
    protect: bool
    retain: bool
    dependencies: frozenset[str]
    ignore_changes: tuple[str, ...]
    secret_outputs: tuple[str, ...]
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`Vpc` of `aws:ec2/vpc:Vpc`."""
        return self.type.rpartition(":")[2]


class Recorder(mocks.MockMonitor):
    """Pulumi's mock monitor, with its eyes open: it keeps the options that mocks never see."""

    def __init__(self, *, preview: bool) -> None:
        super().__init__(Outputs())
        self.preview = preview
        self.registered: dict[str, Registered] = {}

    def RegisterResource(self, request: Any) -> Any:
        """Records the request, then answers as mocks do."""
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]  # the SDK's
        if request.type == "pulumi:pulumi:Stack":
            return answer
        assert answer.urn not in self.registered, f"two resources have the URN {answer.urn}"
        inputs = kept(from_struct(request.object), str)
        provider = request.provider.rpartition("::")[0]
        known = self.registered.get(provider)
        self.registered[answer.urn] = Registered(
            urn=answer.urn,
            type=request.type,
            name=request.name,
            parent=request.parent,
            custom=request.custom,
            region=inputs.get("region", "") if request.type.startswith(PROVIDER) else known.region if known else "",
            provider=provider,
            inputs=inputs,
            protect=request.protect,
            retain=request.retainOnDelete,
            dependencies=frozenset(request.dependencies),
            ignore_changes=tuple(request.ignoreChanges),
            secret_outputs=tuple(request.additionalSecretOutputs),
        )
        if self.preview and request.custom and not request.type.startswith(PROVIDER):
            answer.id = ""
            answer.object.Clear()
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:
        """Keeps what a component exports."""
        found = self.registered.get(request.urn)
        if found is not None:
            assert not found.outputs, f"{request.urn} registers its outputs twice"
            found.outputs.update(kept(from_struct(request.outputs), str), _done=True)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # the SDK's


class Outputs(mocks.Mocks):
    """A resource's outputs: its inputs, an id and ARN after its name, and what `OUTPUTS` has for its type."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """The id and state."""
        inputs = {key: rpc.unwrap_rpc_secret(value) for key, value in args.inputs.items()}
        more: dict[str, Any] = {"arn": f"arn:{args.typ.rpartition(':')[2]}:{args.name}"}
        if args.typ == "aws:rds/instance:Instance":
            more["address"] = f"{args.name}.rds"
        if args.typ == "aws:elasticache/replicationGroup:ReplicationGroup":
            more |= {
                "configurationEndpointAddress": f"{args.name}.cluster",
                "primaryEndpointAddress": f"{args.name}.primary",
                "readerEndpointAddress": f"{args.name}.reader",
            }
        if args.typ == "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup":
            more["globalReplicationGroupId"] = f"{args.name}.global"
        return f"{args.name}-id", {**inputs, **more, **OUTPUTS.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> Any:
        """No component may ask the cloud."""
        raise AssertionError(f"the program asks the cloud for {args.token}")


@dataclass(frozen=True)
class Built:
    """What a run registered, and the value it returned, resolved."""

    resources: tuple[Registered, ...]
    value: Any

    def of(self, kind: str, below: str | None = None) -> list[Registered]:
        """The resources of a kind (`Vpc`); with `below`, those that stand in the component of that name."""
        return [r for r in self.resources if r.kind == kind and (below is None or below in self._above(r))]

    def one(self, kind: str, name: str | None = None) -> Registered:
        """The only resource of a kind, or the one of that name."""
        found = [r for r in self.of(kind) if name is None or r.name == name]
        assert len(found) == 1, f"{len(found)} resources are a {kind} named {name}: {[r.name for r in self.of(kind)]}"
        return found[0]

    def below(self, component: str) -> list[Registered]:
        """All that stands in a component."""
        return [r for r in self.resources if component in self._above(r)]

    def by_urn(self, urn: str) -> Registered:
        """The resource of a URN."""
        return next(r for r in self.resources if r.urn == urn)

    def _above(self, resource: Registered) -> set[str]:
        names: set[str] = set()
        while above := [r for r in self.resources if r.urn == resource.parent]:
            resource = above[0]
            names.add(resource.name)
        return names


def build(make: Callable[[], Any], *, preview: bool = False, stack: str = "prod") -> Built:
    """Runs `make` under mocks; what it returns (an Output, or a structure of them) is resolved where it is known."""
    recorder = Recorder(preview=preview)
    returned: list[Any] = []
    failed: list[BaseException] = []

    def program() -> pulumi.Output[Any]:
        return pulumi.Output.from_input(make()).apply(returned.append)

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            mocks.set_mocks(recorder.mocks, PROJECT, stack, preview, monitor=recorder)
            mocks.test(program)()  # type: ignore[no-untyped-call]  # the SDK's
        except BaseException as error:  # raised below, in the test's thread
            failed.append(error)
        finally:
            asyncio.get_event_loop().close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    for resource in recorder.registered.values():
        assert resource.custom or resource.outputs, f"{resource.urn} never registers its outputs"
    ordered = sorted(recorder.registered.values(), key=lambda resource: resource.urn)  # mocks answer in any order
    return Built(tuple(ordered), returned[0] if returned else None)


def document(text: Any) -> Any:
    """A JSON input, such as a policy, read."""
    return json.loads(text)


class Cell:
    """The ground of one region, without its cluster: what databases, Redis, secrets and peerings need of it."""

    def __init__(self, region: Region, topology: Topology) -> None:
        self.region = region
        self.provider = aws_provider(region.name, region.aws_region, topology)
        opts = pulumi.ResourceOptions(providers=[self.provider])
        self.keys = RegionKeys(region.name, region.aws_region, topology, opts=opts)
        self.vault = Vault(self.provider, self.keys)
        self.alarms = RegionAlarms(region, topology, self.keys, opts)
        self.network = RegionNetwork(region, topology, self.keys, opts)
        self.database = RegionDatabase(region, topology, self.network, opts)
        self.redis = RegionRedis(region, topology, self.network, self.keys, opts)


def cells(topology: Topology) -> dict[str, Cell]:
    """The ground of every region."""
    return {region.name: Cell(region, topology) for region in topology.ordered_regions}


def vaults(found: Mapping[str, Cell]) -> dict[str, Vault]:
    """Where secrets are copied to."""
    return {name: cell.vault for name, cell in found.items()}


def domain(topology: Topology) -> Domain:
    """The domain, by a provider of its own."""
    return Domain(topology, pulumi.ResourceOptions(providers=[aws_provider(GLOBAL, "us-east-1", topology)]))

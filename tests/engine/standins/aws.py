"""The stand-in for AWS: ids, ARNs and endpoints as AWS would give them, and names that are taken only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from facts import replacements
from facts.replacements import PHYSICAL_NAMES
from tests.engine.standins.outputs import Identity, completed
from tests.engine.standins.package import Made, Values

ACCOUNT = "123456789012"

GLOBAL_SERVICES = frozenset({"iam", "route53", "cloudfront", "shield", "s3", "globalaccelerator"})
"""Services whose names are taken in all regions at once (S3's bucket names too)."""

NAMED_IDS = frozenset({"iam/role", "iam/instanceprofile", "cloudwatch/loggroup", "s3/bucket", "eks/cluster"})
"""Types whose id is their name."""


class Aws:
    """See `Package`. The region is the resource's own, else its provider's."""

    name = "aws"

    def scope(self, token: str, inputs: Values, config: Values) -> str:
        """See `Package.scope`: the account alone for a global service."""
        everywhere = token.split(":")[1].partition("/")[0] in GLOBAL_SERVICES
        return self._account(config) + ("" if everywhere else f"/{self._region(inputs, config)}")

    def create(self, token: str, logical_name: str, inputs: Values, config: Values, serial: int) -> Made:
        """See `Package.create`."""
        physical = str(inputs.get(PHYSICAL_NAMES.get(token, ""), "") or "")
        identity = Identity(
            token, self._account(config), self._region(inputs, config), physical or logical_name, serial
        )
        outputs = completed(identity, inputs)
        if token in SPECIAL:
            outputs |= SPECIAL[token](identity, outputs)
        named = token.split(":")[1].lower() in NAMED_IDS and physical
        made_id = physical if named else outputs.get("arn", identity.id) if _known_by_arn(token) else identity.id
        outputs["id"] = made_id
        return Made(made_id, outputs, physical)

    def update(self, token: str, before: Values, inputs: Values) -> dict[str, Any]:
        """See `Package.update`."""
        return {**before, **inputs}

    def replaces(self, token: str, changed: set[str]) -> set[str]:
        """What AWS's own provider said (facts/replacements.py)."""
        return replacements.replacing(token, changed)

    def functions(self) -> Mapping[str, Callable[[Values, Values], dict[str, Any]]]:
        """See `Package.functions`."""
        return {
            "aws:index/getCallerIdentity:getCallerIdentity": lambda _arguments, config: {
                "accountId": self._account(config),
                "arn": f"arn:aws:iam::{self._account(config)}:role/deployer",
                "id": self._account(config),
                "userId": "AROAEXAMPLE",
            },
            "aws:index/getPartition:getPartition": lambda _arguments, _config: {
                "partition": "aws",
                "dnsSuffix": "amazonaws.com",
                "reverseDnsPrefix": "com.amazonaws",
                "id": "aws",
            },
            "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
        }

    @staticmethod
    def _region(inputs: Values, config: Values) -> str:
        return str(inputs.get("region") or config.get("region") or "")

    @staticmethod
    def _account(config: Values) -> str:
        allowed = config.get("allowedAccountIds") or []
        allowed = json.loads(allowed) if isinstance(allowed, str) else allowed
        return str(allowed[0]) if allowed else ACCOUNT


def _known_by_arn(token: str) -> bool:
    service = token.split(":")[1].partition("/")[0]
    return service in {"lb", "acm", "secretsmanager", "sns"} or token == "aws:iam/policy:Policy"


def _certificate(identity: Identity, outputs: Values) -> dict[str, Any]:
    """A certificate asks for one DNS record for each of its names."""
    names = [outputs["domainName"], *(outputs.get("subjectAlternativeNames") or [])]
    return {
        "domainValidationOptions": [
            {
                "domainName": name,
                "resourceRecordName": f"_{identity.digest[:32]}.{name.removeprefix('*.')}.",
                "resourceRecordType": "CNAME",
                "resourceRecordValue": f"_{identity.digest[8:40]}.acm-validations.aws.",
            }
            for name in dict.fromkeys(names)
        ]
    }


def _zone(identity: Identity, _outputs: Values) -> dict[str, Any]:
    return {
        "nameServers": [f"ns-{n}.awsdns-{n:02}.org" for n in range(4)],
        "zoneId": f"Z{identity.digest[:13].upper()}",
    }


def _cluster(identity: Identity, outputs: Values) -> dict[str, Any]:
    """EKS makes a security group, reports the VPC inside `vpcConfig`, and its endpoint is a URL."""
    added = {"clusterSecurityGroupId": f"sg-{identity.digest[:17]}", "vpcId": f"vpc-{identity.digest[17:34]}"}
    return {"vpcConfig": {**added, **outputs["vpcConfig"]}, "endpoint": f"https://{outputs['endpoint']}"}


def _database(_identity: Identity, outputs: Values) -> dict[str, Any]:
    port = int(outputs.get("port") or 5432)
    return {"port": port, "endpoint": f"{outputs['address']}:{port}"}


def _repository(identity: Identity, outputs: Values) -> dict[str, Any]:
    registry = f"{identity.account}.dkr.ecr.{identity.region}.amazonaws.com"
    return {"repositoryUrl": f"{registry}/{outputs['name']}"}


SPECIAL: dict[str, Callable[[Identity, Values], dict[str, Any]]] = {
    "aws:acm/certificate:Certificate": _certificate,
    "aws:ecr/repository:Repository": _repository,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:rds/instance:Instance": _database,
    "aws:route53/zone:Zone": _zone,
}
"""Outputs that follow from the inputs in a way that their types do not tell."""


def _policy_document(arguments: Values, _config: Values) -> dict[str, Any]:
    """The JSON of a policy document, as the provider renders it."""
    statements = []
    for given in arguments.get("statements") or []:
        statement: dict[str, Any] = {"Effect": given.get("effect", "Allow")}
        for source, target in (
            ("sid", "Sid"),
            ("actions", "Action"),
            ("notActions", "NotAction"),
            ("resources", "Resource"),
        ):
            if given.get(source):
                statement[target] = given[source]
        for principal in given.get("principals") or []:
            statement.setdefault("Principal", {})[principal["type"]] = principal["identifiers"]
        for condition in given.get("conditions") or []:
            statement.setdefault("Condition", {}).setdefault(condition["test"], {})[condition["variable"]] = condition[
                "values"
            ]
        statements.append(statement)
    document = json.dumps({"Version": arguments.get("version") or "2012-10-17", "Statement": statements})
    return {**arguments, "json": document, "minifiedJson": document, "id": str(hash(document))}

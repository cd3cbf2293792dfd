"""The domain: its hosted zone, and the certificate that CloudFront and every region's load balancer show."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from topology.naming import GLOBAL
from topology.topology import Topology


class Domain(pulumi.ComponentResource):
    """The hosted zone, made or given, and CloudFront's certificate with the record that proves it is ours.

    ACM asks for the same record in every region, so the regions' own certificates are proved by it too.

    Outputs: zone_id, name_servers (of a zone made here: to be set at the registrar, or nothing below is reached),
    certificate_arn (valid), validation_fqdn.
    """

    def __init__(self, topology: Topology, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hal9:domain:Domain", "domain", {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = topology.names.tags("domain", GLOBAL)
        self.name_servers: pulumi.Output[list[str]] | None = None
        if topology.edge.hosted_zone_id:
            self.zone_id = pulumi.Output.from_input(topology.edge.hosted_zone_id)
        else:
            zone = aws.route53.Zone(
                "domain",
                name=topology.domain,
                comment=f"HAL9, stack {topology.stack}",
                force_destroy=False,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, protect=topology.protect),
            )
            self.zone_id = zone.zone_id
            self.name_servers = zone.name_servers.apply(list)
        certificate = aws.acm.Certificate(
            "edge", domain_name=topology.domain, validation_method="DNS", tags=tags, opts=child
        )
        option = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            "certificate-proof",
            zone_id=self.zone_id,
            name=option.resource_record_name.apply(_known),
            type=option.resource_record_type.apply(_known),
            records=[option.resource_record_value.apply(_known)],
            ttl=300,
            allow_overwrite=True,
            opts=child,
        )
        self.validation_fqdn = record.fqdn
        valid = aws.acm.CertificateValidation(
            "edge", certificate_arn=certificate.arn, validation_record_fqdns=[record.fqdn], opts=child
        )
        self.certificate_arn = valid.certificate_arn
        self.register_outputs({"zone_id": self.zone_id, "certificate_arn": self.certificate_arn})


def _known(text: str | None) -> str:
    """The SDK calls what ACM always gives optional."""
    return text or ""

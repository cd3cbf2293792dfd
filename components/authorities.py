"""Certificate authorities of our own: nginx's certificate behind the load balancers, and the mesh's shared root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.manifests.nginx import Gateway
from components.secrets import ReplicatedSecret, Vault
from topology.naming import PROJECT
from topology.topology import Topology

_HOURS_A_YEAR = 8760
ROOT_HOURS = 10 * _HOURS_A_YEAR
LEAF_HOURS = 2 * _HOURS_A_YEAR
RENEWAL_HOURS = 90 * 24
"""An `up` within this time before the end renews a certificate."""


@dataclass(frozen=True)
class RegionAuthority:
    """A region's intermediate authority of the mesh, as Istio's
    `cacerts` secret wants it. All PEM; the key is secret.
    """

    certificate: pulumi.Output[str]
    key: pulumi.Output[str]
    root: pulumi.Output[str]


class Authorities(pulumi.ComponentResource):
    """Two roots that never meet: one signs nginx's certificate, one an intermediate authority for each region's mesh.

    Nginx's certificate and key are a secret, `gateway-tls`, in every region: JSON with `tls.crt`, `tls.key`, `ca.crt`.

    Outputs: mesh, a RegionAuthority by region; gateway_root, the PEM that the regions' nginx verify each other with.
    """

    def __init__(
        self, topology: Topology, vaults: Mapping[str, Vault], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:authorities:Authorities", "authorities", {}, opts)
        self._stack = topology.stack
        gateway_key, gateway_root = self._root("gateway")
        self.gateway_root = gateway_root.cert_pem
        leaf_key, leaf = self._signed(
            "gateway-server",
            gateway_key,
            gateway_root,
            uses=["digital_signature", "key_encipherment", "server_auth", "client_auth"],
            names=[topology.domain, topology.origin, Gateway.peer_name],
        )
        pair = pulumi.Output.all(leaf.cert_pem, leaf_key.private_key_pem, gateway_root.cert_pem)
        ReplicatedSecret(
            "gateway-tls",
            description="nginx's certificate behind the load balancers",
            value=pulumi.Output.json_dumps({"tls.crt": pair[0], "tls.key": pair[1], "ca.crt": pair[2]}),
            vaults=vaults,
            topology=topology,
            opts=pulumi.ResourceOptions(parent=self),
        )
        mesh_key, mesh_root = self._root("mesh")
        self.mesh: dict[str, RegionAuthority] = {}
        for region in topology.ordered_regions:
            key, certificate = self._signed(
                f"mesh-{region.name}",
                mesh_key,
                mesh_root,
                uses=["cert_signing", "crl_signing", "digital_signature"],
                names=[f"istiod.{region.name}.{topology.domain}"],
                authority=True,
            )
            self.mesh[region.name] = RegionAuthority(
                certificate=certificate.cert_pem,
                key=pulumi.Output.secret(key.private_key_pem),
                root=mesh_root.cert_pem,
            )
        self.register_outputs({"gateway_root": self.gateway_root})

    def _key(self, name: str) -> tls.PrivateKey:
        return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=pulumi.ResourceOptions(parent=self))

    def _root(self, name: str) -> tuple[tls.PrivateKey, tls.SelfSignedCert]:
        key = self._key(f"{name}-root")
        certificate = tls.SelfSignedCert(
            f"{name}-root",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            allowed_uses=["cert_signing", "crl_signing", "digital_signature"],
            validity_period_hours=ROOT_HOURS,
            early_renewal_hours=RENEWAL_HOURS,
            subject=tls.SelfSignedCertSubjectArgs(
                common_name=f"{PROJECT} {self._stack} {name} root", organization=PROJECT
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key, certificate

    def _signed(
        self,
        name: str,
        root_key: tls.PrivateKey,
        root: tls.SelfSignedCert,
        *,
        uses: list[str],
        names: list[str],
        authority: bool = False,
    ) -> tuple[tls.PrivateKey, tls.LocallySignedCert]:
        child = pulumi.ResourceOptions(parent=self)
        key = self._key(name)
        request = tls.CertRequest(
            name,
            private_key_pem=key.private_key_pem,
            dns_names=names,
            subject=tls.CertRequestSubjectArgs(common_name=names[0], organization=PROJECT),
            opts=child,
        )
        certificate = tls.LocallySignedCert(
            name,
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=root_key.private_key_pem,
            ca_cert_pem=root.cert_pem,
            is_ca_certificate=authority,
            allowed_uses=uses,
            validity_period_hours=LEAF_HOURS,
            early_renewal_hours=RENEWAL_HOURS,
            opts=child,
        )
        return key, certificate

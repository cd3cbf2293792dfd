"""Which region a user belongs to: what the edge says, else the user's network, else the viewer's country, else here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from app.deployment import Deployment

REGION_HEADER = "x-user-region"
COUNTRY_HEADER = "cloudfront-viewer-country"


class Affinity:
    """`determine_region` for one document. Headers are trusted: the gateway strips what clients send and sets its own.

    The network table is the document's `networks` (CIDR to region); the longest prefix wins.
    """

    __slots__ = ("_countries", "_here", "_networks", "_regions")

    def __init__(self, deployment: Deployment) -> None:
        self._here = deployment.region
        self._regions = frozenset(region.name for region in deployment.regions)
        self._countries = deployment.countries
        tables: dict[tuple[int, int], dict[int, str]] = {}
        for cidr, region in deployment.networks.items():
            network = ipaddress.ip_network(cidr)
            shift = network.max_prefixlen - network.prefixlen
            table = tables.setdefault((network.version, shift), {})
            table[int(network.network_address) >> shift] = region
        self._networks = sorted(tables.items(), key=lambda item: item[0][1])

    def determine_region(self, headers: Mapping[str, str], ip_address: str = "") -> str:
        """The region's name. `headers` by lower-case name; `ip_address` is the client's, as the trusted edge saw it."""
        said = headers.get(REGION_HEADER, "")
        if said in self._regions:
            return said
        network = self._network(ip_address)
        if network is not None:
            return network
        return self._countries.get(headers.get(COUNTRY_HEADER, "").upper(), self._here)

    def _network(self, ip_address: str) -> str | None:
        if not self._networks or not ip_address:
            return None
        try:
            address = ipaddress.ip_address(ip_address)
        except ValueError:
            return None
        number = int(address)
        for (version, shift), table in self._networks:
            if version == address.version and (number >> shift) in table:
                return table[number >> shift]
        return None

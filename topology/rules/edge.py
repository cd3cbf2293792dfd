"""Rules of what sends a user to a region: countries, CloudFront, the mesh's weights."""

from __future__ import annotations

from collections.abc import Iterator

from topology import catalog
from topology.stackfile import Mistake, listed, unknown
from topology.topology import Topology


def countries_known(topology: Topology) -> Iterator[Mistake]:
    """Countries are ISO codes, each in one region's list and not blocked; the region for all others exists."""
    seen: dict[str, str] = {}
    for region in topology.ordered_regions:
        for index, country in enumerate(region.countries):
            path = f"regions.{region.name}.countries[{index}]"
            if country not in catalog.COUNTRIES:
                yield Mistake(path, _no_country(country))
            elif country in topology.edge.blocked_countries:
                place = topology.edge.blocked_countries.index(country)
                yield Mistake(
                    path,
                    f"{country} is in edge.blockedCountries too; the edge would refuse its users",
                    rests_on=(f"edge.blockedCountries[{place}]",),
                )
            elif country in seen:
                yield Mistake(path, f"{country} is in {seen[country]} already; a country belongs to one region")
            seen.setdefault(country, f"regions.{region.name}.countries")
    for index, country in enumerate(topology.edge.blocked_countries):
        if country not in catalog.COUNTRIES:
            yield Mistake(f"edge.blockedCountries[{index}]", _no_country(country))
    if topology.edge.default_region and topology.edge.default_region not in topology.regions:
        yield Mistake("edge.defaultRegion", unknown(topology.edge.default_region, "region", topology.region_names))


def edge_reaches(topology: Topology) -> Iterator[Mistake]:
    """CloudFront's addresses are known in each region, so that its load balancer takes no one else."""
    for region in topology.ordered_regions:
        if region.aws_region in catalog.AWS_REGIONS and region.aws_region not in catalog.CLOUDFRONT_PREFIX_LISTS:
            known = listed(sorted(catalog.CLOUDFRONT_PREFIX_LISTS))
            yield Mistake(
                f"regions.{region.name}.awsRegion",
                f"CloudFront's prefix list in {region.aws_region} is not known here; known are {known}",
            )


def mesh_weights(topology: Topology) -> Iterator[Mistake]:
    """The mesh's weights name each region once and add up to 100."""
    weights = topology.mesh.weights
    if weights is None:
        return
    for name in sorted(weights.keys() - topology.regions.keys()):
        yield Mistake(f"mesh.weights.{name}", unknown(name, "region", topology.region_names))
    for name in sorted(topology.regions.keys() - weights.keys()):
        yield Mistake(f"mesh.weights.{name}", "is missing; 0 keeps requests without a region away from it")
    if sum(weights.values()) != 100:
        yield Mistake("mesh.weights", f"add up to {sum(weights.values())}, not 100")


def lab_distances(topology: Topology) -> Iterator[Mistake]:
    """The lab's table of delays names pairs of regions."""
    for pair in topology.lab.round_trip_ms:
        ends = pair.split("--")
        if len(ends) != 2 or ends[0] == ends[1]:
            yield Mistake(f"lab.roundTripMs.{pair}", "is no pair of two regions such as us-west--eu-central")
            continue
        for name in ends:
            if name not in topology.regions:
                yield Mistake(f"lab.roundTripMs.{pair}", unknown(name, "region", topology.region_names))


RULES = (countries_known, edge_reaches, mesh_weights, lab_distances)


def _no_country(text: str) -> str:
    return f"{text!r} is no country; an ISO 3166-1 code of two capital letters such as DE"

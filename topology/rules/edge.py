"""Rules of what sends a user to a region: countries, CloudFront, the mesh's weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from topology import catalog
from topology.stackfile import Mistake, listed, unknown_region
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
        yield unknown_region("edge.defaultRegion", topology.edge.default_region, topology.region_names)


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
        yield unknown_region(f"mesh.weights.{name}", name, topology.region_names)
    for name in sorted(topology.regions.keys() - weights.keys()):
        yield Mistake(f"mesh.weights.{name}", "is missing; 0 keeps requests without a region away from it")
    if sum(weights.values()) != 100:
        yield Mistake("mesh.weights", f"add up to {sum(weights.values())}, not 100")


def distances(topology: Topology) -> Iterator[Mistake]:
    """The tables of what distance costs name each pair of regions once, the lab's and the alert's."""
    yield from _pairs(topology, "lab.roundTripMs", topology.lab.round_trip_ms, "--")
    yield from _pairs(topology, "monitoring.distanceSeconds", topology.monitoring.distance_seconds, " ")


def _pairs(topology: Topology, table: str, pairs: Iterable[str], between: str) -> Iterator[Mistake]:
    seen: dict[frozenset[str], str] = {}
    for pair in pairs:
        ends = pair.split(between)
        if len(ends) != 2 or ends[0] == ends[1] or not all(ends):
            others = [end for end in re.split(r"--|[\s,/>:]+", pair) if end]
            right = between.join(others if len(others) == 2 else ("us-west", "eu-central"))
            yield Mistake(
                f"{table}.{pair}", f"is no pair of two regions; such as {right!r}", rests_on=(f"{table}.{pair}",)
            )
            continue
        if (first := seen.setdefault(frozenset(ends), pair)) != pair:
            yield Mistake(
                f"{table}.{pair}", f"is {first!r} the other way round, which is there already; a pair counts both ways"
            )
        for name in ends:
            if name not in topology.regions:
                yield unknown_region(f"{table}.{pair}", name, topology.region_names)


RULES = (countries_known, edge_reaches, mesh_weights, distances)


def _no_country(text: str) -> str:
    meant = catalog.MEANT_COUNTRIES.get(text.upper(), text.upper())
    if meant != text and meant in catalog.COUNTRIES:
        return f"{text!r} is no country; did you mean {meant}?"
    return f"{text!r} is no country; an ISO 3166-1 code of two capital letters such as DE"

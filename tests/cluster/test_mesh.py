"""Istio's own control plane generates Envoy's configuration from our objects: where a request would really go."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.deployment import ServerConfig
from tests.cluster import discovery, helm
from tests.cluster.conftest import Cluster, Clusters, addresses
from tests.cluster.discovery import HOST, PODS, PORT, Configuration, pod_address

Tool = Callable[[str], Path]
REGIONS = ("us-west", "eu-central", "ap-south")
GATEWAY_PORT = 15443


@pytest.fixture(scope="module")
def told(
    clusters: Clusters, tool: Tool, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], dict[str, Configuration]]:
    """What the proxies of a cluster are told: `told("prod", "us-west")["nginx"]`."""
    made: dict[tuple[str, str], dict[str, Configuration]] = {}

    def of(stack: str, region: str) -> dict[str, Configuration]:
        if (stack, region) not in made:
            cluster, folder = clusters(stack)[region], tmp_path_factory.mktemp(region)
            view = _view(cluster, tool("helm"), folder)
            made[stack, region] = discovery.generate(tool("istio-discovery"), cluster, folder, view=view)
        return made[stack, region]

    return of


Told = Callable[[str, str], dict[str, Configuration]]


def _view(cluster: Cluster, helm_tool: Path, folder: Path) -> list[str]:
    """The network view that the real chart gives the east-west gateway."""
    if len(cluster.topology.regions) == 1:
        return []
    rendered = helm.template(helm_tool, cluster.release("istio-eastwest"), folder)
    deployment = next(one for one in rendered if one["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return [str(one["value"]) for one in env if one["name"] == "ISTIO_META_REQUESTED_NETWORK_VIEW"]


def _local(cluster: Cluster) -> set[str]:
    return {f"{pod_address(cluster, number)}:{PORT}" for number in range(PODS)}


def _gateways(cluster: Cluster, region: str) -> set[str]:
    """A region's east-west gateways as the others know them: the addresses that its load balancer's name stands for."""
    return {f"{one}:{GATEWAY_PORT}" for one in addresses(cluster.topology, region)}


def _subset(region: str) -> str:
    return f"outbound|{PORT}|{region}|{HOST}"


@pytest.mark.parametrize("region", REGIONS)
def test_the_header_of_each_region_reaches_that_regions_subset(told: Told, region: str) -> None:
    reached = {}
    for route in told("prod", region)["nginx"].routes()[:-1]:
        (header,) = route["match"]["headers"]
        assert header["name"] == "x-user-region"
        reached[header["stringMatch"]["exact"]] = route["route"]["cluster"]
    assert reached == {name: _subset(name) for name in REGIONS}


@pytest.mark.parametrize("region", REGIONS)
def test_requests_without_a_region_are_split_34_33_33(told: Told, region: str) -> None:
    split = told("prod", region)["nginx"].routes()[-1]["route"]["weightedClusters"]["clusters"]
    assert {one["name"]: one["weight"] for one in split} == dict(zip(map(_subset, REGIONS), (34, 33, 33), strict=True))


@pytest.mark.parametrize("subset", REGIONS)
@pytest.mark.parametrize("region", REGIONS)
def test_every_subset_has_endpoints_in_every_cluster_its_own_regions_first_and_all_others_behind(
    told: Told, clusters: Clusters, region: str, subset: str
) -> None:
    cluster = clusters("prod")[region]
    where = {name: _local(cluster) if name == region else _gateways(cluster, name) for name in REGIONS}
    others = set().union(*(ends for name, ends in where.items() if name != subset))
    assert told("prod", region)["nginx"].by_priority(_subset(subset)) == {0: where[subset], 1: others}


@pytest.mark.parametrize("region", REGIONS)
def test_a_dead_region_is_noticed_so_that_the_next_priority_is_used(told: Told, region: str) -> None:
    for subset in REGIONS:
        cluster = told("prod", region)["nginx"].clusters[_subset(subset)]
        assert cluster["outlierDetection"]["consecutive5xx"] == 5
        assert (cluster["outlierDetection"]["interval"], cluster["outlierDetection"]["baseEjectionTime"]) == (
            "30s",
            "30s",
        )
        # Over all endpoints of the subset, whatever their priority:
        # with less, a region whose pods all fail stays first.
        assert cluster["outlierDetection"]["maxEjectionPercent"] == 100
        assert cluster["commonLbConfig"]["healthyPanicThreshold"] == {"value": 50}


@pytest.mark.parametrize("region", REGIONS)
def test_the_connection_pool_and_balancing_are_the_specifications(told: Told, region: str) -> None:
    cluster = told("prod", region)["nginx"].clusters[_subset(region)]
    (threshold,) = cluster["circuitBreakers"]["thresholds"]
    assert (threshold["maxConnections"], threshold["maxRequests"]) == (1000, 1000)
    (protocol,) = cluster["typedExtensionProtocolOptions"].values()
    assert protocol["commonHttpProtocolOptions"]["maxRequestsPerConnection"] == 10
    assert cluster["lbPolicy"] == "LEAST_REQUEST"


@pytest.mark.parametrize("region", REGIONS)
def test_envoy_tries_again_only_what_was_never_sent_and_at_last_in_another_region(told: Told, region: str) -> None:
    for route in told("prod", region)["nginx"].routes():
        policy = route["route"]["retryPolicy"]
        assert set(policy["retryOn"].split(",")) == {"connect-failure", "refused-stream", "reset-before-request"}
        assert "retriableStatusCodes" not in policy
        # Two tries in a priority, then the next: three in all reach another region.
        assert policy["numRetries"] == 2
        assert policy["retryPriority"]["typedConfig"]["updateFrequency"] == 2
        assert [one["name"] for one in policy["retryHostPredicate"]] == ["envoy.retry_host_predicates.previous_hosts"]


@pytest.mark.parametrize(("stack", "region"), [("dev", "us-west"), *(("prod", name) for name in REGIONS)])
def test_no_request_waits_longer_than_the_app_may_take(told: Told, stack: str, region: str) -> None:
    nginx = told(stack, region)["nginx"]
    deadline = ServerConfig().request_timeout_seconds
    assert all(deadline < _seconds(route["route"]["timeout"]) <= deadline + 1 for route in nginx.routes())
    subsets = [one for name, one in nginx.clusters.items() if name.endswith(f"|{HOST}")]
    assert {one["connectTimeout"] for one in subsets} == {"1s"}


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


@pytest.mark.parametrize("region", REGIONS)
def test_the_client_end_is_mutual_tls_and_knows_the_servers_account(told: Told, region: str) -> None:
    for subset in REGIONS:
        socket = told("prod", region)["nginx"].clusters[_subset(subset)]["transportSocket"]["typedConfig"]
        assert socket["sni"] == f"outbound_.{PORT}_.{subset}_.{HOST}"
        checked = socket["commonTlsContext"]["combinedValidationContext"]["defaultValidationContext"]
        assert checked["matchSubjectAltNames"] == [{"exact": "spiffe://cluster.local/ns/hal9/sa/hal9-server"}]


@pytest.mark.parametrize(("stack", "region"), [("dev", "us-west"), *(("prod", name) for name in REGIONS)])
def test_the_server_end_takes_nothing_but_mutual_tls_1_3(told: Told, stack: str, region: str) -> None:
    inbound = next(one for one in told(stack, region)["server"].listeners if one["name"] == "virtualInbound")
    ours = [one for one in inbound["filterChains"] if str(one["filterChainMatch"].get("destinationPort")) == str(PORT)]
    assert ours
    for chain in ours:
        context = chain["transportSocket"]["typedConfig"]
        assert context["requireClientCertificate"] is True
        assert context["commonTlsContext"]["tlsParams"]["tlsMinimumProtocolVersion"] == "TLSv1_3"


@pytest.mark.parametrize("region", REGIONS)
def test_the_east_west_gateway_passes_on_to_its_own_regions_pods_alone(
    told: Told, clusters: Clusters, region: str
) -> None:
    """Were another region's gateway among them, a request could go round in circles."""
    gateway = told("prod", region)["east-west"]
    for subset in REGIONS:
        found = gateway.by_priority(f"outbound_.{PORT}_.{subset}_.{HOST}")
        assert set().union(*found.values()) == _local(clusters("prod")[region])


def test_a_stack_of_one_region_has_its_subset_and_nothing_else(told: Told, clusters: Clusters) -> None:
    nginx = told("dev", "us-west")["nginx"]
    assert nginx.by_priority(_subset("us-west")) == {0: _local(clusters("dev")["us-west"])}
    assert [route["route"].get("cluster") for route in nginx.routes()] == [_subset("us-west")] * 2


def test_with_the_label_as_a_filter_a_dead_regions_subset_would_have_nowhere_to_go(
    clusters: Clusters, tool: Tool, tmp_path: Path
) -> None:
    """Why the subsets do not filter by the label, as the specification's do."""
    cluster = clusters("prod")["us-west"]
    meshed: list[dict[str, Any]] = [copy.deepcopy(one) for one in cluster.objects if ".istio.io/" in one["apiVersion"]]
    rule = next(one for one in meshed if one["kind"] == "DestinationRule")
    for subset in rule["spec"]["subsets"]:
        subset["labels"] = {"region": subset["name"]}
    nginx = discovery.generate(tool("istio-discovery"), cluster, tmp_path, view=[], meshed=meshed)["nginx"]
    assert nginx.by_priority(_subset("eu-central")) == {0: _gateways(cluster, "eu-central")}

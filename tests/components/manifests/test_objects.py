"""What the manifests say, without a cluster: the specification's numbers and the controls that YAML alone can show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.deployment import ServerConfig
from components.load_balancers import DEREGISTRATION_SECONDS
from components.manifests import OPERATIONS, SERVER, classes, commands, gateway, mesh, network_policies, pods, server
from components.manifests.autoscaler import autoscaler
from tests.stackfiles import DATA, edited, put
from topology.load import parse
from topology.stackfile import StackFileError

REPOSITORY = Path(__file__).parents[3]
PROD = parse("prod", DATA["prod"])
WEST = PROD.regions["us-west"]
SHA = "0" * 64


def _server() -> dict[str, Any]:
    return server.deployment(WEST, PROD, "registry/hal9-server@sha256:1", SHA)


def _spec(deployment: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_the_server_asks_for_the_specifications_resources() -> None:
    (container,) = _spec(_server())["containers"]
    asked = {kind: (one["cpu"], one["memory"]) for kind, one in container["resources"].items()}
    assert asked == {"requests": ("1", "2Gi"), "limits": ("2", "4Gi")}
    assert [port["containerPort"] for port in container["ports"]] == [9000, 9001]


def test_the_autoscaler_alone_says_how_many_replicas_run() -> None:
    assert "replicas" not in _server()["spec"]


def test_the_service_is_the_specifications() -> None:
    service = server.service()
    assert service["metadata"]["labels"] == {"app": "hal9", "version": "v1"}
    assert service["spec"] == {
        "type": "ClusterIP",
        "ports": [
            {"port": 9000, "targetPort": 9000, "protocol": "TCP", "name": "http"},
            {"port": 9001, "targetPort": 9001, "protocol": "TCP", "name": "metrics"},
        ],
        "selector": {"app": "hal9-server"},
    }


def test_the_autoscaler_has_the_specifications_behaviour_and_metrics() -> None:
    spec = autoscaler(PROD)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (10, 100)
    assert [metric["type"] for metric in spec["metrics"]] == ["Resource", "Resource", "Pods", "External"]
    assert spec["behavior"] == {
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 60},
                {"type": "Pods", "value": 10, "periodSeconds": 60},
            ],
        },
    }


def test_a_pod_leaves_in_order_pre_stop_drain_and_grace() -> None:
    config = ServerConfig()
    drain = server.PRE_STOP_SECONDS + config.drain_delay_seconds + config.drain_timeout_seconds
    assert drain < server.grace_seconds()
    spec = _spec(gateway.deployment(PROD, "nginx", "hal9-server", SHA))
    container = spec["containers"][0]
    asked = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    delay, shutdown = (int(part.split()[1]) for part in asked.split("; ") if part.startswith("sleep"))
    # A network load balancer goes on opening connections for some 120 s after it was told to stop.
    assert 120 < delay < delay + shutdown <= DEREGISTRATION_SECONDS < spec["terminationGracePeriodSeconds"]


def test_nginx_is_replaced_one_by_one_and_never_by_one_that_is_not_yet_a_target() -> None:
    spec = gateway.deployment(PROD, "nginx", "hal9-server", SHA)["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] >= 30


def test_liveness_is_apart_from_readiness() -> None:
    (container,) = _spec(_server())["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_counter_that_hangs_is_noticed_and_a_busy_one_does_not_take_nginx_out() -> None:
    counter = _spec(gateway.deployment(PROD, "nginx", "hal9-server", SHA))["containers"][1]
    alive = counter["livenessProbe"]
    assert alive["httpGet"]["path"] == "/metrics"  # a connection is taken for a process that hangs, too
    assert alive["periodSeconds"] * alive["failureThreshold"] > 60
    assert set(counter["readinessProbe"]) & {"httpGet", "tcpSocket"} == {"tcpSocket"}


def test_spot_is_preferred_and_tolerated_but_never_required() -> None:
    spec = _spec(_server())
    assert "nodeSelector" not in spec
    assert list(spec["affinity"]["nodeAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert spec["tolerations"] == [{"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}]


def test_a_disruption_budget_never_blocks_every_drain() -> None:
    spec = pods.disruption_budget("hal9-server", "hal9", "10%")["spec"]
    assert "minAvailable" not in spec
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_another_document_makes_other_pods() -> None:
    assert server.document_hash("{}") != server.document_hash('{"a":1}')
    annotations = _server()["spec"]["template"]["metadata"]["annotations"]
    assert annotations[server.HASH_ANNOTATION] == SHA


def test_another_image_is_another_migration() -> None:
    other = parse("prod", edited("prod", put("server.image", f"hal9-server@sha256:{'1' * 64}")))
    names = {commands.migration(t.shards[0], t, "i")["metadata"]["name"] for t in (PROD, other)}
    assert len(names) == 2


def test_other_accepted_passwords_are_another_migration_and_other_pods() -> None:
    """The Job tells Postgres a new account; pods that hold connections of the old one open go."""
    rotated = parse("prod", edited("prod", put("credentials.database", [2, 1])))
    names = {commands.migration(t.shards[0], t, "i")["metadata"]["name"] for t in (PROD, rotated)}
    assert len(names) == 2
    assert (
        server.deployment(WEST, rotated, "i", SHA)["spec"]["template"]
        != server.deployment(WEST, PROD, "i", SHA)["spec"]["template"]
    )


def _read_by(account: str, manifests: list[dict[str, Any]]) -> set[str]:
    (one,) = (m for m in manifests if m["kind"] == "SecretProviderClass" and m["metadata"]["name"] == account)
    return set(re.findall(r"objectAlias: (\S+)", one["spec"]["parameters"]["objects"]))


def test_only_a_migration_is_given_the_master_and_only_commands_the_tables_owner() -> None:
    """SEC03: the app reads and writes rows; who can make accounts and tables lives for minutes."""
    shards = range(3)
    grounds = commands.grounds(WEST, PROD)
    assert _read_by("hal9-migrate", grounds) == {f"{kind}-{n}" for kind in ("owner", "admin") for n in shards}
    assert _read_by(OPERATIONS, grounds) == {f"owner-{n}" for n in shards}
    served = _read_by(SERVER, [server.secrets(SERVER, server.secret_names(PROD), WEST, PROD)])
    assert not {name for name in served if name.startswith(("owner", "admin"))}
    assert {f"shard-{n}" for n in shards} < served


def test_no_pod_of_operations_stands_until_somebody_asks_for_one() -> None:
    made = commands.operations(PROD, "i")
    assert made["spec"]["replicas"] == 0
    assert made["spec"]["template"]["spec"]["serviceAccountName"] == OPERATIONS


def test_every_secret_is_a_file_and_none_is_in_the_environment() -> None:
    objects = server.secrets(SERVER, server.secret_names(PROD), WEST, PROD)["spec"]["parameters"]["objects"]
    for name in ("shard-0", "shard-2", "cache-us-west", "sessions-ap-south", "session-key-k1"):
        assert f"objectName: hal9/prod/{name}\n" in objects
        assert f"objectAlias: {name}\n" in objects
    for deployment in (_server(), gateway.deployment(PROD, "nginx", "hal9-server", SHA)):
        assert all("env" not in container for container in _spec(deployment)["containers"])


def test_a_retired_session_key_is_no_longer_delivered() -> None:
    keys = [{"id": "k1", "state": "retired"}, {"id": "k2", "state": "active"}]
    topology = parse("prod", edited("prod", put("sessions.keyring", keys)))
    assert [n for n in server.secret_names(topology) if n.startswith("session-key")] == ["session-key-k2"]


@pytest.mark.parametrize("namespace", ["hal9", "hal9-gateway", "istio-eastwest"])
def test_every_namespace_of_ours_denies_both_ways_by_default(namespace: str) -> None:
    (policy,) = [
        one
        for one in network_policies.policies(WEST, PROD)
        if one["metadata"]["name"] == "default-deny" and one["metadata"]["namespace"] == namespace
    ]
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}


def test_the_mesh_is_strict_and_allows_nginx_alone() -> None:
    found = {one["metadata"]["name"]: one["spec"] for one in mesh.security(PROD)}
    assert found["default"] == {"mtls": {"mode": "STRICT"}}
    assert found["default-deny"] == {}
    (rule,) = found["hal9-server"]["rules"]
    assert rule["from"] == [{"source": {"principals": ["cluster.local/ns/hal9-gateway/sa/hal9-gateway"]}}]


def test_the_routes_have_the_specifications_matches_and_weights() -> None:
    routes = mesh.virtual_service(PROD)["spec"]["http"]
    assert [route["match"][0]["headers"]["x-user-region"]["exact"] for route in routes[:-1]] == [
        "us-west",
        "eu-central",
        "ap-south",
    ]
    assert [(one["destination"]["subset"], one["weight"]) for one in routes[-1]["route"]] == [
        ("us-west", 34),
        ("eu-central", 33),
        ("ap-south", 33),
    ]


def test_another_regions_endpoint_has_no_address_as_aws_gives_a_load_balancer_a_name_alone() -> None:
    """istiod passes over a WorkloadEntry with a name where a Service selects it: the region would have no endpoint."""
    entries = mesh.remote_endpoints(WEST, PROD)
    assert [entry["spec"]["network"] for entry in entries] == ["eu-central", "ap-south"]
    assert not [entry for entry in entries if "address" in entry["spec"]]


def test_every_route_has_an_end_and_tries_again_only_what_was_never_sent() -> None:
    for route in mesh.virtual_service(PROD)["spec"]["http"]:
        assert ServerConfig().request_timeout_seconds < int(route["timeout"].removesuffix("s")) <= 6
        assert set(route["retries"]["retryOn"].split(",")) == {
            "connect-failure",
            "refused-stream",
            "reset-before-request",
        }
        assert route["retries"]["attempts"] == 2


def test_a_region_that_is_gone_costs_a_second_and_may_be_ejected_whole() -> None:
    policy = mesh.destination_rule(PROD)["spec"]["trafficPolicy"]
    assert policy["connectionPool"]["tcp"] == {"maxConnections": 1000, "connectTimeout": "1s"}
    assert policy["outlierDetection"] == {
        "consecutive5xxErrors": 5,
        "interval": "30s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 100,
        "minHealthPercent": 50,
    }


def test_what_serves_everybody_is_more_important_than_any_one_server() -> None:
    of = {one["metadata"]["name"]: one["value"] for one in classes.priorities()}
    named = [
        _spec(one)["priorityClassName"] for one in (gateway.deployment(PROD, "nginx", "hal9-server", SHA), _server())
    ]
    assert [of[name] for name in named] == sorted((of[name] for name in named), reverse=True)
    assert of[classes.PLATFORM] > of[classes.EDGE] > of[classes.SERVER] > 0 > of[classes.HEADROOM] >= -10


def test_headroom_is_as_large_as_a_server_with_its_sidecar_and_the_first_to_go() -> None:
    room = server.headroom(PROD, "registry/hal9-server@sha256:1")
    spec, pod = _spec(room), PROD.server.resources
    asked = spec["containers"][0]["resources"]["requests"]
    assert asked["cpu"] == server.cores(pod.cpu_request + pod.sidecar_cpu_request)
    assert asked["memory"] == server.memory(pod.memory_request_gib + pod.sidecar_memory_request_gib)
    assert (spec["priorityClassName"], spec["terminationGracePeriodSeconds"]) == (classes.HEADROOM, 0)
    assert room["spec"]["replicas"] == PROD.autoscaling.headroom_pods
    # else the Service, the budget and the spread of hal9-server would take them for servers
    labels = room["spec"]["template"]["metadata"]["labels"]
    assert labels["app"] != "hal9-server"
    assert labels["sidecar.istio.io/inject"] == "false"


def test_one_region_has_no_peers_and_no_east_west_gateway() -> None:
    dev = parse("dev", DATA["dev"])
    region = dev.ordered_regions[0]
    assert mesh.remote_endpoints(region, dev) == []
    assert gateway.settings(region, dev, {}).peers == ()
    assert {one["metadata"]["namespace"] for one in network_policies.policies(region, dev)} == {"hal9", "hal9-gateway"}


def test_production_runs_nginx_by_digest() -> None:
    with pytest.raises(StackFileError, match=r"gateway\.image.*has no digest"):
        parse("prod", edited("prod", put("gateway.image", "public.ecr.aws/nginx/nginx-unprivileged:1.28.0")))


def test_the_image_by_itself_looks_for_the_document_where_pods_have_it() -> None:
    assert f'CMD ["--document", "{server.DOCUMENT_PATH}"]' in (REPOSITORY / "app" / "Dockerfile").read_text()

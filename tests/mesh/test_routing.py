"""Requests of nginx's pod through real Envoys: the header's
region, the split, who may ask, and nothing in the clear.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.cluster import discovery
from tests.mesh.namespaces import command_in
from tests.mesh.regions import NGINX, Mesh

REGIONS = ("us-west", "eu-central", "ap-south")


def test_every_envoy_took_all_of_its_configuration(mesh: Mesh) -> None:
    assert mesh.refused() == []


@pytest.mark.parametrize("region", REGIONS)
def test_the_headers_region_answers(mesh: Mesh, region: str) -> None:
    seen = mesh.users(region, 30)
    seen.tell(f"users of {region}", failed=0, slow=0)
    assert seen.by_region() == {region: 30}


def test_without_a_header_the_regions_share_as_the_weights_say(mesh: Mesh) -> None:
    weights = mesh.clusters["us-west"].topology.weights
    seen = mesh.users("-", 20, seconds=8, pause=0)
    seen.tell("users of no region", failed=0, slow=0)
    shares = {region: 100 * count / len(seen.requests) for region, count in seen.by_region().items()}
    print({region: round(share) for region, share in shares.items()})
    assert shares == {region: pytest.approx(weights[region], abs=8) for region in REGIONS}


def test_a_regions_pods_share_what_comes(mesh: Mesh) -> None:
    pods = mesh.users("us-west", 20, seconds=3, pause=0).by_pod()
    assert set(pods) == {f"us-west-{number}" for number in range(discovery.PODS)}
    assert max(pods.values()) < 3 * min(pods.values())


def test_the_server_knows_nginx_by_its_certificate(mesh: Mesh) -> None:
    for region in REGIONS:
        (one,) = mesh.users(region).requests
        assert "URI=spiffe://cluster.local/ns/hal9-gateway/sa/hal9-gateway" in one.asks


def test_another_workload_with_a_certificate_of_the_mesh_is_refused(mesh: Mesh) -> None:
    (one,) = mesh.users("us-west", pod="us-west-0").requests
    assert (one.status, one.pod) == (403, "RBAC: access denied")


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("plaintext", None),
        ("no certificate", []),
        ("TLS 1.2", ["-tls1_2"]),
    ],
)
def test_what_is_not_the_meshs_own_tls_gets_no_answer(mesh: Mesh, what: str, options: list[str] | None) -> None:
    address = discovery.pod_address(mesh.clusters["us-west"], 0)
    if options is None:
        command = ["curl", "-s", "-m", "5", f"http://{address}:9000/"]
    else:
        if what == "TLS 1.2":
            certificate = mesh.folder / "us-west-hal9-gateway"
            options = [*options, "-cert", f"{certificate}.crt", "-key", f"{certificate}.key"]
        command = ["openssl", "s_client", "-connect", f"{address}:9000", "-alpn", "istio", "-quiet", *options]
    # As Envoy's own user its connection is not caught by the pod's Envoy.
    done = subprocess.run(
        command_in(NGINX, ["timeout", "5", *command], user=1337),
        input="GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "200 OK" not in done.stdout, what
    assert '"pod"' not in done.stdout, what
    assert done.returncode != 0 or "alert" in done.stderr, (what, done.stderr[-300:])


def test_the_right_certificate_over_tls_1_3_is_answered(mesh: Mesh) -> None:
    """The counterpart of the refusals: the same way with all of it right is let through to the server."""
    address, certificate = discovery.pod_address(mesh.clusters["us-west"], 0), mesh.folder / "us-west-hal9-gateway"
    command = ["openssl", "s_client", "-connect", f"{address}:9000", "-alpn", "istio", "-quiet", "-tls1_3"]
    command += ["-cert", f"{certificate}.crt", "-key", f"{certificate}.key"]
    script = (
        f"(printf 'GET / HTTP/1.1\\r\\nHost: {discovery.HOST}\\r\\nConnection: close\\r\\n\\r\\n'; "
        f"sleep 2) | {' '.join(command)}"
    )
    done = subprocess.run(
        command_in(NGINX, ["sh", "-c", script], user=1337), capture_output=True, text=True, check=False, timeout=20
    )
    assert "200 OK" in done.stdout, done.stderr[-300:]

"""What users of a region meet while something of it fails,
POST included: requests, failed, slow, and what is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from components.manifests import mesh as manifests
from components.manifests import server
from tests.cluster import discovery
from tests.mesh.regions import Mesh, wait

USERS = 10
AWAY = "ap-south"
"""The region that fails, seen from us-west."""
CONSECUTIVE = 5
"""Failures of one endpoint in a row until outlier detection
takes it out (the DestinationRule's consecutive5xxErrors).
"""


@pytest.fixture(autouse=True)
def whole(mesh: Mesh) -> Iterator[None]:
    """Afterwards nginx's Envoy forgets who failed, and every region answers its own users again."""
    yield
    mesh.restart(mesh.nginx)
    for region in mesh.clusters:
        mesh.home(region)


def test_a_pod_that_answers_500_is_taken_out_after_five(mesh: Mesh) -> None:
    bad = mesh.pods["us-west-1"]
    bad.flag.touch()
    try:
        seen = mesh.users("us-west", USERS, seconds=6)
        seen.tell("a pod of three answers 500", failed=CONSECUTIVE + USERS, slow=0)
        assert not [one for one in seen.failed if one.at > 4]
    finally:
        bad.flag.unlink()
    took = wait(lambda: bad.name in mesh.users("us-west", 12).by_pod(), 90, "the pod is let in again")
    print(f"let in again {took:.0f} s after it is well")


def test_a_region_that_refuses_connections_costs_nobody_anything(mesh: Mesh) -> None:
    gateway = mesh.gateways[AWAY]
    with mesh.asking(AWAY, USERS, 12) as seen:
        time.sleep(3)
        gateway.envoy.kill()
        found = seen()
    mesh.restart(gateway)
    # What was on its way through the gateway at that moment was sent, and is not sent twice.
    found.tell("a region's gateway dies", failed=USERS, slow=0)
    assert not [one for one in found.failed if one.at > 5]
    assert set(found.by_region(after=5)) == {"us-west", "eu-central"}


def test_a_region_that_vanishes_costs_each_user_a_connections_time_and_one_answer(mesh: Mesh) -> None:
    """Packets are dropped. What was sent on open connections fails at
    the route's time-out; what opens one goes elsewhere.
    """
    gateway = mesh.gateways[AWAY]
    with mesh.asking(AWAY, USERS, 35) as seen:
        time.sleep(3)
        mesh.network.drop(gateway.name, vanished=True)
        found = seen()
    mesh.network.drop(gateway.name, vanished=False)
    found.tell("a region vanishes", failed=2 * USERS, slow=6 * USERS)
    assert max(one.took for one in found.requests) < manifests.ROUTE_SECONDS + 1
    late = [one for one in found.failed if one.at > 3 + manifests.ROUTE_SECONDS + 2]
    assert not late, late[:3]


def test_users_go_home_once_their_region_is_back(mesh: Mesh) -> None:
    gateway = mesh.gateways[AWAY]
    mesh.network.drop(gateway.name, vanished=True)
    mesh.users(AWAY, USERS, seconds=4)
    mesh.network.drop(gateway.name, vanished=False)
    with mesh.asking(AWAY, USERS, 20) as seen:
        took = wait(lambda: mesh.users(AWAY, 12).by_region().get(AWAY, 0) == 12, 120, "its own users are back")
        found = seen()
    print(f"back {took:.0f} s after its link")
    found.tell("a region comes back", failed=0, slow=USERS)


def test_a_region_whose_pods_all_fail_sends_its_users_to_the_others(mesh: Mesh) -> None:
    """nginx's own region: with the specification's maxEjectionPercent
    of 50 a half of its requests would go on failing.
    """
    home = [mesh.pods[f"us-west-{number}"] for number in range(discovery.PODS)]
    for pod in home:
        pod.flag.touch()
    try:
        seen = mesh.users("us-west", USERS, seconds=10)
    finally:
        for pod in home:
            pod.flag.unlink()
    seen.tell("all pods of the home region answer 500", failed=(CONSECUTIVE + 4) * discovery.PODS + USERS, slow=0)
    assert not [one for one in seen.failed if one.at > 5]
    assert set(seen.by_region(after=5)) == {"eu-central", "ap-south"}


def test_a_pod_that_vanishes_costs_a_connections_time(mesh: Mesh) -> None:
    """A spot node is gone without notice: its endpoint stays until the node's lease runs out, some 40 s."""
    lost = mesh.pods["us-west-2"]
    with mesh.asking("us-west", USERS, 25) as seen:
        time.sleep(3)
        mesh.network.drop(lost.name, vanished=True)
        found = seen()
    mesh.network.drop(lost.name, vanished=False)
    found.tell("a pod of three vanishes", failed=2 * USERS, slow=6 * USERS)
    assert not [one for one in found.failed if one.at > 3 + manifests.ROUTE_SECONDS + 2]


def test_a_roll_of_the_server_loses_no_request(mesh: Mesh) -> None:
    """Pod by pod, as the Deployment does it: a new one is told
    of, the old one taken back, and only then told to end.
    """
    numbers = list(range(discovery.PODS))
    with mesh.asking("us-west", USERS, 30) as seen:
        time.sleep(2)
        for old in range(discovery.PODS):
            new = mesh.add_pod("us-west", discovery.PODS + old)
            mesh.live(new)
            numbers.append(discovery.PODS + old)
            mesh.tell_endpoints("us-west", numbers)
            numbers.remove(old)
            mesh.tell_endpoints("us-west", numbers)
            time.sleep(server.PRE_STOP_SECONDS)
            app = mesh.pods[f"us-west-{old}"].app
            assert app is not None
            app.stop()
            mesh.pods[f"us-west-{old}"].envoy.stop()
        found = seen()
    for number in range(discovery.PODS):  # the old ones again, for the tests that follow
        pod = mesh.pods[f"us-west-{number}"]
        mesh.restart(pod)
        mesh.start_app(pod)
    mesh.tell_endpoints("us-west", range(discovery.PODS))
    found.tell("a roll of the server", failed=0, slow=0)
    answered = set(found.by_pod())
    assert answered >= {f"us-west-{number}" for number in range(2 * discovery.PODS)}

"""Rules of sessions: Redis nodes, Global Datastores, the keyring. Each
mistake in production's stack file, and its refusal to the letter.
"""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, put, refusal

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "three secondaries": (
        [put("regions.us-west.sessionReplicas", ["eu-central", "ap-south", "eu-central"])],
        [
            "hal9:regions.us-west.sessionReplicas names 3 regions; a Global Datastore has at most 2 secondaries",
            "hal9:regions.us-west.sessionReplicas[2] eu-central is there twice",
        ],
    ),
    "a secondary at home": (
        [put("regions.us-west.sessionReplicas", ["us-west"])],
        [
            "hal9:regions.us-west.sessionReplicas[0] us-west is the region itself; a secondary is in another region",
        ],
    ),
    "a secondary in no region": (
        [put("regions.us-west.sessionReplicas", ["sa-east"])],
        [
            "hal9:regions.us-west.sessionReplicas[0] 'sa-east' is no region; there are us-west, eu-central, ap-south",
        ],
    ),
    "a secondary twice": (
        [put("regions.us-west.sessionReplicas", ["ap-south", "ap-south"])],
        [
            "hal9:regions.us-west.sessionReplicas[1] ap-south is there twice",
        ],
    ),
    "a burstable session store": (
        [put("redis.sessions.nodeType", "cache.t4g.small")],
        [
            (
                "hal9:redis.sessions.nodeType cache.t4g.small cannot be in a Global Datastore; m5, r5 or "
                "newer, such as cache.r6g.large"
            ),
        ],
    ),
    "a session store of no known type": (
        [put("redis.sessions.nodeType", "cache.r6i.large")],
        [
            "hal9:redis.sessions.nodeType 'cache.r6i.large' is no known cache node type such as cache.r6g.large",
        ],
    ),
    "a compute-optimised session store": (
        [put("redis.sessions.nodeType", "cache.c7gn.xlarge")],
        [
            (
                "hal9:redis.sessions.nodeType cache.c7gn.xlarge cannot be in a Global Datastore; m5, r5 or "
                "newer, such as cache.r6g.large"
            ),
        ],
    ),
    "a cache of no known type": (
        [put("redis.cache.nodeType", "r6g.large")],
        [
            "hal9:redis.cache.nodeType 'r6g.large' is no known cache node type such as cache.r6g.large",
        ],
    ),
    "no active key": (
        [put("sessions.keyring[0].state", "decrypt")],
        [
            "hal9:sessions.keyring has no active key; exactly one must be active",
        ],
    ),
    "no key": (
        [put("sessions.keyring", [])],
        [
            "hal9:sessions.keyring has no active key; exactly one must be active",
        ],
    ),
    "two active keys": (
        [put("sessions.keyring[+]", {"id": "k2", "state": "active"})],
        [
            "hal9:sessions.keyring has 2 active keys (k1, k2); exactly one must be active",
        ],
    ),
    "a key id twice": (
        [put("sessions.keyring[+]", {"id": "k1", "state": "decrypt"})],
        [
            "hal9:sessions.keyring[1].id 'k1' is sessions.keyring[0]'s already",
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(edits: list[Edit], lines: list[str]) -> None:
    assert refusal("prod", *edits) == lines

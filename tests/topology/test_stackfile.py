"""A stack file's mistakes: paths, words, all at once, and no echoes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan.project import SECURE
from tests.stackfiles import CONFIG, DATA, Edit, as_config, edited, put, refusal
from topology import naming, stackfile
from topology.load import parse
from topology.stackfile import Mistake, StackFileError
from topology.topology import Topology

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "an unknown key": (
        [put("regoins", {})],
        ["hal9:regoins is no known key; did you mean regions?"],
    ),
    "an unknown key in a region": (
        [put("regions.us-west.timezon", "Etc/UTC")],
        ["hal9:regions.us-west.timezon is no known key; did you mean timezone?"],
    ),
    "an unknown key in an entry of a list": (
        [put("shards[1].slot", "0-1")],
        ["hal9:shards[1].slot is no known key; did you mean slots?"],
    ),
    "an unknown key like none": (
        [put("sessions.zzz", 1)],
        ["hal9:sessions.zzz is no known key; known are fallbackDeadlineSeconds, keyring or ttlSeconds"],
    ),
    "a key of the program's own": (
        [put("regions.us-west.$name", "eu-central")],
        [
            (
                "hal9:regions.us-west.$name is no known key; known are awsRegion, backupRegion, cidr, "
                "countries, leaving, natGateways, nodeRelease, "
                "onDemandInstanceTypes, schedule, sessionGenerations, sessionReplicas, "
                "spotInstanceTypes, timezone or zones"
            )
        ],
    ),
    "text for a whole number": (
        [put("autoscaling.maxReplicas", "many")],
        ["hal9:autoscaling.maxReplicas 'many' is not a whole number"],
    ),
    "a fraction for a whole number": (
        [put("autoscaling.maxReplicas", 10.5)],
        ["hal9:autoscaling.maxReplicas 10.5 is not a whole number"],
    ),
    "text for a number": (
        [put("server.resources.cpuRequest", "one")],
        ["hal9:server.resources.cpuRequest 'one' is not a number"],
    ),
    "text for true or false": (
        [put("database.multiAz", "yes")],
        ["hal9:database.multiAz 'yes' is not true or false"],
    ),
    "a number for true or false": (
        [put("protect", 1)],
        ["hal9:protect 1 is not true or false"],
    ),
    "a number for text": (
        [put("owner", 7)],
        ["hal9:owner 7 is not text; quote it, as YAML reads some words (NO, on) and digits as something else"],
    ),
    "a country that YAML took for false": (
        [put("regions.eu-central.countries[17]", False)],
        [
            (
                "hal9:regions.eu-central.countries[17] false is not text; quote it, as YAML reads some words (NO, on) "
                "and digits as something else"
            )
        ],
    ),
    "a list for a map": (
        [put("autoscaling", [])],
        ["hal9:autoscaling [] is not a map"],
    ),
    "a map for a list": (
        [put("shards", {"0": {}})],
        ['hal9:shards {"0": {}} is not a list'],
    ),
    "text for a map": (
        [put("regions.us-west", "us-west-2")],
        ["hal9:regions.us-west 'us-west-2' is not a map"],
    ),
    "a missing key": (
        [put("accountId", ...)],
        ["hal9:accountId is missing; it must be set"],
    ),
    "a missing key of a region": (
        [put("regions.eu-central.cidr", ...)],
        ["hal9:regions.eu-central.cidr is missing; it must be set"],
    ),
    "a missing key of a shard": (
        [put("shards[2].home", ...)],
        ["hal9:shards[2].home is missing; it must be set"],
    ),
    "an empty region": (
        [put("regions.eu-central", {})],
        [
            "hal9:regions.eu-central.awsRegion is missing; it must be set",
            "hal9:regions.eu-central.cidr is missing; it must be set",
            "hal9:regions.eu-central.zones is missing; it must be set",
        ],
    ),
    "no region": (
        [put("regions", {})],
        ["hal9:regions is empty; at least 1 entry"],
    ),
    "no shard": (
        [put("shards", [])],
        ["hal9:shards is empty; at least 1 entry"],
    ),
    "a number too small": (
        [put("autoscaling.minReplicas", 0)],
        ["hal9:autoscaling.minReplicas 0 is too small; at least 1"],
    ),
    "a quantity that is nothing": (
        [put("pools.connectTimeoutSeconds", 0)],
        ["hal9:pools.connectTimeoutSeconds 0 is too small; more than 0"],
    ),
    "a number too large": (
        [put("autoscaling.cpuUtilization", 101)],
        ["hal9:autoscaling.cpuUtilization 101 is too large; at most 100"],
    ),
    "a quantity that is no number": (
        [put("limits.userRate", "nan")],
        ["hal9:limits.userRate 'nan' is not a number"],
    ),
    "a quantity without an end": (
        [put("limits.userRate", "inf")],
        ["hal9:limits.userRate 'inf' is not a number"],
    ),
    "a word that is none of a few": (
        [put("regions.us-west.natGateways", "two")],
        ["hal9:regions.us-west.natGateways 'two' is not 'zone' or 'one'"],
    ),
    "a number that is none of a few": (
        [put("database.monitoringIntervalSeconds", 20)],
        ["hal9:database.monitoringIntervalSeconds 20 is not 0, 1, 5, 10, 15, 30 or 60"],
    ),
    "a read preference that is none": (
        [put("database.readPreference", "fastest")],
        ["hal9:database.readPreference 'fastest' is not 'primary', 'replica' or 'nearest'"],
    ),
    "a day that is none": (
        [put("regions.us-west.schedule[0].days[1]", "tues")],
        ["hal9:regions.us-west.schedule[0].days[1] 'tues' is not 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'"],
    ),
    "an account id that is none": (
        [put("accountId", "1234")],
        ["hal9:accountId '1234' is not an AWS account id of twelve digits"],
    ),
    "a domain that is none": (
        [put("domain", "HAL9")],
        ["hal9:domain 'HAL9' is not a domain such as hal9.example.com"],
    ),
    "an e-mail address that is none": (
        [put("alarmEmail", "oncall")],
        ["hal9:alarmEmail 'oncall' is not an e-mail address"],
    ),
    "a role that is none": (
        [put("cluster.adminRoleArns[0]", "deployer")],
        ["hal9:cluster.adminRoleArns[0] 'deployer' is not a role such as arn:aws:iam::123456789012:role/deployer"],
    ),
    "a block that is none": (
        [put("cluster.publicAccessCidrs", ["198.51.100.7"])],
        ["hal9:cluster.publicAccessCidrs[0] '198.51.100.7' is not an IPv4 block such as 10.0.0.0/16"],
    ),
    "an address for a block": (
        [put("regions.us-west.cidr", "10.0.0.1/16")],
        ["hal9:regions.us-west.cidr 10.0.0.1/16 is an address within a block; the block is 10.0.0.0/16"],
    ),
    "a time that is none": (
        [put("regions.us-west.schedule[0].start", "7am")],
        ["hal9:regions.us-west.schedule[0].start '7am' is not a time of day such as 07:00"],
    ),
    "slots that are no range": (
        [put("shards[0].slots[0]", "0..333")],
        ["hal9:shards[0].slots[0] '0..333' is not a range of slots such as 0-333"],
    ),
    "a digest that is none": (
        [put("server.image", "hal9-server@sha256:123")],
        [
            (
                "hal9:server.image 'hal9-server@sha256:123' is not a repository with a tag or digest, such as "
                "hal9-server@sha256: and 64 hexadecimal digits"
            )
        ],
    ),
    "a state of a key that is none": (
        [put("sessions.keyring[0].state", "on")],
        ["hal9:sessions.keyring[0].state 'on' is not 'active', 'decrypt' or 'retired'"],
    ),
    "a key bytes' place in the stack file": (
        [put("sessions.keyring[0].key", "c2VjcmV0")],
        ["hal9:sessions.keyring[0].key is no known key; known are id, since or state"],
    ),
    "a Kubernetes version that YAML took for a number": (
        [put("cluster.version", 1.3)],
        [
            (
                "hal9:cluster.version 1.3 is not text; quote it, as YAML reads some words (NO, on) and "
                "digits as something else"
            )
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_one_setting_is_refused_with_its_path_and_what_would_be_right(
    edits: list[Edit], lines: list[str]
) -> None:
    assert refusal("prod", *edits) == lines


def test_the_whole_message_names_the_file_and_lines_up_its_paths() -> None:
    with pytest.raises(StackFileError) as caught:
        parse("prod", edited("prod", put("regions.eu-central.cidr", "10.0.0.0/16"), put("owner", 7)))
    assert str(caught.value) == (
        "Pulumi.prod.yaml has 2 mistakes; nothing was planned.\n"
        "  hal9:owner                    7 is not text; quote it, as YAML reads some words (NO, on) and digits as "
        "something else\n"
        "  hal9:regions.eu-central.cidr  10.0.0.0/16 overlaps us-west (10.0.0.0/16); free from 10.3.0.0/16 on"
    )


def test_one_mistake_is_one_mistake() -> None:
    with pytest.raises(StackFileError, match=r"^Pulumi.dev.yaml has 1 mistake; nothing was planned.\n"):
        parse("dev", edited("dev", put("owner", 7)))


def test_mistakes_in_settings_and_between_them_are_shown_together() -> None:
    assert refusal(
        "prod",
        put("domian", "hal9.ai"),
        put("autoscaling.cpuUtilization", "high"),
        put("regions.eu-central.cidr", "10.0.0.0/16"),
        put("regions.ap-south.zones[2]", "ap-south-1z"),
        put("shards[1].slots[0]", "334-665"),
        put("shards[2].home", "ap-sout"),
        put("server.image", "hal9-server:1.0"),
        put("sessions.keyring[0].state", "decrypt"),
    ) == [
        "hal9:autoscaling.cpuUtilization 'high' is not a whole number",
        "hal9:domian is no known key; did you mean domain?",
        (
            "hal9:regions.ap-south.zones[2] 'ap-south-1z' is no zone of ap-south-1; it has ap-south-1a, "
            "ap-south-1b or ap-south-1c"
        ),
        "hal9:regions.eu-central.cidr 10.0.0.0/16 overlaps us-west (10.0.0.0/16); free from 10.3.0.0/16 on",
        "hal9:server.image 'hal9-server:1.0' has no digest; `make image STACK=prod` builds, pushes and writes it",
        "hal9:sessions.keyring has no active key; exactly one must be active",
        "hal9:shards[1].slots[0] 334-665 leaves slot 666 without a shard",
        "hal9:shards[2].home 'ap-sout' is no region; there are eu-central, us-west, ap-south; did you mean ap-south?",
    ]


def test_a_refused_entry_of_a_list_leaves_the_paths_of_the_others_true() -> None:
    assert refusal(
        "prod", put("regions.eu-central.countries[0]", False), put("regions.eu-central.countries[3]", "XX")
    ) == [
        (
            "hal9:regions.eu-central.countries[0] false is not text; quote it, as YAML reads some words (NO, "
            "on) and digits as something else"
        ),
        "hal9:regions.eu-central.countries[3] 'XX' is no country; an ISO 3166-1 code of two capital letters such as DE",
    ]


def test_a_region_with_one_mistake_is_still_judged_for_the_others() -> None:
    assert refusal(
        "prod", put("regions.us-west.natGateways", "two"), put("regions.eu-central.cidr", "10.0.0.0/16")
    ) == [
        "hal9:regions.eu-central.cidr 10.0.0.0/16 overlaps us-west (10.0.0.0/16); free from 10.3.0.0/16 on",
        "hal9:regions.us-west.natGateways 'two' is not 'zone' or 'one'",
    ]


@pytest.mark.parametrize(
    "edits",
    [
        [
            put("autoscaling.maxReplicas", "many"),
            put("autoscaling.minReplicas", 101),
            put("cluster.onDemand.minNodes", 17),
            put("cluster.onDemand.maxNodes", 17),
        ],
        [put("cluster.onDemand.instanceType", 8)],
        [put("cluster.spot.instanceTypes[0]", 8)],
        [put("database.instanceClass", ["db.r6g.large"])],
        [put("regions.eu-central.awsRegion", True)],
        [put("regions.eu-central.zones", "all")],
        [put("regions.eu-central", None)],
        [put("regions.eu-central.schedule[0].start", 420)],
        [put("sessions.keyring[0]", "k1")],
        [put("shards[1].id", "one")],
        [put("shards[1].slots[0]", 334)],
        [put("shards[1]", "the second")],
        [put("shards[1].slots", [])],
        [put("mesh.weights", {"us-west": 101, "eu-central": 0, "ap-south": 0})],
    ],
)
def test_a_refused_value_has_no_echo(edits: list[Edit]) -> None:
    """What only follows from a refused value, or from what stands in for it, is not shown."""
    assert len(refusal("prod", *edits)) == 1


def test_a_stand_in_value_of_a_small_stack_has_no_echo() -> None:
    """The defaults are production's: 100 pods would not fit dev's connections, nor its image production's rule."""
    assert refusal("dev", put("autoscaling", "small"), put("protect", "no")) == [
        "hal9:autoscaling 'small' is not a map",
        "hal9:protect 'no' is not true or false",
    ]


_keys = st.sampled_from(sorted(DATA["prod"]))
_junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _refused(data: dict[str, Any]) -> tuple[Mistake, ...]:
    try:
        parse("prod", data)
    except StackFileError as error:
        return error.mistakes
    return ()


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(_keys, _junk, min_size=1, max_size=3))
def test_whatever_is_in_a_stack_file_it_is_taken_or_refused_with_paths_that_exist(junk: dict[str, Any]) -> None:
    """Never another error: an operator sees a path and a sentence, or a topology."""
    tops = {re.split(r"[.\[]", mistake.path)[0] for mistake in _refused(DATA["prod"] | junk)}
    assert tops <= set(DATA["prod"])


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for index, inner in enumerate(value) for leaf in _leaves(inner, (*path, index)))]
    return [path]


_places = [path for path in _leaves(DATA["prod"]) if path]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_places), _junk)
def test_whatever_stands_in_one_place_it_is_taken_or_refused(place: tuple[str | int, ...], junk: Any) -> None:
    data = edited("prod")
    holder: Any = data
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = junk
    assert all(mistake.path and mistake.message for mistake in _refused(data))


# What the CLI hands over: every value as text.


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_structured_values_arrive_as_json_and_read_the_same(stack: str) -> None:
    data = stackfile.structure(Topology, as_config(DATA[stack]))
    assert parse(stack, data) == parse(stack, DATA[stack])


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_maps_arrive_with_sorted_keys_and_regions_keep_their_order(stack: str) -> None:
    data = stackfile.structure(Topology, as_config(DATA[stack]))
    assert list(data["regions"]) == sorted(data["regions"])
    assert parse(stack, data).region_names == parse(stack, DATA[stack]).region_names


def test_text_at_the_top_stays_text_though_it_looks_like_a_number() -> None:
    config = {**CONFIG["prod"], "hal9:accountId": "012345678901", "hal9:owner": "42"}
    config["hal9:cluster"] = config["hal9:cluster"].replace("123456789012", "012345678901")
    read = parse("prod", stackfile.structure(Topology, config))
    assert (read.account_id, read.owner) == ("012345678901", "42")


def test_true_and_false_at_the_top_arrive_as_text() -> None:
    assert not parse("prod", stackfile.structure(Topology, {**CONFIG["prod"], "hal9:protect": "false"})).protect


def test_other_namespaces_are_not_ours() -> None:
    assert stackfile.structure(Topology, {"aws:region": "us-west-2", "pulumi:tags": "{}"}) == {}


def test_text_that_is_no_json_is_refused_where_a_map_must_be() -> None:
    with pytest.raises(StackFileError, match=r"hal9:autoscaling  '\{minReplicas' is not a map$"):
        parse("prod", stackfile.structure(Topology, {**CONFIG["prod"], "hal9:autoscaling": "{minReplicas"}))


@pytest.mark.parametrize(
    ("path", "written", "same_as"),
    [
        ("server.resources.cpuRequest", "0.5", 0.5),  # `--path` writes a fraction as text
        ("autoscaling.maxReplicas", 80, 80),
        ("database.multiAz", False, False),
        ("database.engineVersion", 17, "17"),  # and a version without a dot as a number
        ("cluster.version", "1.35", "1.35"),
        ("sessions.keyring[0].id", 2026, "2026"),
    ],
)
def test_what_config_set_path_writes_is_read(path: str, written: Any, same_as: Any) -> None:
    assert parse("prod", edited("prod", put(path, written))) == parse("prod", edited("prod", put(path, same_as)))


def test_an_encrypted_setting_is_refused_without_its_value() -> None:
    config = {**CONFIG["prod"], "hal9:domain": "swordfish", "hal9:limits": json.dumps({"userRate": "swordfish"})}
    with pytest.raises(StackFileError) as caught:
        parse("prod", stackfile.structure(Topology, config), ["hal9:domain", "hal9:limits", "aws:secretKey"])
    assert [str(mistake.path) for mistake in caught.value.mistakes] == ["domain", "limits"]
    assert "swordfish" not in str(caught.value)
    assert "is encrypted, and no setting is a secret; set it with --plaintext" in str(caught.value)


def test_an_encrypted_key_that_is_none_is_told_to_be_none() -> None:
    """Told to set it in plaintext, an operator would store a password in clear."""
    with pytest.raises(StackFileError) as caught:
        parse("prod", stackfile.structure(Topology, CONFIG["prod"]), ["hal9:databasePassword"])
    assert "databasePassword  is no known key; no setting is a secret" in str(caught.value)
    assert "plaintext" not in str(caught.value)


def test_what_the_embedded_engine_withholds_is_told_by_its_own_path() -> None:
    assert stackfile.WITHHELD == SECURE
    config = {**CONFIG["prod"], "hal9:identity": json.dumps({**DATA["prod"]["identity"], "issuer": SECURE})}
    with pytest.raises(StackFileError) as caught:
        parse("prod", stackfile.structure(Topology, config), ["hal9:identity"])
    assert [mistake.path for mistake in caught.value.mistakes] == ["identity.issuer"]


def test_a_region_that_was_renamed_is_one_mistake() -> None:
    def renamed(data: dict[str, Any]) -> None:
        data["regions"]["europe"] = data["regions"].pop("eu-central")

    (told,) = [line for line in refusal("prod", renamed) if "'eu-central' is no region" in line]
    assert "the same at" in told
    assert "shards[1].home" in told
    assert len(refusal("prod", renamed)) == 1


def test_the_odd_one_out_is_accused_and_not_the_others() -> None:
    types = ["m6i.xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m7i.2xlarge"]
    (told,) = refusal("prod", put("cluster.spot.instanceTypes", types))
    assert "m6i.xlarge (4 vCPUs, 16 GiB, amd64) is not of m6a.2xlarge's size" in told


@pytest.mark.parametrize(
    "stack", ["staging", "production-blue", "prod", "a", "eu-prod-2", "a-stack-name-of-just-forty-characters-12"]
)
def test_a_stacks_name_needs_no_region_to_be_shorter(stack: str) -> None:
    read = parse(stack, DATA["prod"])
    names = [read.names.of_balancer(region, "east-west") for region in read.region_names]
    assert len(set(names)) == len(names)
    assert all(len(name) <= naming.BALANCER_LIMIT for name in names)


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("Prod", "such as prod"),
        ("ünï", "such as uni"),
        ("-x", "such as x"),
        ("prod-", "such as prod"),
        ("1", "is not a stack's name"),
        ("a--b", "such as a-b"),
        ("a_b", "such as a-b"),
        ("x" * 41, "has 41 characters; at most 40"),
    ],
)
def test_a_stacks_name_that_aws_refuses_is_one_mistake(stack: str, said: str) -> None:
    with pytest.raises(StackFileError) as caught:
        parse(stack, DATA["prod"])
    assert [mistake.path for mistake in caught.value.mistakes] == [stackfile.STACK]
    assert said in str(caught.value)
    assert "the stack's name  " in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("domain", "HAL9.AI", "did you mean hal9.ai?"),
        ("domain", "münchen.example", "did you mean xn--mnchen-3ya.example?"),
        ("domain", "https://hal9.ai", "did you mean hal9.ai?"),
        ("domain", "hal9.ai.", "did you mean hal9.ai?"),
        ("shards[0].slots[0]", "333", "as a range 333-333"),
        ("server.resources.cpuRequest", "500m", "in cores 0.5"),
        ("server.resources.memoryRequestGib", "512Mi", "in GiB 0.5"),
        ("cluster.logRetentionDays", 91, "90 or 120"),
        ("foo", 1, "is no known key; known are"),
        ("identity.jwks", "https://user:hunter2@id.hal9.ai/", "has a user name or password in it"),
        ("database", "", "is empty; a map, or leave the key out"),
        ("edge.blockedCountries", ["UK"], "did you mean GB?"),
        ("network.interfaceEndpoints", ["ecr.apii"], "did you mean ecr.api?"),
        ("database.engineVersion", 16.1, "quote it"),
        ("regions.us-west.schedule[0].end", "24:00", "a day ends at 23:59"),
    ],
)
def test_what_is_meant_is_guessed_from_what_is_near(path: str, value: Any, said: str) -> None:
    told = refusal("prod", put(path, value))
    assert any(said in line for line in told), told
    assert "hunter2" not in str(told)


# The parts of a message.


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_names_are_listed(names: list[str], text: str) -> None:
    assert stackfile.listed(names) == text


@pytest.mark.parametrize(
    ("path", "rests_on", "refused", "echo"),
    [
        ("shards[1].slots[0]", (), "shards[1].slots[0]", True),
        ("shards[1].slots[0]", (), "shards[1]", True),
        ("shards[1]", (), "shards[1].slots[0]", True),
        ("shards[1].id", (), "shards[10].id", False),
        ("regions.us-west.cidr", (), "regions.us.cidr", False),
        ("regions.us-west.cidr", ("regions.eu.cidr",), "regions.eu.cidr", True),
        ("regions.us-west.cidr", ("regions.eu.cidr",), "regions.eu.zones", False),
    ],
)
def test_a_mistake_is_an_echo_where_it_rests_on_a_refused_path(
    path: str, rests_on: tuple[str, ...], refused: str, echo: bool
) -> None:
    assert stackfile.touches(Mistake(path, "is wrong", rests_on), [Mistake(refused, "is refused")]) is echo

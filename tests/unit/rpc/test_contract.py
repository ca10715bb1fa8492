"""The messages between server and hosts: what is sent, what is refused, and older releases."""

import copy
import json
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core.counters import Count, Counter, CounterKind
from portchain.core.function_kinds import find
from portchain.core.model import (
    FunctionKind,
    HealthCheck,
    HealthCheckParameters,
    HostReport,
    PairHealth,
)
from portchain.dataplane.pipeline import MAX_HOPS, ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    EarlierPairs,
    GraphIngress,
    Hop,
    Path,
    Probe,
    Reaction,
    Receiver,
    Segment,
    Source,
    Target,
)
from portchain.rpc import contract
from portchain.rpc.contract import PlanUpdate
from portchain.rpc.fields import ContractError
from tests.plans import chain, ident, mac, tap, target

uuids = st.uuids().map(str)
texts = st.text("abc.-_", max_size=10)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: ":".join(f"{byte:02x}" for byte in raw))
addresses = st.ip_addresses().map(str)
ranges = st.none() | st.tuples(st.integers(0, 100), st.integers(100, 65535))
prefixes = st.lists(st.ip_addresses(v=4).map(lambda ip: f"{ip}/32"), max_size=2).map(tuple)
classifiers = st.builds(
    Classifier,
    ethertype=st.just("IPv4"),
    protocol=st.none() | st.integers(0, 255),
    source_ports=ranges,
    destination_ports=ranges,
    source_prefixes=prefixes,
    source_port_known=st.booleans(),
    receiver=st.none()
    | st.builds(Receiver, prefixes, st.lists(macs, max_size=2).map(tuple), prefixes),
)
tunnel_ips = addresses | st.just("")
segments = st.none() | st.builds(Segment, texts, st.none() | st.integers(1, 4094))
sources = st.builds(
    Source,
    st.just(0),
    uuids,
    texts,
    tunnel_ips,
    macs,
    st.lists(addresses, max_size=2).map(tuple),
    segments,
    st.lists(addresses, max_size=2).map(tuple),
    st.lists(addresses, max_size=2).map(tuple),
    st.lists(macs, max_size=2).map(tuple),
    st.booleans(),
)
targets = st.builds(
    Target,
    uuids,
    texts,
    tunnel_ips,
    uuids,
    macs,
    uuids,
    macs,
    st.integers(0, 99),
    st.builds(find, st.sampled_from(FunctionKind), st.sampled_from([None, "mpls", "nsh", "srv6"])),
    segments,
    segments,
    st.booleans(),
    st.lists(macs, max_size=2).map(tuple),
)
earlier_pairs = st.builds(
    EarlierPairs,
    st.dictionaries(uuids, st.integers(1, 65535), min_size=1, max_size=3).map(
        lambda weights: tuple(sorted(weights.items()))
    ),
    st.booleans(),
)
hops = st.builds(
    Hop,
    st.integers(0, 99),
    st.lists(targets, max_size=2).map(tuple),
    st.just(("ip_src",)),
    tap=st.booleans(),
    returned_sources=st.none()
    | st.lists(st.ip_addresses().map(lambda ip: str(ip_network(ip))), max_size=3).map(tuple),
    returned_macs=st.none() | st.lists(macs, max_size=3).map(tuple),
    earlier_pairs=st.lists(earlier_pairs, max_size=3).map(tuple),
    reaction=st.none()
    | st.builds(
        Reaction,
        st.integers(0, 65535),
        st.dictionaries(uuids, st.integers(1, 65535), max_size=3).map(
            lambda weights: tuple(sorted(weights.items()))
        ),
        st.booleans(),
    ),
)
keywords = st.text("abcdef0123456789", max_size=15)
accepted = st.lists(st.ip_addresses(v=4).map(lambda ip: f"{ip}/32"), max_size=2).map(tuple)


def with_accepted_sources(path):
    count = len(path.classifiers)
    return st.lists(accepted, min_size=count, max_size=count).map(
        lambda each: replace(
            path,
            hops=tuple(replace(hop, accepted_sources=tuple(each)) for hop in path.hops),
        )
    )


retries = st.integers(1, 10)
times = st.builds(HealthCheckParameters, st.floats(0.1, 60), st.floats(0, 60), retries, retries)
probes_by_check = st.one_of(
    st.fixed_dictionaries(
        {
            "check": st.just(HealthCheck.ICMP),
            "source": st.ip_addresses(v=6).map(str),
            "destination": st.ip_addresses(v=6).map(str),
        }
    ),
    st.fixed_dictionaries(
        {"check": st.just(HealthCheck.PING), "destination": st.ip_addresses(v=4).map(str)}
    ),
    st.fixed_dictionaries({"check": st.just(HealthCheck.L2)}),
)
functions = st.builds(find, st.sampled_from(FunctionKind), st.sampled_from([None, "mpls", "nsh"]))
probes = st.tuples(
    *(probes_by_check, uuids, texts, uuids, macs, uuids, functions, times, st.just("") | macs)
).map(
    lambda made: Probe(
        **made[0],
        pair_id=made[1],
        host=made[2],
        ingress_port=made[3],
        ingress_mac=made[4],
        egress_port=made[5],
        function=made[6],
        parameters=made[7],
        destination_mac=made[8],
    )
)
path_ids = st.integers(1, 65535) | st.integers(1, 65535).map(lambda n: n | ODD_GENERATION)
some_sources = st.lists(sources, max_size=2).map(tuple)
entries = st.builds(GraphIngress, path_ids, st.integers(1, MAX_HOPS), some_sources, some_sources)
paths_of_chains = st.builds(
    Path,
    st.lists(classifiers, min_size=1, max_size=2).map(tuple),
    st.lists(sources, max_size=2).map(tuple),
    st.lists(hops, max_size=2).map(tuple),
    st.booleans(),
    st.lists(entries, max_size=1).map(tuple),
    st.booleans(),
).flatmap(lambda path: st.just(path) | with_accepted_sources(path))
plans = st.builds(
    ChainPlan,
    uuids,
    path_ids,
    st.integers(0, 2**63),
    st.lists(paths_of_chains, max_size=2).map(tuple),
    st.integers(0, 2**63),
    keywords,
    packet_hosts=st.frozensets(st.text("abc.-_", min_size=1, max_size=10), max_size=3).map(
        lambda hosts: tuple(sorted(hosts))
    ),
    probes=st.lists(probes, max_size=2).map(tuple),
)
updates = st.builds(
    PlanUpdate,
    st.lists(plans, max_size=2).map(tuple),
    st.lists(st.tuples(uuids, st.integers(0, 2**63)), max_size=2).map(tuple),
    st.frozensets(uuids, max_size=2),
    st.lists(st.tuples(uuids, st.integers(0, 2**63)), max_size=2).map(tuple),
)


def through_json(message):
    return json.loads(json.dumps(message))


@given(updates)
def test_updates_arrive_as_they_were_sent(update):
    assert contract.decode_update(through_json(contract.encode_update(update))) == update


@given(
    st.lists(st.builds(HostReport, uuids, st.integers(0, 9), texts, texts, st.booleans())).map(
        tuple
    )
)
def test_reports_arrive_as_they_were_sent(reports):
    assert contract.decode_reports(through_json(contract.encode_reports(reports))) == reports


@given(st.lists(st.builds(PairHealth, uuids, st.booleans(), texts)).map(tuple))
def test_what_a_host_says_of_functions_arrives_as_it_was_sent(health):
    assert contract.decode_health(through_json(contract.encode_health(health))) == health


PROBE = Probe(
    pair_id=ident("a"),
    host="h1",
    ingress_port=ident("a-in"),
    ingress_mac=mac("a-in"),
    egress_port=ident("a-out"),
    check=HealthCheck.ICMP,
    source="10.0.0.1",
    destination="10.0.0.20",
    destination_mac=mac("server"),
)
EARLIER = EarlierPairs(((ident("a"), 1), (ident("c"), 2)), new_flows=True)


REACTION = Reaction(1, ((ident("c"), 2),), opens=True)


def with_earlier_pairs(*sets):
    made = chain(Hop(1, (target("a", "h1"),), earlier_pairs=sets, reaction=REACTION))
    return replace(made, packet_hosts=("h1",), probes=(PROBE,))


def message():
    update = PlanUpdate(
        (with_earlier_pairs(EARLIER),),
        ((ident("pc2"), 3),),
        frozenset({ident("pc1")}),
        ((ident("pc3"), 4),),
    )
    return through_json(contract.encode_update(update))


def test_an_agent_before_1_6_finds_no_targets_in_a_hop_that_projects_share():
    (path,) = chain([target("a", "h1")], [target("c", "h1")]).paths
    shared = replace(path.hops[0], accepted_sources=(("10.0.0.10/32",),), headers=path.classifiers)
    plan = replace(chain([]), paths=(replace(path, hops=(shared, path.hops[1])),))
    sent = through_json(contract.encode_update(PlanUpdate((plan,))))
    first, plain = sent["chains"][0]["paths"][0]["hops"]
    assert (first["targets"], first.get("mapping_targets"), len(plain["targets"])) == ([], None, 1)
    assert contract.decode_update(sent).chains == (plan,)


def test_an_agent_before_1_11_does_not_say_what_its_datapath_lacks():
    report = HostReport(ident("chain"), 3, prepared=True, warning="slow")
    (sent,) = through_json(contract.encode_reports([report]))
    assert contract.decode_reports([sent]) == (report,)
    del sent["warning"]
    assert contract.decode_reports([sent]) == (replace(report, warning=""),)


def test_a_server_before_1_6_sends_no_age():
    sent = message()
    for key in ("serial", "owner"):
        del sent["chains"][0][key]
    (plan,) = contract.decode_update(sent).chains
    assert (plan.serial, plan.owner) == (0, "")


def test_an_agent_before_1_4_finds_no_targets_in_a_hop_that_changes_headers():
    (path,) = chain([target("a", "h1")], [target("c", "h1")]).paths
    mapped = replace(path.hops[0], headers=path.classifiers)
    plan = replace(chain([]), paths=(replace(path, hops=(mapped, path.hops[1])),))
    sent = through_json(contract.encode_update(PlanUpdate((plan,))))
    first, plain = sent["chains"][0]["paths"][0]["hops"]
    assert (first["targets"], len(plain["targets"])) == ([], 1)
    assert contract.decode_update(sent).chains == (plan,)
    first["headers"] *= 2
    (unreadable,) = contract.decode_update(sent).unreadable
    assert "headers" in unreadable.error


def test_an_agent_before_1_3_finds_no_targets_in_a_tap():
    plan = chain(tap(target("a", "h1", encapsulation="mpls")), [target("c", "h1")])
    sent = through_json(contract.encode_update(PlanUpdate((plan,))))
    copied, plain = sent["chains"][0]["paths"][0]["hops"]
    assert (copied["targets"], len(plain["targets"])) == ([], 1)
    assert "aware_targets" not in copied
    assert contract.decode_update(sent).chains == (plan,)


def test_an_agent_before_1_1_finds_no_targets_in_an_sfc_aware_hop():
    plan = chain([target("a", "h1"), target("b", "h2", encapsulation="mpls")], [target("c", "h1")])
    sent = through_json(contract.encode_update(PlanUpdate((plan,))))
    aware, plain = sent["chains"][0]["paths"][0]["hops"]
    assert (aware["targets"], len(plain["targets"])) == ([], 1)
    assert contract.decode_update(sent).chains == (plan,)


def test_messages_from_before_1_5_have_no_phases():
    older = message()
    del older["prepare"], older["switch"]
    update = contract.decode_update(older)
    assert (update.prepare, update.switch) == (frozenset(), ())
    (report,) = through_json(contract.encode_reports([HostReport(ident("pc1"), 3)]))
    del report["prepared"]
    assert contract.decode_reports([report]) == (HostReport(ident("pc1"), 3),)


def test_an_agent_before_1_5_refuses_a_plan_of_an_odd_generation():
    plan = replace(chain([target("a", "h1")]), path_id=7 | ODD_GENERATION)
    (sent,) = through_json(contract.encode_update(PlanUpdate((plan,))))["chains"]
    assert sent["path_id"] > 65535, "the largest that it accepts"
    for path_id in (0, ODD_GENERATION, 65536, ODD_GENERATION << 1 | 7):
        assert contract.decode_update({"chains": [sent | {"path_id": path_id}]}).chains == ()


def test_a_plan_from_a_server_before_1_9_has_no_generation():
    plan = replace(chain([target("a", "h1")]), generation=3)
    (sent,) = through_json(contract.encode_update(PlanUpdate((plan,))))["chains"]
    assert contract.decode_update({"chains": [sent]}).chains == (plan,)
    del sent["generation"]
    assert contract.decode_update({"chains": [sent]}).chains == (replace(plan, generation=None),)


def test_a_plan_from_a_server_before_1_12_has_no_earlier_pairs():
    sent = message()
    del sent["chains"][0]["paths"][0]["hops"][0]["earlier_pairs"]
    assert contract.decode_update(sent).chains == (with_earlier_pairs(),)


@pytest.mark.parametrize(
    ("earlier", "error"),
    [
        ([{}], "weights: 0 pairs"),
        ([{"weights": []}], "weights: 0 pairs"),
        ([{"weights": [[ident("a"), -1]]}], "weight: -1 is not in 0..65535"),
        ([{"weights": [[ident("a"), 65536]]}], "weight: 65536 is not in 0..65535"),
        ([{"weights": [[ident("a"), True]]}], "weight: expected an integer"),
        ([{"weights": [["a", 1]]}], "pair_id: 'a' is not a UUID"),
        ([{"weights": [[ident("a")]]}], "weights: "),
        ([{"weights": [ident("a")]}], "weights: "),
        ([{"weights": [[ident("a"), 1]]}] * 17, "earlier_pairs: 17 sets"),
        ([[]], "earlier_pairs: expected a dictionary"),
        ("x", "earlier_pairs: expected a list"),
    ],
    ids=str,
)
def test_earlier_pairs_are_checked(earlier, error):
    wrong = message()
    wrong["chains"][0]["paths"][0]["hops"][0]["earlier_pairs"] = earlier
    update = contract.decode_update(wrong)
    assert update.chains == ()
    (unreadable,) = update.unreadable
    assert error in unreadable.error


def test_with_a_server_before_1_19_hosts_wait_for_it():
    sent = message()
    del sent["chains"][0]["paths"][0]["hops"][0]["reaction"]
    (plan,) = contract.decode_update(sent).chains
    assert plan.paths[0].hops[0].reaction is None


def test_a_plan_from_a_server_before_1_13_has_hosts_get_frames():
    sent = message()
    del sent["chains"][0]["packet_hosts"]
    (plan,) = contract.decode_update(sent).chains
    assert plan == replace(with_earlier_pairs(EARLIER), packet_hosts=())


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ("h1", "packet_hosts: expected a list"),
        ([1], "packet_hosts: expected text"),
        ([["h1"]], "packet_hosts: expected text"),
        ([""], "packet_hosts: a host's name has 1..255 characters"),
        (["h" * 256], "packet_hosts: a host's name has 1..255 characters"),
        (["h1"] * 65536, "packet_hosts: 65536 hosts, at most 65535 are possible"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_hosts_that_accept_packets_are_checked(hosts, error):
    wrong = message()
    wrong["chains"][0]["packet_hosts"] = hosts
    update = contract.decode_update(wrong)
    assert update.chains == ()
    (unreadable,) = update.unreadable
    assert error in unreadable.error


def test_hosts_that_accept_packets_are_sorted_and_distinct():
    sent = message()
    sent["chains"][0]["packet_hosts"] = ["h" * 255, "b", "a", "b"]
    (plan,) = contract.decode_update(sent).chains
    assert plan.packet_hosts == ("a", "b", "h" * 255)


def test_earlier_pairs_are_sorted_and_distinct():
    sent = message()
    (earlier,) = sent["chains"][0]["paths"][0]["hops"][0]["earlier_pairs"]
    earlier["weights"] = [*reversed(earlier["weights"]), earlier["weights"][0]]
    assert contract.decode_update(sent).chains == (with_earlier_pairs(EARLIER),)


def paths(value, path=()):
    """The keys that lead to every value inside a message."""
    yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from paths(child, (*path, key))


@pytest.mark.parametrize("path", [p for p in paths(message()) if p], ids=str)
@given(
    wrong=st.sampled_from(
        [None, -1, 1 << 70, 1.5, "x,actions=normal", "\n", [], ["\n"], [{}], {}, {"x": 1}, True]
    )
)
def test_a_wrong_value_anywhere_is_refused_or_harmless(path, wrong):
    damaged = copy.deepcopy(message())
    parent = damaged
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = wrong
    try:
        update = contract.decode_update(damaged)
    except ContractError:
        return
    free_text = {host for plan in update.chains for host in (*plan.hosts, *plan.packet_hosts)}
    hops = [hop for plan in update.chains for one in plan.paths for hop in one.hops]
    free_text |= {name for hop in hops for name in hop.lb_fields}
    for value in ("actions", "\n"):
        assert value not in json.dumps(contract.encode_update(update)) or any(
            value in text for text in free_text
        )


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("path_id", 0, "path_id: 0 is not in 1..65535"), ("paths", "x", "paths: expected a list")],
)
def test_one_unreadable_plan_does_not_block_the_others(name, value, error):
    several = contract.encode_update(
        PlanUpdate(
            (chain([target("a", "h1")], name="bad"), chain([target("a", "h1")], name="good"))
        )
    )
    several["chains"][0][name] = value
    update = contract.decode_update(through_json(several))
    assert [plan.id for plan in update.chains] == [ident("good")]
    (unreadable,) = update.unreadable
    assert (unreadable.chain_id, unreadable.revision) == (ident("bad"), 1)
    assert error in unreadable.error


@pytest.mark.parametrize(
    "change", [{"weight": 1 << 16}, {"hops": 255}], ids=["weight", "number of hops"]
)
def test_numbers_have_bounds(change):
    path = chain([target("a", "h1", weight=change.get("weight", 1))]).paths[0]
    plan = chain(*[[target("a", "h1")]] * change.get("hops", 1))
    plan = plan if "hops" in change else replace(plan, paths=(path,))
    update = contract.decode_update(through_json(contract.encode_update(PlanUpdate((plan,)))))
    assert update.chains == ()
    assert len(update.unreadable) == 1


def test_unknown_keys_of_a_newer_sender_are_ignored():
    newer = message()
    newer["hints"] = {"x": 1}
    newer["chains"][0]["colour"] = "blue"
    newer["chains"][0]["paths"][0]["hops"][0]["targets"][0]["speed"] = 9
    assert contract.decode_update(newer) == contract.decode_update(message())


def test_a_plan_from_a_server_before_1_16_has_no_probes():
    sent = message()
    del sent["chains"][0]["probes"]
    (plan,) = contract.decode_update(sent).chains
    assert plan == replace(with_earlier_pairs(EARLIER), probes=())


def test_a_plan_without_probes_is_the_same_for_hosts_before_1_16():
    """Its identity stays, so that an upgrade of the server sends no plans."""
    (sent,) = contract.encode_update(PlanUpdate((chain([target("a", "h1")]),)))["chains"]
    assert "probes" not in sent


def test_a_check_of_a_later_release_is_left_out():
    sent = message()
    sent["chains"][0]["probes"].append({"check": "tcp", "port": 80})
    assert contract.decode_update(sent).chains == (with_earlier_pairs(EARLIER),)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"delay": 0.01}, "delay: 0.01 is not in 0.1..3600.0"),
        ({"delay": float("nan")}, "delay: nan is not in"),
        ({"timeout": "1"}, "timeout: expected a number of seconds"),
        ({"max_retries": 0}, "max_retries: 0 is not in 1..10"),
        ({"source": ""}, "source: '' is not an IP address"),
        ({"source": "2001:db8::1"}, "destination: 10.0.0.20 and the source are unlike"),
        ({"destination": "10.0.0.20,actions=normal"}, "destination: '10.0.0.20,actions=normal'"),
        ({"check": "ping", "destination": None}, "destination: None is not an IP address"),
    ],
    ids=str,
)
def test_probes_are_checked(change, error):
    sent = message()
    sent["chains"][0]["probes"][0] |= change
    (unreadable,) = contract.decode_update(sent).unreadable
    assert error in unreadable.error


OWN_VERSION = "00000000-0000-0000-0000-000000000000"
KNOWN = {ident("pc1"): 3, ident("pc2"): 0}


@pytest.mark.parametrize(
    "known",
    [
        *(None, [], {"no uuid": 1}, {ident("pc1"): "1"}, {ident("pc1"): -1}),
        *({OWN_VERSION: version} for version in ("13", -1, 65536, True, None)),
    ],
    ids=str,
)
def test_known_revisions_are_checked(known):
    with pytest.raises(ContractError):
        contract.decode_known(known)


def test_a_host_says_its_version_with_the_revisions_that_it_knows():
    said = contract.HostKnowledge(KNOWN, contract.MINOR_VERSION)
    assert contract.decode_known(through_json(contract.encode_known(said))) == said
    assert contract.decode_known(KNOWN) == contract.HostKnowledge(KNOWN, 0), "an older agent"
    highest = contract.decode_known({OWN_VERSION: 65535})
    assert highest == contract.HostKnowledge({}, 65535), "a newer agent"


def test_a_host_that_cannot_take_packets_says_the_last_version_without_them():
    assert contract.version_of_host(accepts_packets=True) == contract.MINOR_VERSION
    assert contract.version_of_host(accepts_packets=False) == contract.PACKETS_SINCE - 1


@pytest.mark.parametrize(
    "text", ["fe80::5%eth0", "fe80::5%x,actions=NORMAL\nadd table=0", "10.0.0.1%1"]
)
def test_addresses_with_a_scope_are_refused(text):
    for key in ("addresses", "tunnel_ip"):
        hostile = message()
        source = hostile["chains"][0]["paths"][0]["sources"][0]
        source[key] = [text] if key == "addresses" else text
        (unreadable,) = contract.decode_update(hostile).unreadable
        assert key in unreadable.error
    hostile = message()
    hostile["chains"][0]["paths"][0]["classifiers"][0] |= {
        "ethertype": "IPv6",
        "source_prefixes": [text],
        "destination_prefixes": [],
    }
    (unreadable,) = contract.decode_update(hostile).unreadable
    assert "source_prefixes" in unreadable.error


@given(
    st.dictionaries(
        st.builds(
            Counter, uuids, st.booleans(), st.sampled_from([str(k) for k in CounterKind]), texts
        ),
        st.builds(Count, st.integers(0, 2**64), st.integers(0, 2**64)),
        max_size=5,
    )
)
def test_counts_arrive_as_they_were(counts):
    message = json.loads(json.dumps(contract.encode_counts(counts)))
    asked = {counter.chain_id for counter in counts}
    assert contract.decode_counts(message, asked) == counts
    assert contract.decode_counts(message, set()) == {}


def test_counters_of_a_later_release_are_left_out():
    later = Counter(ident("pc1"), False, "reordered", "x")
    message = contract.encode_counts({later: Count(1, 1)})
    assert contract.decode_counts(message, {ident("pc1")}) == {}


@pytest.mark.parametrize(
    "wrong",
    [None, {}, "x", [1], [{"chain_id": "x"}], [{"chain_id": ident("pc1"), "packets": -1}]],
    ids=repr,
)
def test_wrong_counts_are_refused(wrong):
    with pytest.raises(ContractError):
        contract.decode_counts(wrong, {ident("pc1")})


def test_a_server_can_ask_about_many_chains_and_not_about_any_number():
    ids = [ident(str(number)) for number in range(contract.MOST_CHAINS_COUNTED)]
    assert contract.decode_chain_ids(ids) == tuple(ids)
    for wrong in ([*ids, ident("x")], "x", None, ["x"], [[]]):
        with pytest.raises(ContractError):
            contract.decode_chain_ids(wrong)


def test_hosts_know_the_ids_of_classifiers_and_do_without():
    """An id is not part of what is compared: no flow depends on it."""
    plan = chain([target("a", "h1")])
    (path,) = plan.paths
    named = tuple(replace(one, id=ident("fc")) for one in path.classifiers)
    sent = contract.PlanUpdate((replace(plan, paths=(replace(path, classifiers=named),)),))
    message = json.loads(json.dumps(contract.encode_update(sent)))
    (received,) = contract.decode_update(message).chains
    assert [one.id for one in received.paths[0].classifiers] == [ident("fc")]
    assert received == plan
    (item,) = message["chains"][0]["paths"][0]["classifiers"]
    del item["id"]
    (received,) = contract.decode_update(message).chains
    assert [one.id for one in received.paths[0].classifiers] == [""]

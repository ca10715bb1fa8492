"""Lists in parts: put together again, they are what they were, and a small change costs little."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.rpc import contract, parts, plan_codec
from portchain.rpc.contract import PlanUpdate
from portchain.rpc.fields import ContractError
from portchain.rpc.plan_codec import PlanSplitter, encode_plan
from tests.plans import chain, ident, mac, source, target
from tests.unit.rpc.test_contract import plans, through_json

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=200)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=60,
)


@given(values)
def test_what_is_split_is_put_together_again(value):
    found = {}
    short = json.loads(json.dumps(parts.split(value, found)))
    assert parts.join(short, json.loads(json.dumps(found)).get) == value


def long_list(count=1200):
    return [f"element {number} of a list" for number in range(count)]


def sent(value, before=()):
    """Return how many characters are sent of a value to a receiver that has some parts."""
    found = {}
    short = parts.split(value, found)
    lacking = {name: part for name, part in found.items() if name not in before}
    return len(parts.canonical([short, lacking])), found


def test_an_element_more_or_less_changes_one_part_or_two():
    whole, before = sent(long_list())
    assert len(before) > 4
    for position in (0, 1, 599, 600, 1199):
        changed = long_list()
        changed[position] = "another"
        assert sent(changed, before)[0] < whole / 2
        assert sent(long_list()[:position] + long_list()[position + 1 :], before)[0] < whole / 2


def test_short_lists_stay_as_they_are():
    found = {}
    assert parts.split({"some": long_list(9), "none": []}, found) == {
        "some": long_list(9),
        "none": [],
    }
    assert found == {}


def test_a_missing_part_is_said():
    found = {}
    short = parts.split(long_list(), found)
    found.popitem()
    with pytest.raises(parts.MissingPartError):
        parts.join(short, found.get)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"parts": ["a"]}, [{"parts": ["a"]}]),
        ({"parts": ["a"]}, [{"parts": ["a", "a", "a", "a"]}, "x"]),
        ({"parts": ["a"] * 1000}, ["x"] * 1001),
        ({"parts": ["a"] * 1_000_001}, []),
    ],
)
def test_values_that_would_grow_without_end_are_refused(value, part):
    with pytest.raises(ContractError):
        parts.join(value, {"a": part}.get)


@pytest.mark.parametrize("value", [{"parts": "a"}, {"parts": 1}, {"parts": [1]}, {"parts": [None]}])
def test_damaged_parts_are_refused(value):
    with pytest.raises(ContractError):
        parts.join(value, {"a": []}.get)


# Plans.


def open_chain(machines, revision=1):
    """Return a chain with machines on as many hosts."""
    one = source("vm", "h3", "10.0.0.1")
    vms = [
        replace(
            one,
            port_id=ident(f"vm{n}"),
            host=f"compute-{n}",
            mac=mac(f"vm{n}"),
            addresses=(f"10.0.{n // 250}.{n % 250}",),
        )
        for n in range(machines)
    ]
    made = chain([target("a", "h1")], [target("c", "h2")], sources=tuple(vms))
    return replace(made, revision=revision)


@given(plans)
def test_plans_arrive_as_they_were_sent(plan):
    update = PlanUpdate((plan,), parts_sent={})
    message = through_json(contract.encode_update(update))
    assert contract.decode_update(message) == update


def test_a_long_plan_arrives_in_parts():
    plan = open_chain(300)
    message = through_json(contract.encode_update(PlanUpdate((plan,), parts_sent={})))
    assert len(message["parts"]) > 9
    assert contract.decode_update(message).chains == (plan,)


def packed(before, after):
    """Return a message about a changed plan, with compressed parts."""
    got = {after.id: frozenset(PlanSplitter().split(before).parts)}
    update = PlanUpdate((after,), parts_sent=got, packs_parts=True)
    return through_json(contract.encode_update(update))


def test_no_new_machine_is_a_long_message():
    """Whatever it changes: parts of plans have no greatest size."""
    before = open_chain(1000)
    sources = before.paths[0].sources
    for left_out in range(0, 1000, 37):
        fewer = (*sources[:left_out], *sources[left_out + 1 :])
        without = replace(before, paths=(replace(before.paths[0], sources=fewer),))
        message = packed(without, before)
        assert len(json.dumps(message)) < 10_000
        assert contract.decode_update(message, lambda _, known=without: [known]).chains == (before,)


def test_packed_parts_arrive_whole_or_not_at_all(monkeypatch):
    message = packed(open_chain(1), open_chain(300))
    assert contract.decode_update(message).chains == (open_chain(300),)
    text = message["packed_parts"]
    for damaged in (text[:-40], text[40:], "no base64", "", 1, [], {}):
        broken = {**message, "packed_parts": damaged}
        if damaged == "":
            assert contract.decode_update(broken).incomplete
            continue
        with pytest.raises(ContractError):
            contract.decode_update(broken)
    monkeypatch.setattr(parts, "_MOST_UNPACKED", 1000)
    with pytest.raises(ContractError):
        contract.decode_update(message)


def test_of_a_changed_plan_only_what_changed_is_sent():
    before, after = open_chain(1000), open_chain(1001, revision=2)
    got = {after.id: frozenset(PlanSplitter().split(before).parts)}
    message = through_json(contract.encode_update(PlanUpdate((after,), parts_sent=got)))
    assert len(json.dumps(message)) < 10_000 < len(json.dumps(encode_plan(after))) / 10
    assert contract.decode_update(message, lambda _: [before]).chains == (after,)
    assert contract.decode_update(message, lambda _: [open_chain(3)]).chains == ()
    assert contract.decode_update(message, lambda _: []).incomplete == (after.id,)
    assert contract.decode_update(message).incomplete == (after.id,)


def test_what_chains_share_is_sent_once():
    pairs = [target(f"p{number}", "h2") for number in range(3)]
    several = tuple(replace(chain(pairs), id=f"{n:08}-0000-0000-0000-000000000000")
                    for n in range(50))  # fmt: skip
    message = contract.encode_update(PlanUpdate(several, parts_sent={}))
    whole = contract.encode_update(PlanUpdate(several))
    assert len(json.dumps(message)) * 2 < len(json.dumps(whole))
    assert contract.decode_update(through_json(message)).chains == several


def with_id(plan, number):
    return replace(plan, id=f"{number:08}-0000-0000-0000-000000000000", path_id=number + 1)


def test_compressed_chains_grow_little_with_chains_that_share_groups():
    pairs = [target(f"p{number}", "h2") for number in range(3)]
    plans = [with_id(chain(pairs, [target("q", "h1")]), number) for number in range(200)]

    def size(number, **options):
        update = PlanUpdate(tuple(plans[:number]), parts_sent={}, **options)
        message = contract.encode_update(update)
        assert contract.decode_update(through_json(message)).chains == tuple(plans[:number])
        return len(json.dumps(message))

    packed, plain = {"packs_parts": True, "packs_chains": True}, {"packs_parts": True}
    assert size(200, **packed) - size(100, **packed) < 100 * 100  # bytes
    assert size(200, **plain) - size(100, **plain) > 100 * 500


def test_packed_chains_arrive_whole_or_not_at_all(monkeypatch):
    monkeypatch.setattr(parts, "_ITEMS_PACKED", 2)
    plans = tuple(with_id(open_chain(3), number) for number in range(5))
    message = through_json(
        contract.encode_update(PlanUpdate(plans, parts_sent={}, packs_chains=True))
    )
    assert "chains" not in message
    first, second, third = message["packed_chains"]
    assert contract.decode_update(message).chains == plans
    for damaged in ([first[:-40]], [1], ["no base64"], [first, second, ""], 1, {}, "text"):
        with pytest.raises(ContractError):
            contract.decode_update({**message, "packed_chains": damaged})
    assert contract.decode_update({**message, "packed_chains": [third]}).chains == plans[4:]
    no_list = parts._pack({"id": plans[0].id})
    with pytest.raises(ContractError):
        contract.decode_update({**message, "packed_chains": [no_list]})


@given(st.lists(plans, min_size=1, max_size=3))
def test_plans_that_are_split_together_have_the_same_parts_as_each_alone(several):
    splitter = PlanSplitter()
    for plan in [*several, *several]:
        assert splitter.split(plan) == PlanSplitter().split(plan)


def test_the_ids_of_classifiers_count_although_they_are_not_compared():
    (path,) = open_chain(1).paths
    splitter = PlanSplitter()
    for number in range(2):
        named = tuple(replace(one, id=ident(f"c{number}")) for one in path.classifiers)
        hops = tuple(replace(hop, headers=named) for hop in path.hops)
        plan = replace(open_chain(1), paths=(replace(path, classifiers=named, hops=hops),))
        assert splitter.split(plan) == PlanSplitter().split(plan)


def test_what_chains_share_is_encoded_once(monkeypatch):
    encoded = []
    encode = plan_codec._encode_hop
    monkeypatch.setattr(plan_codec, "_encode_hop", lambda hop: encoded.append(hop) or encode(hop))
    splitter = PlanSplitter()
    for number in range(20):
        splitter.split(with_id(chain([target("a", "h2")], [target("b", "h3")]), number))
    assert len(encoded) == 2


def test_small_parts_are_sent_although_the_receiver_has_them():
    """A host that gets a thousand chains need not look at what it has of each."""
    plan = chain([target("a", "h2"), target("b", "h2")])
    got = {plan.id: frozenset(PlanSplitter().split(plan).parts)}
    assert got[plan.id]
    message = contract.encode_update(PlanUpdate((plan,), parts_sent=got))
    assert contract.decode_update(through_json(message)).chains == (plan,)


@given(plans, st.integers(0, 2**63))
def test_the_identity_of_a_plan_does_not_depend_on_its_revision(plan, revision):
    splitter = PlanSplitter()
    assert (
        splitter.split(replace(plan, revision=revision)).identity == splitter.split(plan).identity
    )


@given(plans, plans)
def test_other_plans_have_other_identities(plan, other):
    other = replace(other, revision=plan.revision)
    one, two = PlanSplitter().split(plan).identity, PlanSplitter().split(other).identity
    assert (one == two) is (plan == other)


def test_each_value_of_a_plan_counts():
    plan = open_chain(2)
    (path,) = plan.paths
    known = {PlanSplitter().split(plan).identity}
    hop = path.hops[0]
    for changed in (
        replace(plan, path_id=plan.path_id + 1),
        replace(plan, packet_hosts=("h1",)),
        replace(plan, paths=(replace(path, reverse=True),)),
        replace(plan, paths=(replace(path, branches=True),)),
        replace(plan, paths=(replace(path, sources=path.sources[:1]),)),
        replace(plan, paths=(replace(path, hops=path.hops[:1]),)),
        replace(plan, paths=(replace(path, hops=(replace(hop, tap=True), *path.hops[1:])),)),
        replace(plan, paths=(replace(path, hops=path.hops[::-1]),)),
    ):
        identity = PlanSplitter().split(changed).identity
        assert identity not in known
        known.add(identity)

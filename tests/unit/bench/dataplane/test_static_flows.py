"""The flows that steer as a chain does, written by hand."""

from collections import Counter
from dataclasses import replace

from bench.dataplane.static_flows import (
    INT,
    SPLITS,
    TUN,
    Attachment,
    Direction,
    Fabric,
    Pair,
    pair_index,
    write,
)

FABRIC = Fabric({"a": 7, "b": 8}, {"a": 1, "b": 2}, {("a", "b"): 3, ("b", "a"): 4}, 99)
SOURCE = Attachment("a", 10, "fa:00:00:00:00:01", end=True)
DESTINATION = Attachment("b", 20, "fa:00:00:00:00:02", end=True)
MATCH = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80"


def pair(host: str, number: int) -> Pair:
    return Pair(
        Attachment(host, number, f"fa:00:00:00:01:{number}"),
        Attachment(host, number + 1, f"fa:00:00:00:01:{number + 1}"),
    )


def flows(*groups):
    found = write(FABRIC, [Direction(SOURCE, DESTINATION, groups, MATCH, "tp_src")])
    return {place: [flow.split(",", 1)[1] for flow in some] for place, some in found.items()}


def test_one_flow_for_each_leg_rewrites_the_destination():
    found = flows([pair("a", 30)])
    deliver = "mod_dl_dst:fa:00:00:00:01:30,output:30"
    assert found["a", INT] == [
        f"table=73,priority=501,ct_state=+new-est,in_port=10,{MATCH} "
        f"actions=ct(commit,zone=NXM_NX_REG6[0..15]),{deliver}",
        f"table=73,priority=500,in_port=10,{MATCH} actions={deliver}",
        f"table=94,priority=500,in_port=10,{MATCH} actions={deliver}",
        f"table=0,priority=500,in_port=31,{MATCH} "
        "actions=mod_dl_dst:fa:00:00:00:00:02,mod_vlan_vid:7,output:1",
    ]
    # What arrives for the destination is left to Neutron's flows.
    assert ("b", INT) not in found
    assert len(found["a", TUN]) == 1


def test_a_function_on_another_host_is_reached_by_the_tunnel():
    found = flows([pair("b", 30)])
    assert found["a", TUN] == [
        "table=20,priority=500,dl_vlan=7,dl_dst=fa:00:00:00:01:30 "
        "actions=strip_vlan,load:99->NXM_NX_TUN_ID[],output:3"
    ]
    assert found["b", INT][0] == (
        "table=0,priority=500,ip,in_port=2,dl_vlan=8,dl_dst=fa:00:00:00:01:30 "
        "actions=strip_vlan,output:30"
    )


def test_a_destination_on_the_last_functions_host_keeps_its_security_group():
    last = flows([pair("b", 30)])["b", INT][-1]
    assert last.endswith("load:20->NXM_NX_REG5[],load:8->NXM_NX_REG6[],resubmit(,81)")


def test_without_security_groups_flows_take_and_deliver_packets_directly():
    fabric = replace(FABRIC, filtered=False)
    direction = Direction(SOURCE, DESTINATION, [[pair("b", 30)]], MATCH, "tp_src")
    found = {place: "\n".join(some) for place, some in write(fabric, [direction]).items()}
    assert f"table=60,priority=500,in_port=10,{MATCH} actions=mod_dl_dst" in found["a", INT]
    assert "ct(" not in found["a", INT]
    assert found["b", INT].endswith("actions=mod_dl_dst:fa:00:00:00:00:02,output:20")


def test_several_pairs_share_the_values_of_the_split():
    pairs = [pair("a", 30), pair("a", 40), pair("b", 50)]
    outputs = Counter(
        flow.split("mod_dl_dst:")[1].split(",")[0]
        for flow in flows(pairs)["a", INT]
        if "table=94" in flow
    )
    assert sorted(outputs.values()) == [5, 5, 6]
    assert sum(outputs.values()) == len(SPLITS)


def test_consecutive_groups_select_pairs_independently():
    chosen = Counter((pair_index(0, split, 3), pair_index(1, split, 3)) for split in SPLITS)
    assert len(chosen) == 9
    assert max(chosen.values()) <= 3


def test_the_other_direction_passes_pairs_from_egress_to_ingress():
    one = pair("a", 30)
    assert one.turned() == Pair(one.egress, one.ingress)

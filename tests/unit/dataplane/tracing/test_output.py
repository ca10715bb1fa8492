"""What ``ofproto/trace`` prints, recorded from Open vSwitch 3.1, and what is read from it."""

from portchain.dataplane.tracing.output import (
    Action,
    PassEnd,
    Visit,
    datapath_outputs,
    parse,
    parse_ports,
    split,
)

# A clone that crosses a patch port, and what follows it on the first bridge.
CLONED = """\
Flow: tcp,in_port=11,vlan_tci=0x0000

bridge("h1-int")
----------------
 0. priority 0
    goto_table:73
73. ip, priority 500, cookie 0x706f727463686e01
    resubmit(,154)
    154. priority 10
            clone(set_field:fa:16:3e:78:4b:d9->eth_dst,output:1)
            set_field:fa:16:3e:78:4b:d9->eth_dst
            output:1

            bridge("h1-tun")
            ----------------
                 0. priority 1000
                    resubmit(,3)
                     3. No match.
                            drop
                    output:3
            set_field:0x9->reg9
    set_field:0x7->reg7
    output:12

Final flow: tcp,reg7=0x7
Megaflow: recirc_id=0,eth,ip,in_port=11
Datapath actions: 22
"""

# Conntrack: the packet passes twice.
TRACKED = """\
bridge("h1-int")
----------------
73. ct_state=-trk,ip, priority 500
    set_field:0x5->reg6
    ct(table=73,zone=1)
    drop
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at 73.
     -> Sets the packet to an untracked state, and clears all the conntrack fields.

Final flow: tcp,reg6=0x5
Megaflow: recirc_id=0,ct_state=-trk
Datapath actions: ct(zone=1),recirc(0x1)

===============================================================================
recirc(0x1) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
===============================================================================

Flow: recirc_id=0x1,ct_state=new|trk

bridge("h1-int")
----------------
    thaw
        Resuming from table 73
73. priority 1
    NORMAL
     -> no learned MAC for destination, flooding

Final flow: unchanged
Megaflow: recirc_id=0x1
Datapath actions: push_vlan(vid=1,pcp=0),1,pop_vlan,clone(set(eth(dst=fa:16:3e:78:4b:d9)),3),11
"""

PORTS = """\
dummy@ovs-dummy: hit:0 missed:0
  h1-int:
    h1-int 65534/1: (dummy-internal)
    h1-to-tun 1/none: (patch: peer=h1-to-int)
    tap8c-1f 14/26: (system)
"""


def test_actions_belong_to_their_tables_and_copies_are_marked() -> None:
    events = parse(CLONED)
    visits = [event for event in events if isinstance(event, Visit)]
    assert [(visit.bridge, visit.table, visit.priority) for visit in visits] == [
        ("h1-int", 0, 0),
        ("h1-int", 73, 500),
        ("h1-int", 154, 10),
        ("h1-tun", 0, 1000),
        ("h1-tun", 3, 32768),
    ]
    assert visits[0].cookie == 0
    assert (visits[1].match, visits[1].cookie) == ("ip", 0x706F727463686E01)
    assert visits[4].match is None
    assert [visit.block.is_on_copy for visit in visits] == [False, False, False, True, True]
    done = [
        (event.visit.table, event.text, event.is_on_copy)
        for event in events
        if isinstance(event, Action) and event.text.startswith(("set_field", "output"))
    ]
    assert done == [
        (154, "set_field:fa:16:3e:78:4b:d9->eth_dst", True),
        (154, "output:1", True),
        (0, "output:3", True),
        (154, "set_field:0x9->reg9", False),
        (73, "set_field:0x7->reg7", False),
        (73, "output:12", False),
    ]
    assert events[-1] == PassEnd("22")


def test_notes_and_passes_are_read() -> None:
    events = parse(TRACKED)
    ends = [event for event in events if isinstance(event, PassEnd)]
    assert len(ends) == 2
    (normal,) = [e for e in events if isinstance(e, Action) and e.text == "NORMAL"]
    assert normal.notes == ["no learned MAC for destination, flooding"]
    assert list(datapath_outputs(ends[0].datapath_actions)) == []
    assert list(datapath_outputs(ends[1].datapath_actions)) == [1, 3, 11]


def test_a_packet_resumes_on_the_bridge_that_has_tracked_it() -> None:
    """Open vSwitch prints the bridge where the trace has begun instead."""
    entered = TRACKED.replace(
        'bridge("h1-int")\n----------------\n73. ct',
        'bridge("h1-tun")\n----------------\n 0. priority 1\n    ct(commit,zone=1)\n'
        "    learn(table=3,priority=1)\n    output:1\n\n"
        'bridge("h1-int")\n----------------\n73. ct',
    ).replace('bridge("h1-int")\n----------------\n    thaw', 'bridge("h1-tun")\n-----\n    thaw')
    visits = [event for event in parse(entered) if isinstance(event, Visit)]
    assert [visit.bridge for visit in visits] == ["h1-tun", "h1-int", "h1-int"]


def test_ports_of_the_datapath_are_read() -> None:
    assert parse_ports(PORTS) == {
        1: ("h1-int", 65534, "h1-int"),
        26: ("h1-int", 14, "tap8c-1f"),
    }


def test_lists_of_actions_are_divided() -> None:
    assert split("a,b(c,d(e,f)),g") == ["a", "b(c,d(e,f))", "g"]
    assert split("") == []


def test_flows_of_the_default_priority_are_printed_without_it() -> None:
    (visit,) = parse('bridge("h1-int")\n---\n 5. ip, cookie 0x1\n')
    assert isinstance(visit, Visit)
    assert (visit.match, visit.priority, visit.cookie) == ("ip", 32768, 1)


def test_what_a_copy_meets_behind_the_next_bridge_is_on_the_copy() -> None:
    nested = """\
                    output:3

                    bridge("h1-net")
                    ----------------
                         0. priority 7
                            output:9
"""
    text = CLONED.replace("                    output:3\n", nested)
    visits = [event for event in parse(text) if isinstance(event, Visit)]
    assert [(visit.bridge, visit.block.is_on_copy) for visit in visits[-2:]] == [
        ("h1-tun", True),
        ("h1-net", True),
    ]
    assert [event.visit.bridge for event in parse(text) if isinstance(event, Action)][-4:] == [
        *("h1-net", "h1-int", "h1-int", "h1-int"),
    ]


def test_any_text_is_read() -> None:
    assert parse("") == []
    assert parse("     -> a note\n") == []
    assert parse("    output:1\n  5. nonsense\nbridge(\nDatapath actions: drop") == [
        PassEnd("drop")
    ]

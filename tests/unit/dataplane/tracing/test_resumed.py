"""Traces in which Open vSwitch does not resume packets are completed, in its own order."""

from portchain.dataplane.tracing.output import PassEnd, parse
from portchain.dataplane.tracing.resumed import complete

LINE = "=" * 79
NEVER = 1000


def part(packet: str, *actions: str, bridge: str = "br-int", ends: str = "drop") -> str:
    """What Open vSwitch says of one pass."""
    lines = [f"Flow: {packet}", "", f'bridge("{bridge}")', "-" * 16, " 1. ip, priority 1"]
    lines += [f"    {action}" for action in actions]
    return "\n".join([*lines, "", "Megaflow: any", f"Datapath actions: {ends}", ""])


def conflict(packet: str) -> str:
    """A pass that ends at once, with its heading."""
    heading = f"\n{LINE}\nrecirc(0x1) - resume conntrack with default ct_state=trk|new\n{LINE}\n\n"
    said = "thaw\n     >>>> Recirculation conflict (actions)! <<<<\n\nDatapath actions: drop\n"
    return f'{heading}Flow: recirc_id=0x1,{packet}\n\nbridge("br-int")\n----\n{said}'


class Switch:
    """Traces packets by their bridge and table."""

    def __init__(self, **answers: str) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, bridge: str, packet: str, action: str) -> str:
        self.asked.append((bridge, packet, action))
        return self._answers[f"table{action.removeprefix('resubmit(,').removesuffix(')')}"]


def ends(text: str) -> list[str]:
    return [event.datapath_actions for event in parse(text) if isinstance(event, PassEnd)]


def test_a_trace_without_a_conflict_stays_as_it_is() -> None:
    text = part("tcp", "ct(table=2)")
    assert complete(text, Switch()) == text


def test_passes_are_completed_in_the_order_in_which_packets_were_tracked() -> None:
    text = part("tcp,first", "ct(table=2,zone=1)", "ct(commit,table=3)", ends="a")
    text += conflict("ct_state=new|trk,eth,tcp,two") + conflict("ct_state=new|trk,eth,tcp,three")
    switch = Switch(
        table2=part("tcp,two", "ct(table=4)", bridge="br-other", ends="b") + conflict("tcp,four"),
        table3=part("tcp,three", ends="c"),
        table4=part("tcp,four", ends="d"),
    )
    assert ends(complete(text, switch)) == ["a", "b", "c", "d"]
    assert switch.asked == [
        ("br-int", "ct_state=new|trk,tcp,two", "resubmit(,2)"),
        ("br-int", "ct_state=new|trk,tcp,three", "resubmit(,3)"),
        ("br-other", "tcp,four", "resubmit(,4)"),
    ]


def test_a_pass_that_cannot_be_told_stays_as_it_is() -> None:
    text = part("tcp", "output:1", ends="a") + conflict("tcp,two")
    assert complete(text, Switch()) == text


def test_packets_that_circle_end() -> None:
    text = part("tcp", "ct(table=2)") + conflict("tcp")
    switch = Switch(table2=text)
    assert len(ends(complete(text, switch))) < NEVER
    assert switch.asked


def test_packets_are_given_as_the_switch_reads_them() -> None:
    text = part("udp", "ct(table=2)")
    text += conflict("ct_state=new|trk,eth,udp6,vlan_tci1=0x0000,tp_src=1,tp_dst=2")
    switch = Switch(table2=part("udp"))
    complete(text, switch)
    ((_, packet, _),) = switch.asked
    assert packet == "ct_state=new|trk,udp6,udp_src=1,udp_dst=2"

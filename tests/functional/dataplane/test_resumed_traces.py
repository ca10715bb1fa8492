"""What Open vSwitch shows of a packet that connection tracking has seen can be traced again."""

import pytest

from portchain.dataplane.tracing.output import PassEnd, parse
from portchain.dataplane.tracing.resumed import complete
from tests.functional.vswitch import Vswitch

FLOWS = "\n".join(
    f"""
table=1,{kind},actions=set_field:0x5->reg5,set_field:0xff000000->reg8,ct(table=2,zone=7)
table=2,{kind},ct_state=+trk+new,reg5=0x5,reg8=0xff000000,actions=ct(commit,table=3,zone=8)
table=3,{kind},ct_state=+trk,ct_zone=8,reg5=0x5,actions=output:2
"""
    for kind in ("ip", "ipv6")
)
MACS = "dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02"
FOUR, SIX = "nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64", "ipv6_src=fd00::1,ipv6_dst=fd00::2"


@pytest.mark.parametrize(
    "packet",
    [
        f"tcp,{FOUR},tcp_src=1000,tcp_dst=80,tcp_flags=0x002",
        f"tcp,{FOUR},tcp_src=1000,tcp_dst=80,tcp_flags=0x012",
        f"udp,{FOUR},udp_src=1000,udp_dst=53",
        f"icmp,{FOUR},icmp_type=8,icmp_code=0",
        f"sctp,{FOUR},sctp_src=1000,sctp_dst=80",
        f"ip,{FOUR},nw_proto=47",
        f"tcp6,{SIX},tcp_src=1000,tcp_dst=80,tcp_flags=0x002",
        f"icmp6,{SIX},icmpv6_type=128,icmpv6_code=0",
        f"tun_id=0x22e,tcp,{FOUR},tcp_src=1000,tcp_dst=80,tcp_flags=0x002",
        f"dl_vlan=5,tcp,{FOUR},tcp_src=1000,tcp_dst=80,tcp_flags=0x002",
    ],
)
@pytest.mark.parametrize("options", [[], ["--ct-next", "trk,new"] * 4])
def test_a_packet_goes_on_behind_connection_tracking(
    vswitch: Vswitch, packet: str, options: list[str]
) -> None:
    vswitch.add_bridge("br-int")
    for number in (1, 2):
        vswitch.add_port("br-int", f"p{number}", number)
    vswitch.run("ovs-ofctl", "--bundle", "replace-flows", "br-int", "-", stdin=FLOWS)

    def trace(bridge: str, flow: str, action: str) -> str:
        return vswitch.appctl("ofproto/trace-packet-out", *options, bridge, flow, action)

    text = trace("br-int", f"in_port=1,{MACS},{packet}", "resubmit(,1)")
    ends = [event for event in parse(complete(text, trace)) if isinstance(event, PassEnd)]
    assert [end.datapath_actions.startswith("ct(") for end in ends] == [True, True, False]
    assert ends[-1].datapath_actions.isdigit(), ends

"""What the lab reads from a host's switch."""

from portchain_lab.hosts.switch import _LEARNED

FLOWS = """\
 cookie=0x1, duration=26.1s, table=20, n_packets=309, n_bytes=25322, priority=2,dl_vlan=1,\
dl_dst=fa:16:3e:00:00:01 actions=pop_vlan,set_field:0x1bd->tun_id,output:11
 cookie=0x1, duration=20.0s, table=20, n_packets=0, n_bytes=0, hard_timeout=300, priority=1,\
vlan_tci=0x0001/0x0fff,dl_dst=fa:16:3e:00:00:02 actions=load:0->NXM_OF_VLAN_TCI[],output:11
 cookie=0x1, duration=20.0s, table=20, n_packets=0, n_bytes=0, hard_timeout=300, idle_age=3, \
hard_age=2, priority=1,vlan_tci=0x0002/0x0fff,dl_dst=fa:16:3e:00:00:03 actions=output:11
 cookie=0x1, duration=75.4s, table=20, n_packets=0, n_bytes=0, priority=0 actions=goto_table:22
"""


def test_learned_flows_are_told_from_those_that_neutron_writes() -> None:
    assert _LEARNED.findall(FLOWS) == [
        "priority=1,vlan_tci=0x0001/0x0fff,dl_dst=fa:16:3e:00:00:02",
        "priority=1,vlan_tci=0x0002/0x0fff,dl_dst=fa:16:3e:00:00:03",
    ]

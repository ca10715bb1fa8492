"""The rows by which OVN checks functions (ovn-nb(5), Network_Function_Health_Check): a pure function over a chain.

OVN checks a network function by a ping that it sends out at one port and awaits at the other. Both have to be on one switch,
and at home on one host; those of a function in a chain are on two switches. So each gets a child: a port that stands for the
frames of one VLAN tag at its parent. The two children of a function are on a switch of their own, and the ping passes the
function with the tag.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from portchain.core.model import VLAN, HealthCheck, PortChain, PortPair
from portchain.drivers.ovn.rows import Check, Child, check_name, probe_name

# Nothing but the ping ever leaves by them: what floods their switch would go in circles through the function.
_NOTHING_ELSE = {"lsp_learn_fdb": "false", "receive_multicast": "false"}


@dataclass(frozen=True, slots=True)
class Probing:
    """How functions are checked.

    :param vlan: tag of the pings, 1..4094.
    :param interval: seconds between two of them, and the longest that one may take.
    :param failures: so many have to fail for a function to be offline, and to pass for it to be online again.
    """

    vlan: int = 4094
    interval: int = 1
    failures: int = 3

    @property
    def options(self) -> dict[str, str]:
        """As the row of the check has them."""
        seconds, times = str(self.interval), str(self.failures)
        return {
            "interval": seconds,
            "timeout": seconds,
            "success_count": times,
            "failure_count": times,
        }


USUAL = Probing()


def checked(chain: PortChain) -> Iterator[PortPair]:
    """The pairs of a chain whose functions are checked."""
    for group in chain.port_pair_groups:
        if group.health_check is HealthCheck.ICMP:
            yield from group.port_pairs


def probes(chain: PortChain, probing: Probing) -> Iterator[Child]:
    """The two children of each function that is checked."""
    for pair in checked(chain):
        switch = check_name(chain.id, pair.egress)
        # Where several chains have children, each gets a tag of its own.
        tag = None if pair.correlation == VLAN else probing.vlan
        for port, other in ((pair.ingress, pair.egress), (pair.egress, pair.ingress)):
            name, twin = probe_name(chain.id, port), probe_name(chain.id, other)
            yield Child(name, switch, port, tag, twin, options=_NOTHING_ELSE)


def checks(chain: PortChain, probing: Probing) -> Iterator[Check]:
    """The check of each such function, by a network function that nothing else uses."""
    for pair in checked(chain):
        inport, outport = (probe_name(chain.id, port) for port in (pair.ingress, pair.egress))
        yield Check(check_name(chain.id, pair.egress), inport, outport, probing.options)

"""Random changes of random chains, with an oracle for paths, traces and counters.

After each change, an oracle says which paths connections take, traces say it before packets are
sent, and captures decide who is right. What hosts count must be what captures saw since the chain
was created.

tests/functional/dataplane/test_random.py does the same on a simulated network, for many more steps.
Here the changes go through the API to real servers and agents, also on hosts of OVN
(``PORTCHAIN_TEST_DRIVER=ovn``). ``PORTCHAIN_EXPLORE=<examples>`` tries other changes than those of
every run (``tools/search life``).
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab
from portchain_lab.observe import traffic
from portchain_lab.restarts import restart_switch
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.life.model import DESTINATION, SOURCE, WAYS, Cloud, Wish
from tests.lab.life.observer import Observer, Tally
from tests.lab.test_doctor import diagnose
from tests.lab.workflow import DEADLINE, SUBNET, Workflow
from tests.stateful import REPEATS, run_stateful

HOSTS = ("h1", "h2", "h3")
KINDS = {"sf1": "l3", "sf2": "l2", "sf3": "l3"}
PAIRS = dict(zip(KINDS, ("PP1", "PP2", "PP3"), strict=True))
GROUPS = ("PG1", "PG2", "PG3")
UNCHAINED, REFUSED, NOT_SENT = 99, 103, 104
"""Destination ports that no classifier takes, that the destination's security group does not admit,
and that the source's does not."""
PORTS = (100, 101, 102, REFUSED, NOT_SENT)
RANGES = ((100, 100), (101, 101), (100, 101), (102, 102), (100, 102), (102, 104), (103, 103))
PROGRAMS = {
    "ovs": ("ovs-vswitchd", "neutron-api"),
    "ovn": ("ovs-vswitchd", "ovn-controller", "ovn-northd", "neutron-api"),
}
"""Programs that `make test` does not restart here, by driver."""
functions = st.sampled_from(sorted(KINDS))
hosts = st.sampled_from(HOSTS)
some_groups = st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3, unique=True)


class Life(RuleBasedStateMachine):
    """Changes by users and operators, in any order."""

    world: Workflow
    tally: Tally

    def __init__(self) -> None:
        super().__init__()
        self.wishes: list[Wish] = []
        self.cloud = Cloud(
            {group: [name] for group, name in zip(GROUPS, KINDS, strict=True)},
            {name: vm.host for name, vm in self.world.vms.items()},
            not_sent=(NOT_SENT,),
            refused=(REFUSED,),
        )
        self.groups = {
            group: self.world.create(
                "port_pair_group", name=group, port_pairs=self._pair_ids(group)
            )
            for group in GROUPS
        }
        self.hanging: dict[str, AbstractContextManager[None]] = {}
        bridging = [name for name, kind in KINDS.items() if kind == "l2"]
        per_port, traced = (2, 5) if REPEATS else (1, 1)
        self.observer = Observer(
            *(self.world, self.cloud, self.tally),
            bridging=bridging,
            per_port=per_port,
            traced=traced,
            greet=self._greet,
        )

    # Changes of chains.

    @initialize(
        places=st.tuples(*[hosts] * (2 + len(KINDS))),
        groups=some_groups,
        symmetric=st.booleans(),
        seed=st.integers(0, 2**32),
    )
    def begin(self, places: tuple[str, ...], groups: list[str], symmetric: bool, seed: int) -> None:
        """Place machines, and create a chain: Hypothesis leaves whole rules out of examples."""
        self.observer.draw = random.Random(seed)
        for name, host in zip((SOURCE, DESTINATION, *KINDS), places, strict=True):
            self._migrate(name, host)
        self._announce()
        self.create_chain(RANGES[0], groups, symmetric)

    @rule(ports=st.sampled_from(RANGES), groups=some_groups, symmetric=st.booleans())
    def create_chain(self, ports: tuple[int, int], groups: list[str], symmetric: bool) -> None:
        first, last = ports
        if any(one.takes(port) for one in self.wishes for port in range(first, last + 1)):
            return
        workflow = self.world
        wish = Wish(ports, tuple(groups), symmetric)
        wish.classifier = workflow.classifier(
            f"FC{first}",
            source_port_range_min=None,
            source_port_range_max=None,
            destination_port_range_min=first,
            destination_port_range_max=last,
            **({"logical_destination_port": workflow.ports[DESTINATION].id} if symmetric else {}),
        )
        wish.chain = workflow.create(
            "port_chain",
            name=f"PC{first}",
            port_pair_groups=self._group_ids(groups),
            flow_classifiers=[wish.classifier["id"]],
            chain_parameters={"symmetric": symmetric},
        )
        self.wishes.append(wish)
        self._note_change()

    @precondition(lambda self: self.wishes)
    @rule(data=st.data())
    def delete_chain(self, data: st.DataObject) -> None:
        wish = self.wishes.pop(data.draw(st.integers(0, len(self.wishes) - 1)))
        self.world.delete("port_chain", wish.chain)
        self.world.delete("flow_classifier", wish.classifier)

    @precondition(lambda self: self.wishes)
    @rule(data=st.data(), groups=some_groups)
    def change_chain(self, data: st.DataObject, groups: list[str]) -> None:
        wish = self.wishes[data.draw(st.integers(0, len(self.wishes) - 1))]
        wish.groups = tuple(groups)
        self.world.update("port_chain", wish.chain, port_pair_groups=self._group_ids(groups))
        self._note_change()

    @rule(name=functions, to=st.sampled_from(["", *GROUPS, *GROUPS]))
    def change_groups(self, name: str, to: str) -> None:
        """Take a pair out of the group that has it, and put it into another or into none.

        The API refuses a group with functions of two kinds.
        """
        members = self.cloud.members
        if any(KINDS[member] != KINDS[name] for member in members.get(to, [])):
            return
        for group, names in members.items():
            if name in names and group != to:
                names.remove(name)
                self._update(group)
        if to and name not in members[to]:
            members[to].append(name)
            self._update(to)

    # Changes of machines.

    @rule(name=st.sampled_from([SOURCE, DESTINATION, *KINDS]), host=hosts, live=st.booleans())
    def move(self, name: str, host: str, live: bool) -> None:
        if name not in self.cloud.down:
            self._recover(name)
            self._migrate(name, host, live=live and self.world.lab.layout.has_ovn)
            self._announce()

    @precondition(lambda self: not self.cloud.down)
    @rule(name=functions)
    def unplug(self, name: str) -> None:
        """Take the egress port away from a function."""
        self._recover(name)
        vms, lab = self.world.vms, self.world.lab
        vms[name] = lab.vms.detach_port(vms[name], WAYS[name][1])
        self.cloud.down.add(name)
        self._note_change()

    @precondition(lambda self: REPEATS and not self.cloud.down)
    @rule(name=functions)
    def remove_function(self, name: str) -> None:
        """Delete a function's machine. Its pair stays where it is, and so do its ports."""
        self._recover(name)
        self.world.lab.vms.delete(self.world.vms.pop(name))
        self.cloud.down.add(name)
        self._note_change()

    @precondition(lambda self: self.cloud.down)
    @rule(host=hosts)
    def repair_function(self, host: str) -> None:
        """Plug a function in again, or make a new one on any host."""
        for name in list(self.cloud.down):
            self._repair(name, host)

    @precondition(lambda self: not self.cloud.hung)
    @rule(name=functions)
    def hang(self, name: str) -> None:
        if name not in self.cloud.down:
            self.hanging[name] = self.world.lab.vms.hung(self.world.vms[name])
            self.hanging[name].__enter__()
            self.cloud.hung.add(name)

    @precondition(lambda self: self.cloud.hung)
    @rule()
    def recover(self) -> None:
        for name in list(self.cloud.hung):
            self._recover(name)

    # Changes of programs.

    @rule(host=hosts)
    def restart_agent(self, host: str) -> None:
        self.world.lab.restart("agent", host)

    @rule()
    def restart_server(self) -> None:
        self.world.lab.restart("neutron-rpc-server")

    @precondition(lambda _: REPEATS)
    @rule(data=st.data(), host=hosts)
    def restart_other(self, data: st.DataObject, host: str) -> None:
        lab = self.world.lab
        program = data.draw(st.sampled_from(PROGRAMS["ovn" if lab.layout.has_ovn else "ovs"]))
        if program == "ovs-vswitchd":
            restart_switch(lab, host)
            self._announce()
        else:
            lab.restart(program, host if program == "ovn-controller" else "")
        wait_for(
            lambda: all(diagnose(lab, one).status == 0 for one in HOSTS),
            DEADLINE,
            f"hosts to be right after a restart of {program} on {host}",
        )

    # How changes are made.

    def _note_change(self) -> None:
        self.observer.note_change(self.wishes)

    def _update(self, group: str) -> None:
        self.world.update("port_pair_group", self.groups[group], port_pairs=self._pair_ids(group))
        self._note_change()

    def _migrate(self, name: str, host: str, *, live: bool = False) -> None:
        lab, vms = self.world.lab, self.world.vms
        if vms[name].host == host:
            return
        if live:
            nova = clients.connect(lab.layout, "neutron", "service")
            vms[name] = lab.vms.live_migrate(vms[name], host, nova, lambda: None)
        else:
            vms[name] = lab.vms.migrate(vms[name], host)
        self.cloud.hosts[name] = host
        self._note_change()

    def _announce(self) -> None:
        """Have switches learn where machines are, as minutes without packets would."""
        lab, vms = self.world.lab, self.world.vms
        lab.vms.wait_active(vms.values())
        lab.flush_mac_tables()
        self._greet(vms)

    def _greet(self, names: Iterable[str] = (SOURCE, DESTINATION)) -> None:
        """Have machines send something that each switch learns from."""
        for name in names:
            self.world.lab.vms.announce_addresses(self.world.vms[name])
        wait_for(self._is_reachable, DEADLINE, "the source to reach the destination")

    def _is_reachable(self) -> bool:
        source, destination = self.world.vms[SOURCE], self.world.vms[DESTINATION]
        with traffic.TcpEchoServer(destination, UNCHAINED):
            return traffic.tcp_connect(source, destination, UNCHAINED).ok

    def _recover(self, name: str) -> None:
        """Have a function that hangs go on."""
        if name in self.hanging:
            self.hanging.pop(name).__exit__(None, None, None)
            self.cloud.hung.discard(name)

    def _repair(self, name: str, host: str) -> None:
        workflow = self.world
        if name in workflow.vms:
            port = workflow.ports[WAYS[name][1]].id
            workflow.vms[name] = workflow.lab.vms.attach_port(workflow.vms[name], port)
            self.cloud.down.discard(name)
        else:
            self._boot(name, host)
        self._note_change()
        self._announce()

    def _boot(self, name: str, host: str) -> None:
        """Make a function with new ports and a new pair."""
        workflow, pair = self.world, PAIRS[name]
        old = [workflow.ports[one].id for one in WAYS[name]]
        workflow.make_ports(*WAYS[name])
        workflow.hosts = {name: host}
        workflow.start_functions([name])
        groups = [group for group, names in self.cloud.members.items() if name in names]
        for group in groups:
            self.cloud.members[group].remove(name)
            self._update(group)
        workflow.delete("port_pair", workflow.pairs[pair])
        for port in old:
            workflow.cloud.delete_port(port)
        workflow.pairs[pair] = workflow.make_pair(pair, name)
        self.cloud.hosts[name] = host
        self.cloud.down.discard(name)
        for group in groups:
            self.cloud.members[group].append(name)
            self._update(group)

    def _pair_ids(self, group: str) -> list[str]:
        return [self.world.pairs[PAIRS[name]]["id"] for name in self.cloud.members[group]]

    def _group_ids(self, groups: list[str]) -> list[str]:
        return [self.groups[group]["id"] for group in groups]

    # Assertions.

    @invariant()
    def packets_go_where_they_must(self) -> None:
        closed = () if REPEATS else (self.observer.draw.choice((REFUSED, NOT_SENT)),)
        self.observer.check(self.wishes, PORTS if REPEATS else (*PORTS[:3], *closed))

    def teardown(self) -> None:
        """The last chain leaves nothing behind."""
        for wish in self.wishes:
            self.world.delete("port_chain", wish.chain)
            self.world.delete("flow_classifier", wish.classifier)
        self.wishes.clear()
        for group in self.groups.values():
            self.world.delete("port_pair_group", group)
        self.cloud.members = {group: [] for group in GROUPS}
        self.world.wait_no_flows()
        self.recover_all()

    def recover_all(self) -> None:
        for name in list(self.cloud.hung):
            self._recover(name)
        for name in list(self.cloud.down):
            self._repair(name, self.cloud.hosts[name])


def close_ports(workflow: Workflow) -> list[str]:
    """Give the source and the destination security groups, and return their ids.

    The source may send TCP to ports below ``NOT_SENT``, and the destination gets it at ports below
    ``REFUSED``.
    """
    cloud, ids = workflow.cloud, []
    tcp = {"ethertype": "IPv4", "protocol": "tcp", "port_range_min": 1}
    for name, direction, closed in (
        (SOURCE, "egress", NOT_SENT),
        (DESTINATION, "ingress", REFUSED),
    ):
        group = cloud.create_security_group(name=f"life-{name}")
        add = partial(cloud.create_security_group_rule, security_group_id=group.id)
        if direction == "egress":
            for one in cloud.security_group_rules(security_group_id=group.id):
                cloud.delete_security_group_rule(one)
            add(direction="ingress", ethertype="IPv4", remote_ip_prefix=SUBNET)
        add(direction=direction, port_range_max=closed - 1, **tcp)
        cloud.update_port(workflow.ports[name], security_group_ids=[group.id])
        ids.append(group.id)
    return ids


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Iterator[Workflow]:
    made = Workflow(
        lab, captures, kinds={name: kind for name, kind in KINDS.items() if kind != "l3"}
    )
    made.set_up_network()
    made.make_ports(SOURCE, DESTINATION, *(port for ports in WAYS.values() for port in ports))
    closed = close_ports(made)
    made.start_machines()
    made.make_pairs()
    yield made
    made.clean_up()
    for group in closed:
        made.cloud.delete_security_group(group)


def test_any_changes_in_any_order(workflow: Workflow) -> None:
    tally = Tally()

    class Counted(Life):
        pass

    Counted.tally = tally
    try:
        run_stateful(Counted, workflow, examples=1, steps=12)
    finally:
        print(f"compared: {tally}", flush=True)

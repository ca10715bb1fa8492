"""Processes end and come back while a chain carries traffic.

What is counted are datagrams of a steady stream: lost ones, and ones that got to the destination around a function.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from portchain.lab import journey, traffic
from portchain.lab.lab import CONTROLLER_SERVICES, Lab
from portchain.lab.waiting import wait_for
from tests.lab.conftest import Captures
from tests.lab.workflow import CHAINED, DEADLINE, Workflow

pytestmark = pytest.mark.alone

PORT = 7000
AGENTS = ["agent@h1", "agent@h2", "agent@h3"]
SWITCHES = ["ovs-vswitchd@h1", "ovs-vswitchd@h2", "ovs-vswitchd@h3"]
RESTART_NOTICED = "OVS is restarted"
SERVERS = sorted(set(CONTROLLER_SERVICES) - {"epmd"})


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.pairs_and_groups()
    datagrams = workflow.classifier(
        "datagrams", protocol="udp", source_port_range_min=None, source_port_range_max=None,
        destination_port_range_min=PORT, destination_port_range_max=PORT,
    )  # fmt: skip
    workflow.pc1 = workflow.chain(workflow.classifier(), datagrams)
    workflow.wait_status(workflow.pc1)
    yield workflow
    workflow.clean_up()
    workflow.wait_no_rules()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Workflow:
    booted.captures = captures
    return booted


class Traffic:
    """A stream through the chain, with captures at every port."""

    def __init__(self, workflow: Workflow) -> None:
        machines = workflow.machines
        self._capture = workflow.captures(*machines.values())
        self._stream = traffic.UdpStream(machines["src"], machines["dst"], PORT, rate=100)

    def __enter__(self) -> "Traffic":
        self._capture.start()
        self._stream.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        self.result = self._stream.stop()
        walks = journey.walks(journey.sightings(self._capture.stop()))
        self.paths = Counter(walk.ports for walk in walks if walk.flow.destination_port == PORT)

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until so many more datagrams have arrived."""
        enough = len(self._stream.result.received) + count
        wait_for(
            lambda: len(self._stream.result.received) >= enough,
            2 * DEADLINE,
            f"{count} more datagrams",
        )

    @property
    def around(self) -> Counter[tuple[str, ...]]:
        """The paths that ended at the destination without being the chain's."""
        return Counter(
            {path: n for path, n in self.paths.items() if path[-1] == "dst" and path not in CHAINED}
        )


@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_restarts_without_a_trace(workflow: Workflow, agent: str, how: str) -> None:
    lab, rules = workflow.lab, workflow.rules()
    with Traffic(workflow) as stream:
        if how == "kill":
            lab.kill(agent)
            stream.wait_for_more()
            lab.start(agent)
        else:
            lab.restart(agent)
        log = lab.layout.logs / f"{agent}.log"
        wait_for(lambda: "Cleaning stale br-int flows" in log.read_text().rsplit("Loaded agent extensions", 1)[-1],
                 DEADLINE, "the agent to have cleaned up")  # fmt: skip
        stream.wait_for_more()
    assert stream.result.lost == []
    assert set(stream.paths) <= CHAINED
    assert workflow.rules() == rules or _without_counters(workflow.rules()) == _without_counters(
        rules
    )


def _without_counters(rules: dict[str, list[str]]) -> dict[str, set[str]]:
    counters = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
    return {
        host: {
            " ".join(word for word in line.split() if not word.startswith(counters))
            for line in lines
        }
        for host, lines in rules.items()
    }


@pytest.mark.parametrize("program", SERVERS)
def test_a_server_restarts_and_the_chain_goes_on(workflow: Workflow, program: str) -> None:
    rules = _without_counters(workflow.rules())
    with Traffic(workflow) as stream:
        workflow.lab.kill(program)
        stream.wait_for_more()
        workflow.lab.start(program)
        stream.wait_for_more()
    assert stream.result.lost == []
    assert set(stream.paths) <= CHAINED
    _a_change_is_carried_out(workflow)
    # The agents hear of the deletion after the API has answered.
    wait_for(lambda: _without_counters(workflow.rules()) == rules, DEADLINE, "the old rules alone")


def _a_change_is_carried_out(workflow: Workflow) -> None:
    """API, database, broker, RPC server and agents work together again."""
    other = workflow.classifier("another", destination_port_range_min=300, destination_port_range_max=300,
                                source_port_range_min=None, source_port_range_max=None)  # fmt: skip
    chain = workflow.chain(other, name="another")
    workflow.wait_status(chain)
    assert workflow.paths(port=300) <= CHAINED
    workflow.delete("port_chain", chain)
    workflow.delete("flow_classifier", other)


@pytest.mark.parametrize("program", SWITCHES)
def test_a_switch_restarts_and_the_chain_comes_back(workflow: Workflow, program: str) -> None:
    lab, host = workflow.lab, program.partition("@")[2]
    rules = _without_counters(workflow.rules())[host]
    log = lab.layout.logs / f"agent@{host}.log"
    noticed = log.read_text().count(RESTART_NOTICED)
    with Traffic(workflow) as stream:
        lab.restart(program)
        wait_for(
            lambda: log.read_text().count(RESTART_NOTICED) > noticed,
            DEADLINE,
            "the agent to notice",
        )
        wait_for(
            lambda: _without_counters(workflow.rules())[host] == rules,
            DEADLINE,
            "the rules to be back",
        )
        stream.wait_for_more()
    assert not stream.around
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23, count=5) <= CHAINED

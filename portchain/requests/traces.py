"""Requests that create, update and delete traces, and what happens between: hosts are asked."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from neutron import policy
from neutron.db import models_v2
from neutron_lib.db import api as db_api
from oslo_config import cfg
from oslo_log import log

from portchain import conf
from portchain.core import model, rules
from portchain.core.mismatches import Header
from portchain.core.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from portchain.dataplane.tracing.journey import Journey, Outcome, follow
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, HostTrace, Start, Step
from portchain.db import (
    lookup,
    models,
    plain_attributes,
    project_lock,
    topology,
    trace_view,
    traces,
    writer,
)
from portchain.db.ports import load_ports_by_id
from portchain.drivers.base import PortChainDriver
from portchain.drivers.hosts.driver import HostDriver
from portchain.requests import live_traces
from portchain.requests.request import (
    Data,
    Request,
    load_usable_ports,
    update_name_and_description,
)
from portchain.rpc.fields import ContractError

LOG = log.getLogger(__name__)

_ALL_HOSTS_SECONDS = 20.0
_TIME_IS_OVER = f"{_ALL_HOSTS_SECONDS:.0f} s are over"
_HOST_SECONDS = 10.0
_MOST_AT_ONCE = 5
"""With so many traces of a project under way, no request begins others: each holds a worker."""
_WITH_PORTS = (TCP, UDP, SCTP, ICMP, ICMPV6)
_FIRST_DYNAMIC_PORT, _ECHO_REQUEST, _ECHO_REQUEST_V6 = 49152, 8, 128
_FAMILIES = {4: "IPv4", 6: "IPv6"}


def create_traces(request: Request, items: Sequence[Data]) -> list[str]:
    """Add traces and return their ids. Hosts are not asked yet, see ``run_traces``.

    :raises PortNotFound: as ``_create_trace``.
    :raises Violation: as ``_create_trace``; or too many traces of a project are under way.
    """
    projects = {data["project_id"] for data in items}
    project_lock.acquire(request.session, *projects)
    lifetime = cfg.CONF[conf.GROUP].trace_lifetime
    for project_id in projects:
        running = traces.count_running(request.session, project_id, lifetime)
        if running >= _MOST_AT_ONCE:
            reason = f"{running} traces of the project are under way; wait for the end of some"
            raise rules.Violation("port_id", reason, rules.Kind.CONFLICT)
    return [_create_trace(request, data) for data in items]


def _create_trace(request: Request, data: Data) -> str:
    """Add a trace and return its id; the project's lock is held.

    :raises PortNotFound: the port does not exist, or the caller cannot see it.
    :raises Violation: the port is another project's, or cannot send such a packet; or the trace is
        live, and another live trace of the port is under way.
    """
    load_usable_ports(request, [("port_id", data["port_id"])])
    values = {
        "id": writer.id_of(data),
        "project_id": data["project_id"],
        "name": data["name"],
        "description": data["description"],
        "protocol": data["protocol"],
        **plain_attributes.TRACE.of_request(data),
    }
    packet, _, port = _packet_and_header(request.session, models.Trace(**values))
    lifetime = cfg.CONF[conf.GROUP].trace_lifetime
    if data["live"]:
        live_traces.check_live(packet, port)
        if traces.is_live_now(request.session, port.id, lifetime):
            reason = f"another live trace of port {port.id} is under way; wait for its end"
            raise rules.Violation("live", reason, rules.Kind.CONFLICT)
    traces.add(request.session, values, lifetime)
    return str(values["id"])


def update_trace(request: Request, trace_id: str, data: Data) -> None:
    """Change the name or the description of a trace.

    :raises NotFound: the trace does not exist, or the caller cannot see it.
    """
    update_name_and_description(request, lookup.TRACE, trace_id, data)


def delete_trace(request: Request, trace_id: str) -> None:
    """Delete a trace.

    :raises NotFound: the trace does not exist, or the caller cannot see it.
    """
    writer.remove(request.session, lookup.find_one(request.context, lookup.TRACE, trace_id))


def run_traces(context: Any, drivers: Iterable[PortChainDriver], trace_ids: Iterable[str]) -> None:
    """Ask the hosts on packets' ways, one after the other, and record what they say.

    Takes at most some ``_ALL_HOSTS_SECONDS``, and some seconds more if a packet is sent. Never
    raises: the traces are there already.

    :param context: of the caller, who sees the results.
    :param drivers: all that are configured.
    """
    driver = next((one for one in drivers if isinstance(one, HostDriver)), None)
    end = time.monotonic() + _ALL_HOSTS_SECONDS
    for trace_id in trace_ids:
        _run_trace(context, driver, trace_id, end)


def _run_trace(context: Any, driver: HostDriver | None, trace_id: str, end: float) -> None:
    """Do what ``run_traces`` does, for one trace.

    :param end: when no host is asked any more, in seconds of the monotonic clock.
    """
    admin = context.elevated()
    try:
        followed = _follow(admin, driver, trace_id, end)
        viewer = _viewer(context)
        journey, outcome = followed.journey, followed.journey.outcome
        with db_api.CONTEXT_READER.using(admin) as session:
            steps = trace_view.show_steps(session, journey, followed.header, viewer)
        is_sent = followed.is_live and time.monotonic() < end
        if is_sent:
            steps, outcome = _send(admin, driver, followed, steps, viewer)
    except Exception:
        LOG.exception("Trace %s failed", trace_id)
        reason = "the trace failed; see the log of the Neutron server"
        failure = traces.TraceResult(model.TracePhase.FAILED, reason=reason)
        traces.finish(admin, trace_id, failure)
        return
    is_unsent = followed.is_live and not is_sent
    is_lost = is_unsent or outcome is Outcome.LOST
    phase = model.TracePhase.FAILED if is_lost else model.TracePhase.SUCCEEDED
    last = steps[-1]["reason"] if steps else ""
    if is_unsent:
        outcome, last = Outcome.LOST, f"{_TIME_IS_OVER}; the packet was not sent"
    traces.finish(admin, trace_id, traces.TraceResult(phase, str(outcome), last, steps))


def _viewer(context: Any) -> trace_view.Viewer:
    """Return the viewer of a trace. Hosts are shown to whom the status of chains may name them."""
    target = {"project_id": context.project_id, "tenant_id": context.project_id}
    sees_hosts = policy.check(context, "get_port_chain:status_reason", target)
    return trace_view.Viewer(None if context.is_admin else context.project_id, sees_hosts)


@dataclass(frozen=True, slots=True)
class _Followed:
    """A packet, and what its trace predicts."""

    packet: Packet
    header: Header
    journey: Journey
    is_live: bool
    places: topology.DatabaseTopology


def _follow(context: Any, driver: HostDriver | None, trace_id: str, end: float) -> _Followed:
    with db_api.CONTEXT_READER.using(context) as session:
        row = session.get(models.Trace, trace_id)
        packet, header, port = _packet_and_header(session, row)
        is_live = row.live
    addresses = driver.tunnel_addresses(context) if driver is not None else {}
    places = topology.DatabaseTopology(context, port.network_id, addresses)
    if driver is None:
        step = Step(Decision.LOST, "no driver is configured whose hosts can trace packets")
        journey = Journey((("", step),), Outcome.LOST)
    else:
        journey = follow(port.id, packet, places, _asking(context, driver, end))
    return _Followed(packet, header, journey, is_live and driver is not None, places)


def _send(
    context: Any,
    driver: HostDriver | None,
    followed: _Followed,
    steps: list[dict[str, Any]],
    viewer: trace_view.Viewer,
) -> tuple[list[dict[str, Any]], Outcome]:
    """Send the packet; return the steps with what was seen, and how its way has ended."""
    assert driver is not None
    journey, header = followed.journey, followed.header
    end_port = header.destination_port_id
    sending = live_traces.Sending(followed.packet, journey, header.port_id, end_port)
    seen = live_traces.observe(context, driver.live_hosts, sending, followed.places)
    with db_api.CONTEXT_READER.using(context) as session:
        owner = session.scalar(
            sa.select(models_v2.Port.project_id).where(models_v2.Port.id == end_port)
        )
    sees_end = viewer.project_id in (None, owner)
    return live_traces.add_observation(steps, sending, seen, sees_end=sees_end)


def _asking(
    context: Any, driver: HostDriver, end: float
) -> Callable[[str, Start, Packet], HostTrace]:
    """Return the function that asks hosts, until the time for all of them is over."""

    def ask(host: str, start: Start, packet: Packet) -> HostTrace:
        seconds = min(_HOST_SECONDS, end - time.monotonic())
        if not host:
            return _answer(Decision.DROPPED, "the port is not bound to a host")
        if seconds <= 0:
            return _answer(Decision.LOST, _TIME_IS_OVER)
        try:
            return driver.trace(context, host, start, packet, seconds)
        except oslo_messaging.MessagingTimeout:
            reason = f"the host has not answered for {seconds:.0f} s; is its agent running?"
        except ContractError as error:
            LOG.warning("Cannot read what host %s says of a packet: %s", host, error)
            reason = "the server cannot read the host's answer"
        except Exception as error:
            LOG.warning("Host %s cannot be asked about a packet: %s", host, error)
            is_older = "NoSuchMethod" in str(getattr(error, "exc_type", ""))
            reason = (
                "the agent of the host is of an earlier release, which cannot trace packets"
                if is_older
                else "the host cannot be asked; see the log of the Neutron server"
            )
        return _answer(Decision.LOST, reason)

    return ask


def _answer(decision: Decision, reason: str) -> HostTrace:
    return HostTrace((Step(decision, reason),), ())


def _packet_and_header(session: Any, trace: models.Trace) -> tuple[Packet, Header, model.Port]:
    """Return the packet of a trace as its port sends it, with its header, and the port.

    :raises Violation: the port cannot send such a packet.
    """
    port = load_ports_by_id(session, [trace.port_id]).get(trace.port_id)
    if port is None:
        raise rules.Violation("port_id", f"port {trace.port_id} does not exist")
    version = ip_address(trace.destination_ip_address).version
    source = _source(trace, port, version)
    protocol = ICMPV6 if version == 6 and trace.protocol == ICMP else trace.protocol
    if protocol not in _WITH_PORTS and (trace.source_port, trace.destination_port) != (None, None):
        name = "source_port" if trace.source_port is not None else "destination_port"
        raise rules.Violation(name, "only protocols tcp, udp, sctp and icmp have it")
    receiver, mac = topology.next_hop(session, port.network_id, trace.destination_ip_address)
    if not mac:
        raise rules.Violation(
            "destination_ip_address",
            f"no port on the network of port {port.id} has address "
            f"{trace.destination_ip_address}, and the network has no router",
        )
    source_port, destination_port = _ports(protocol, trace)
    packet = Packet(
        eth_src=port.mac_address,
        eth_dst=mac,
        ethertype=_FAMILIES[version],
        source=source,
        destination=trace.destination_ip_address,
        protocol=protocol,
        source_port=source_port,
        destination_port=destination_port,
        is_established=trace.established,
    )
    header = Header(
        port.id, _FAMILIES[version], source, trace.destination_ip_address, protocol,
        source_port, destination_port, receiver,
    )  # fmt: skip
    return packet, header, port


def _source(trace: models.Trace, port: model.Port, version: int) -> str:
    if trace.source_ip_address is not None:
        if ip_address(trace.source_ip_address).version != version:
            raise rules.Violation(
                "source_ip_address", "it is not of the IP version of destination_ip_address"
            )
        return str(trace.source_ip_address)
    for address in port.fixed_ips:
        if ip_address(address).version == version:
            return address
    raise rules.Violation("source_ip_address", f"port {port.id} has no IPv{version} address")


def _ports(protocol: int, trace: models.Trace) -> tuple[int, int]:
    """Return the transport ports of a packet, or its ICMP type and code; 0 if it has none."""
    defaults = {
        **dict.fromkeys((TCP, UDP, SCTP), (_FIRST_DYNAMIC_PORT, 0)),
        ICMP: (_ECHO_REQUEST, 0),
        ICMPV6: (_ECHO_REQUEST_V6, 0),
    }
    source, destination = defaults.get(protocol, (0, 0))
    return (
        source if trace.source_port is None else trace.source_port,
        destination if trace.destination_port is None else trace.destination_port,
    )

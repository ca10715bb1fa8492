"""Writes one chain's rows, or keeps them and holds back what they let by."""

from dataclasses import replace

from oslo_config import cfg
from oslo_log import log as logging

from portchain.conf import GROUP
from portchain.core.model import ChainSnapshot, PortPair
from portchain.drivers.ovn.commands import HoldBack, SyncChain
from portchain.drivers.ovn.compile import Compiled, compile_chain, port_on_wire
from portchain.drivers.ovn.errors import SwitchNotFound, Unreachable
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.moved import is_moving
from portchain.drivers.ovn.northbound import CHAIN, Database
from portchain.drivers.ovn.probing import Probing

LOG = logging.getLogger(__name__)


def compiled(database: Database, health: Health, snapshot: ChainSnapshot) -> Compiled:
    """Compile a chain with its functions as OVN sees them now: of ports that are plugged in or not Neutron hears later, and
    then of one after the other.
    """
    ports = {}
    for name, port in snapshot.ports.items():
        row = database.named("Logical_Switch_Port", name)
        plugged = port.plugged if row is None else row.up == [True] or is_moving(row)
        ports[name] = replace(port, plugged=plugged)
    groups = snapshot.chain.port_pair_groups
    pairs = (pair for group in groups for pair in group.port_pairs)
    at_work = {pair.id for pair in pairs if _is_at_work(database, snapshot.chain.id, pair)}
    offline = health.offline(snapshot.chain)
    return compile_chain(replace(snapshot, ports=ports), at_work, offline, _probing())


def _is_at_work(database: Database, chain_id: str, pair: PortPair) -> bool:
    """Whether a pair is on a chain's wires."""
    row = database.named("Logical_Switch_Port", port_on_wire(chain_id, pair, pair.ingress))
    return row is not None and row.external_ids.get(CHAIN) == chain_id


def _probing() -> Probing:
    options = cfg.CONF[GROUP]
    return Probing(options.ovn_check_vlan, options.ovn_check_interval, options.ovn_check_failures)


def write(database: Database, snapshot: ChainSnapshot, wanted: Compiled) -> None:
    """Make a chain's rows those that are wanted, or at least hold its traffic back.

    :raises Unreachable: the database does not answer.
    :raises SwitchNotFound: OVN does not know a port or a network of the chain yet.
    :raises NoFreeFunctionId: OVN has no more numbers for functions.
    :raises NoFreeTag: a function has no more VLAN tags.
    :raises Taken: another chain has a function for itself.
    """
    try:
        database.run(SyncChain(database, wanted.rows))
    except Unreachable:
        raise
    except Exception as error:
        # Whatever it is: what the chain classifies must not get around its functions.
        _try_to_hold(database, snapshot)
        name = error.name if isinstance(error, SwitchNotFound) else ""
        port = snapshot.ports.get(name)
        if port is None or port.project_id == snapshot.chain.project_id:
            raise
        raise SwitchNotFound("port", "of another project") from error


def _try_to_hold(database: Database, snapshot: ChainSnapshot) -> None:
    try:
        hold(database, snapshot)
    except Exception:
        # What is to be told is why the chain could not be written.
        LOG.exception("Cannot hold back the traffic of port chain %s", snapshot.chain.id)


def hold(database: Database, snapshot: ChainSnapshot) -> None:
    """Keep a chain's rows as they are, and have what else it classifies dropped.

    :raises Unreachable: the database does not answer.
    """
    database.run(HoldBack(database, snapshot))

"""Writes one chain's rows, or keeps them and holds back what they let by."""

from portchain.drivers.ovn.commands import HoldBack, SyncChain, served_by
from portchain.drivers.ovn.compile import Compiled, compile_chain, hold_back
from portchain.drivers.ovn.errors import NoFreeFunctionId, SwitchNotFound
from portchain.drivers.ovn.northbound import Database, as_seen
from portchain.drivers.ovn.rows import anchor_name
from portchain.model import ChainSnapshot


def compiled(database: Database, snapshot: ChainSnapshot) -> Compiled:
    """Compile a chain with its ports as OVN sees them now."""
    return compile_chain(as_seen(database, snapshot))


def write(database: Database, snapshot: ChainSnapshot, wanted: Compiled) -> None:
    """Make a chain's rows those that are wanted, or at least hold its traffic back.

    :raises Unreachable: the database does not answer.
    :raises SwitchNotFound: OVN does not know a port or a network of the chain yet.
    :raises NoFreeFunctionId: OVN has no more numbers for functions.
    """
    try:
        database.run(SyncChain(database, wanted.rows))
    except NoFreeFunctionId:
        hold(database, snapshot)
        raise
    except SwitchNotFound as error:
        hold(database, snapshot)
        port = snapshot.ports.get(error.name)
        if port is None or port.project_id == snapshot.chain.project_id:
            raise
        raise SwitchNotFound("port", "of another project") from error


def hold(database: Database, snapshot: ChainSnapshot) -> None:
    """Keep a chain's rows as they are, and have what else it classifies dropped.

    :raises Unreachable: the database does not answer.
    """
    database.connect()
    anchor = database.named("Port_Group", anchor_name(snapshot.chain.id))
    database.run(HoldBack(database, hold_back(snapshot, served_by(anchor))))

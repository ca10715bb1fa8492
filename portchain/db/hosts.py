"""Which minor version of the wire contract each host follows, and what plans assume of hosts.

A host says its version whenever it asks for changes, and plans say which hosts accept packets
instead of whole frames (docs/decisions/0060). Both are recorded: the version of each host, and for
each chain what the last plan says of the host. Where they differ, the chain has to be planned
again. So a server that ends in between is no special case: the host's next request finds the
difference again.
"""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db.models.agent import Agent
from neutron_lib import constants
from neutron_lib.db import api as db_api

from portchain.core.plan_records import HostFacts
from portchain.db import writer
from portchain.db.many_values import in_parts
from portchain.db.models import ChainHost, Host, PortChain


@db_api.retry_if_session_inactive()
def record_version(context: Any, host: str, minor_version: int) -> bool:
    """Record the version that a host follows.

    :param minor_version: 0 if the host has not said it; no row is added for that.
    :returns: False, and nothing is written, if it was recorded before.
    """
    with db_api.CONTEXT_READER.using(context) as session:
        known = session.scalar(sa.select(Host.minor_version).where(Host.host == host))
    if minor_version == (known or 0):
        return False
    with db_api.CONTEXT_WRITER.using(context) as session:
        session.merge(Host(host=host, minor_version=minor_version))
    return True


def facts_of(session: Any, hosts: Collection[str]) -> dict[str, HostFacts]:
    """Return host -> its version and the tunnels of its Open vSwitch agent, of some hosts.

    One query for both. Hosts of which neither is known are left out.
    """
    versions, tunnels = dict[str, int](), dict[str, Any]()
    for part in in_parts(hosts):
        agents = sa.select(Agent.host, Agent.configurations, sa.null()).where(
            Agent.agent_type == constants.AGENT_TYPE_OVS, Agent.host.in_(part)
        )
        said = sa.select(Host.host, sa.null(), Host.minor_version).where(Host.host.in_(part))
        for host, configurations, version in session.execute(sa.union_all(agents, said)):
            if version is None:
                tunnels[host] = json.loads(configurations or "{}")
            else:
                versions[host] = version
    return {
        host: HostFacts(
            tunnels.get(host, {}).get("tunneling_ip") or "",
            frozenset(tunnels.get(host, {}).get("tunnel_types") or ()),
            versions.get(host, 0),
        )
        for host in versions.keys() | tunnels.keys()
    }


@db_api.retry_if_session_inactive()
def read_facts(context: Any, hosts: Collection[str]) -> dict[str, HostFacts]:
    """Return what `facts_of` does, outside of a transaction."""
    with db_api.CONTEXT_READER.using(context) as session:
        return facts_of(session, hosts)


@db_api.retry_if_session_inactive()
def renew_chains(context: Any, host: str, *, accepts_packets: bool) -> list[str]:
    """Give a new revision to the chains whose last plan says something wrong of a host.

    :param accepts_packets: what is right.
    :returns: the ids of these chains. They must be planned now.
    """
    wrong = _wrong_about(host, accepts_packets)
    with db_api.CONTEXT_READER.using(context) as session:
        found = list(session.scalars(wrong))
    if not found:
        return []
    chains = sa.select(PortChain.id).where(PortChain.id.in_(found)).order_by(PortChain.id)
    with db_api.CONTEXT_WRITER.using(context) as session:
        # Nothing else is read before the locks are held: another server may have done it meanwhile.
        session.execute(chains.with_for_update())
        found = list(session.scalars(wrong))
        writer.increment_revision(session, found, rereads_ports=True)
    return found


def _wrong_about(host: str, accepts_packets: bool) -> sa.Select[str]:
    """Return the query for the chains whose last plan says something wrong of a host.

    Chains that could not be realised are left out: the repair worker tries them again. So are those
    that are being planned now, unless they have the host get what it cannot read.
    """
    row, chain = ChainHost, PortChain
    query = (
        sa.select(row.chain_id)
        .join(chain, chain.id == row.chain_id)
        .where(row.host == host, row.gets_packets.is_not(accepts_packets), chain.failure == "")
        .order_by(row.chain_id)
    )
    return query.where(chain.realised_revision == chain.revision) if accepts_packets else query

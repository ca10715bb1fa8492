"""What this very OVN cannot carry, read from its Northbound database before anything is written."""

from collections.abc import Iterator
from typing import Any

from portchain.core.model import VLAN, ChainSnapshot
from portchain.core.rules import Kind, Violation, label, label_for
from portchain.drivers.ovn.commands import free_ids
from portchain.drivers.ovn.northbound import CHAIN, Database, project_of
from portchain.drivers.ovn.probing import checked
from portchain.drivers.ovn.rows import ChainRows, wire_name
from portchain.drivers.ovn.tagged import chains_at, is_had, is_shut

_GROUPS = "neutron:security_group_ids"


def check_chain(database: Database, snapshot: ChainSnapshot, wanted: ChainRows) -> None:
    """Refuse a chain for which OVN is too old, full, or otherwise not fit.

    :param wanted: the rows that the chain would have.
    :raises Violation: says what to do instead.
    :raises NoFreeFunctionId: OVN has no more numbers for functions.
    """
    if not database.has("Network_Function_Group"):
        raise Violation(
            "port_chain",
            "the driver ovn needs OVN 26.03 or newer on every host; the connected Northbound "
            "database has no Network_Function_Group",
            Kind.UNSUPPORTED,
        )
    for attribute, reason in _reasons(database, snapshot):
        raise Violation(attribute, reason, Kind.UNSUPPORTED)
    own = database.named_from("Network_Function", wire_name(snapshot.chain.id))
    needed = len(wanted.functions) + len(wanted.checks) - len(own)
    free_ids(database, "Network_Function", max(0, needed))


def _reasons(database: Database, snapshot: ChainSnapshot) -> Iterator[tuple[str, str]]:
    chain = snapshot.chain
    pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    for pair in pairs:
        for port in (pair.ingress, pair.egress):
            users = _chains_with(database, port, by_tag=pair.correlation == VLAN)
            for user in sorted(users - {chain.id})[:1]:
                own = project_of(database, user) == chain.project_id
                rest = f"port chain {user}; add the flow classifier to that chain, or give"
                yield (
                    "port_pair_groups",
                    "the driver ovn hands a function the packets of one chain, unless all its pairs say that it keeps "
                    "VLAN tags (service_function_parameters correlation vlan), and "
                    f"{label_for(chain.project_id, pair)} is in "
                    f"{rest if own else 'another port chain; give'} this one a function of its own",
                )
    with_children = {pair.id: pair for pair in checked(chain)}
    with_children |= {pair.id: pair for pair in pairs if pair.correlation == VLAN}
    for pair in with_children.values():
        for port in (pair.ingress, pair.egress):
            row = database.named("Logical_Switch_Port", port)
            if row is not None and row.parent_name:
                yield (
                    "port_pair_groups",
                    "the driver ovn gives functions that keep VLAN tags or are checked frames with a tag, and a port of "
                    f"{label_for(chain.project_id, pair)} is a subport of a trunk; use another "
                    "port, or a pair without correlation vlan in a group with health_check none",
                )
    for ports in snapshot.sources.values():
        for name in ports:
            if name in snapshot.ports and _is_stateless(database, name):
                yield (
                    "flow_classifiers",
                    f"the driver ovn needs the connections of port {label(snapshot.ports[name])} "
                    "to be tracked, and its security group is stateless; use a stateful one",
                )


def _chains_with(database: Database, port: str, by_tag: bool) -> set[str]:
    """The chains that keep others from having a port.

    :param by_tag: it is to be had by a tag, as others may have it at the same time.
    """
    row = database.named("Logical_Switch_Port", port)
    if row is None or not is_had(database, row):
        return set()
    if is_shut(row):
        return set() if by_tag else chains_at(database, port)
    return {str(row.external_ids[CHAIN])} if CHAIN in row.external_ids else set()


def _is_stateless(database: Database, port: str) -> bool:
    row = database.named("Logical_Switch_Port", port)
    groups = str(row.external_ids.get(_GROUPS, "")).split() if row is not None else ()
    return any(_allows_without_state(database, group) for group in groups)


def _allows_without_state(database: Database, group: str) -> bool:
    row: Any = database.named("Port_Group", f"pg_{group.replace('-', '_')}")
    return row is not None and any(acl.action == "allow-stateless" for acl in row.acls)

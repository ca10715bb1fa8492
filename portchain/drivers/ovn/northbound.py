"""What the driver reads from OVN's databases, and how it marks its rows there."""

from portchain.drivers.ovn.rows import anchor_name
from portchain.ovsdb import ovn
from portchain.ovsdb.ovn import Database, Noted, put

__all__ = ["Database", "Noted", "northbound", "project_of", "put", "southbound"]

CHAIN, REVISION = "portchain:chain", "portchain:revision"
"""Keys of ``external_ids`` of every row that is a chain's."""
LANE = "portchain:lane"
"""Key of a Network_Function_Group's: the function that it carries packets to at the moment."""
WIRE = "portchain:wire"
"""Key of a switch's: the wire that it is at the moment."""
PROJECT = "portchain:project"
"""Key of an anchor's: id of the project that owns the chain."""
TAGS = "portchain:tags"
"""Key of a port's that chains have by children: the VLAN tag that was dealt out last."""
DEALT = "portchain:dealt"
"""Key of a child's whose tag was dealt out among the chains that have its parent."""
HELD = "portchain:held"
"""Key of an anchor's: names of the ports that are held back although the chain's classification does not know them."""
NETWORK = "portchain:network"
"""Key of a patch's or a child's: name of the switch it is on."""
HOME = "neutron:network_name"
"""Neutron's key of a port's: name of the switch it is on without chains."""

_NORTHBOUND = {
    "NB_Global": ("nb_cfg", "options"),
    "Logical_Switch": ("name", "ports", "acls", "external_ids"),
    "Logical_Switch_Port": (
        "name",
        "type",
        "peer",
        "parent_name",
        "tag",
        "addresses",
        "port_security",
        "options",
        "up",
        "external_ids",
    ),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "ACL": ("direction", "priority", "match", "action", "options", "network_function_group"),
    "Network_Function": ("name", "id", "inport", "outport", "health_check", "external_ids"),
    "Network_Function_Health_Check": ("name", "options", "external_ids"),
    "Network_Function_Group": ("name", "id", "mode", "network_function", "external_ids"),
}
_SOUTHBOUND = {
    "Chassis": ("name", "hostname"),
    "Chassis_Private": ("name", "nb_cfg"),
    "Service_Monitor": ("logical_port", "status"),
}


def project_of(database: Database, chain_id: str) -> str:
    """Id of the project that owns a chain; empty if its rows do not say so."""
    anchor = database.named("Port_Group", anchor_name(chain_id))
    return str(anchor.external_ids.get(PROJECT, "")) if anchor is not None else ""


def northbound() -> Database:
    """The Northbound database that ML2/OVN is configured with."""
    return ovn.northbound(_NORTHBOUND)


def southbound() -> Database:
    """The Southbound database that ML2/OVN is configured with."""
    return ovn.southbound(_SOUTHBOUND)

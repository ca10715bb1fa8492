"""What tests of chains on OVN have in common."""

from typing import Any

from portchain_lab.cloud import ovn
from portchain_lab.lab import Lab

from tests.lab.labs import OVN, Labs


def lab(labs: Labs) -> Lab:
    """The lab that tests of chains on OVN share."""
    return labs.get(**OVN)


def wait_for_chassis(lab: Lab) -> None:
    """Wait until every chassis has caught up with the Northbound database."""
    ovn.ctl(lab.layout, "nb", "--wait=hv", "sync")


def rows(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """The Northbound rows of ports, and groups of ports, by table."""
    columns = {
        "Logical_Switch_Port": ("name", "addresses", "port_security", "options", "external_ids"),
        "Port_Group": ("name", "ports", "acls", "external_ids"),
    }
    return {
        table: sorted(ovn.northbound(lab.layout, table, *names), key=lambda row: str(row["name"]))
        for table, names in columns.items()
    }


def neutrons_ports(lab: Lab) -> list[dict[str, Any]]:
    """The rows that ML2/OVN has written for ports, without how often it has."""
    found = []
    for row in rows(lab)["Logical_Switch_Port"]:
        _, marks = row["external_ids"]
        kept = [mark for mark in marks if mark[0] != "neutron:revision_number"]
        if not str(row["name"]).startswith("pc-"):
            found.append({**row, "external_ids": kept})
    return found

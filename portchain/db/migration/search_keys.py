"""Fills the columns and the table of migration 5e8d13c7a0f4, as the server does for new rows."""

from alembic import op

_PORT = "LPAD(HEX({}), 4, '0')"


def fill() -> None:
    """Write what is missing, and nothing else."""
    op.execute(
        "UPDATE portchain_flow_classifiers SET "
        f"source_key = {_address('source_ip_prefix')}, "
        f"destination_key = {_address('destination_ip_prefix')}, "
        f"source_ports_key = {_ports('source')}, "
        f"destination_ports_key = {_ports('destination')}, "
        "sender = COALESCE(logical_source_port, project_id) WHERE sender IS NULL"
    )
    op.execute(
        "UPDATE portchain_chain_classifiers l "
        "JOIN portchain_flow_classifiers f ON f.id = l.classifier_id "
        "JOIN portchain_port_chains c ON c.id = l.chain_id "
        "SET l.other_project = CASE WHEN c.project_id = f.project_id THEN '' ELSE c.project_id END "
        "WHERE l.other_project IS NULL"
    )
    # Networks are recorded by this release only. Those of functions count without that, too.
    networks = (
        "SELECT chain_id, network_id FROM portchain_chain_networks UNION "
        "SELECT g.chain_id, p.network_id FROM portchain_chain_groups g "
        "JOIN portchain_group_pairs m ON m.group_id = g.group_id "
        "JOIN portchain_port_pairs x ON x.id = m.pair_id "
        "JOIN ports p ON p.id IN (x.ingress, x.egress)"
    )
    on_functions = f"JOIN ({networks}) n ON n.chain_id = c.id"
    on_source = "JOIN ports n ON n.id = f.logical_source_port"
    replies = "f.logical_destination_port IS NULL AND c.symmetric"
    op.execute(
        "DELETE e FROM portchain_open_ends e LEFT JOIN portchain_chain_classifiers l "
        "ON l.classifier_id = e.classifier_id AND l.chain_id = e.chain_id WHERE l.chain_id IS NULL"
    )
    for kind, join, key, condition in (
        ("source", on_functions, "source_key", "f.logical_source_port IS NULL"),
        ("destination", on_functions, "destination_key", replies),
        ("reply", on_source, "destination_key", replies),
    ):
        op.execute(
            "INSERT IGNORE INTO portchain_open_ends "
            "(classifier_id, network_id, kind, chain_id, project_id, address_key) "
            f"SELECT f.id, n.network_id, '{kind}', c.id, c.project_id, f.{key} "
            "FROM portchain_chain_classifiers l "
            "JOIN portchain_flow_classifiers f ON f.id = l.classifier_id "
            f"JOIN portchain_port_chains c ON c.id = l.chain_id {join} WHERE {condition}"
        )


def _address(prefix: str) -> str:
    digits = (
        f"LEFT(HEX(INET6_ATON(SUBSTRING_INDEX({prefix}, '/', 1))), "
        f"SUBSTRING_INDEX({prefix}, '/', -1) DIV 4)"
    )
    return f"LOWER(CONCAT(RIGHT(ethertype, 1), COALESCE({digits}, '')))"


def _ports(side: str) -> str:
    low = f"COALESCE({side}_port_range_min, 0)"
    high = f"COALESCE({side}_port_range_max, 65535)"
    common = " ".join(
        f"WHEN {low} DIV {16**rest} = {high} DIV {16**rest} "
        f"THEN LEFT({_PORT.format(low)}, {4 - rest})"
        for rest in range(4)
    )
    return (
        "LOWER(CASE WHEN protocol IS NULL THEN '' "
        f"ELSE CONCAT(LPAD(HEX(protocol), 2, '0'), CASE {common} ELSE '' END) END)"
    )

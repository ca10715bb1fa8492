"""Divides the tests between ``make test``, which is short, and ``make test-more``.

``make test-more`` has tests that take long, and those whose subject ``make test`` covers closer to
the code or with another parameter (docs/decisions/0086). Continuous integration runs both parts.
"""

import os
from pathlib import Path

import pytest

PART = os.environ.get("PORTCHAIN_PART", "")
"""``short`` or ``more``; otherwise all tests run."""

_LAB = {
    "test_balance": [""],
    "test_both": [""],
    "test_clients": ["test_neutron", "test_requests_of", "test_sharing_a_group"],
    "test_counters": ["test_a_host_that_is_down_is_named", "test_the_client_shows_them"],
    "test_demo": ["test_the_demo_survives", "test_the_demo_runs_on_every_driver[openflow]"],
    "test_doctor": ["test_a_lost_flow", "test_a_removed_tunnel", "test_without_the_server"],
    "test_ends": ["test_only_pings_and_their_replies_are_steered[fd46", "test_subports_of_trunks"],
    "test_failures": [
        "test_a_restart_of_the_server_does_not_disturb_the_chain[mariadb]",
        "test_a_restart_of_the_server_does_not_disturb_the_chain[neutron-api]",
        "test_a_restart_of_the_server_does_not_disturb_the_chain[rabbitmq]",
        "test_a_switch_restarts_and_the_chain_comes_back[h3-dst]",
        "test_an_agent_restarts_and_no_packet_is_lost[agent@h2-restart]",
        "test_the_rpc_server_dies_between_the_two_phases",
    ],
    "test_health": [
        "test_a_backup_works_only_while_no_other_does[l2]",
        "test_a_group_that_fails_closed_drops[l2]",
        "test_a_group_that_fails_open_is_left_out",
        "test_another_function_takes_over[l2]",
        "test_no_connection_is_lost_when_a_function_comes_back",
        "test_the_functions_of_a_host_without_power_are_left_out[l3]",
    ],
    "test_learning": [""],
    "test_many_clients": [""],
    "test_mapping": ["test_translated_packets_stay_in_the_chain_both_ways[behind others]"],
    "test_matrix": [
        f"test_packets_take_the_chain_and_no_other_path[{transport}-"
        for transport in ("flat", "geneve", "gre", "l2pop", "ovn")
    ],
    "test_openflow": [""],
    "test_ovn": [
        "test_a_controller_programs_hosts_without_agents",
        "test_a_machine_migrates_while_it_runs",
        "test_neutrons_own_repair_leaves_rows_of_chains_alone",
        "test_rows_of_neutron_stay_as_they_are",
    ],
    "test_random": [""],
    "test_scripts": [""],
    "test_specification": [
        "test_a_function_that_is_missing_is_not_bypassed",
        "test_a_packet_that_the_security_group_drops",
        "test_damaged_flows_are_repaired",
        "test_labels_between_hosts_take_eight_bytes",
        "test_the_real_client_works_with_names",
        "test_two_chains_share_groups_without_disturbing_each_other",
    ],
    "test_tracing": ["test_a_packet_that_a_function_keeps", "test_the_clients_show_it"],
}
_FUNCTIONAL = {
    "dataplane/test_chain_ends": ["test_prefix_and_port_hold_for_every_kind_of_port[openvswitch]"],
    "dataplane/test_random": ["test_any_actions_in_any_order[elsewhere]"],
    "dataplane/test_switch": ["test_flows_read_back_as_written[elsewhere]"],
    "dataplane/test_tracing": [
        "test_traces_agree_with_where_packets_go[elsewhere-True]",
        "test_traces_agree_with_where_packets_go[openvswitch-True]",
    ],
    "db/test_import": [
        "test_deleted_resources_come_back",
        "test_status_checks_and_import",
        "test_trial_writes_nothing",
    ],
    "db/test_scale": [
        "test_a_group_costs_little",
        "test_a_host_that_starts_asks_for_little",
        "test_a_machine_concerns_as_many_hosts",
        "test_costs_are_the_same_with_many_chains",
    ],
    "doctor/test_doctor": ["test_a_program_that_hangs_is_not_waited_for"],
    "ovn/test_doctor": ["test_what_is_broken_is_found"],
    "ovn/test_takeover": [""],
    "ovn/test_tracing": ["test_traces_agree_with_where_packets_go[vlan]"],
}
IN_MORE = {
    f"{folder}/{module}.py": tuple(names)
    for folder, modules in (("lab", _LAB), ("functional", _FUNCTIONAL))
    for module, names in modules.items()
}
"""Module -> how the names of its tests begin that ``make test`` leaves out; empty: all."""


def select(items: list[pytest.Item], root: Path) -> None:
    """Leave the tests out that are not of this part.

    :param root: the folder of all tests.
    :raises pytest.UsageError: a name in ``IN_MORE`` begins the name of no test.
    """
    by_module: dict[str, list[str]] = {}
    for item in items:
        by_module.setdefault(_module(item, root), []).append(item.name)
    for module, beginnings in IN_MORE.items():
        for one in beginnings if module in by_module else ():
            if not any(name.startswith(one) for name in by_module[module]):
                raise pytest.UsageError(f"tests/parts.py: {module} has no test {one}...")
    items[:] = [
        item
        for item in items
        if item.name.startswith(IN_MORE.get(_module(item, root), ())) == (PART == "more")
    ]


def _module(item: pytest.Item, root: Path) -> str:
    return item.path.relative_to(root).as_posix()

"""Parsing of what measurements read from the system and from packets."""

import argparse
import json
import os
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import ARP

from bench import __main__ as command
from bench import cpu, memory, packets, rpc, scene, sql
from tests.frames import ether


def test_datagrams_are_recognised_by_their_destination_port():
    frame = ether() / IP() / UDP(sport=7, dport=30000) / b"portchain"
    assert packets.udp_destination_port(bytes(frame)) == 30000
    options = ether() / IP(options=[IPOption_NOP()] * 4) / UDP(dport=30000)
    assert packets.udp_destination_port(bytes(options)) == 30000


@pytest.mark.parametrize(
    "frame", [ether() / IP() / TCP(dport=30000) / b"long enough", ether() / ARP(), ether()]
)
def test_other_frames_have_no_port(frame):
    assert packets.udp_destination_port(bytes(frame)) is None


@pytest.mark.parametrize(
    "statement", ["SELECT ports.id FROM ports", "insert into a", "UPDATE a", "\nDELETE FROM a"]
)
def test_statements_on_rows_are_counted(statement):
    assert sql.counted(statement)


@pytest.mark.parametrize(
    "statement", ["SELECT 1", " select 1 ", "COMMIT", "ROLLBACK", "SET NAMES utf8"]
)
def test_connection_housekeeping_is_not_counted(statement):
    assert not sql.counted(statement)


def test_connections_are_found_by_their_local_port():
    listing = (
        '0 0 127.0.0.1:41000 127.0.0.1:3306 users:(("uwsgi",pid=12,fd=9))\n'
        '0 0 127.0.0.1:41002 127.0.0.1:3306 users:(("neutron-rpc-ser",pid=34,fd=7))\n'
        "0 0 127.0.0.1:41004 127.0.0.1:3306\n"
    )
    assert sql.ports_by_process(listing) == {41000: 12, 41002: 34}


def test_messages_are_named_by_their_method():
    body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps({"method": "apply"})})
    assert rpc.method_of(body) == rpc.method_of(body.encode()) == "apply"
    answer = json.dumps({"oslo.message": json.dumps({"result": None, "_msg_id": "1"})})
    assert rpc.method_of(answer) == rpc.REPLY
    assert rpc.method_of("not JSON") == rpc.method_of("[]") == rpc.REPLY


def test_replies_and_periodic_messages_are_not_counted():
    seen = ["apply", "apply", "report", rpc.REPLY, "report_state"]
    assert rpc.caused(seen, {"report_state", rpc.REPLY}) == {"apply": 2, "report": 1}


def test_resident_memory_is_in_mebibytes():
    assert memory.resident("Name:\tx\nVmRSS:\t  204800 kB\nThreads: 1\n") == 200.0
    assert memory.resident("Name:\tkthreadd\n") == 0.0


def test_processor_time_grows_with_work_and_skips_dead_processes():
    before = cpu.spent([os.getpid()])[os.getpid()]
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert cpu.spent([os.getpid()])[os.getpid()] - before >= 0.05
    assert cpu.spent([2**22 + 1]) == {}


@pytest.mark.parametrize(("chains", "functions"), [(0, 2), (2, 2), (3, 3), (50, 8), (200, 15)])
def test_there_are_enough_ordered_pairs_of_functions(chains, functions):
    assert scene.functions_for(chains) == functions
    orders = list(scene.pairs_of_functions(functions))
    assert len(set(orders)) == len(orders) >= chains
    assert all(first != second for first, second in orders)


def test_numbers_of_chains_are_sorted_and_checked():
    assert command.chain_counts("200,0,50,50") == (0, 50, 200)
    for text in ("", "many", "-1,5"):
        with pytest.raises(argparse.ArgumentTypeError):
            command.chain_counts(text)


def test_the_command_line_becomes_a_plan():
    plan = command.plan_of(command.parser().parse_args(["--chains", "5", "--repeat", "2"]))
    assert (plan.chains, plan.repeat) == ((5,), 2)
    assert command.plan_of(command.parser().parse_args(["--quick"])).chains == (0, 10)

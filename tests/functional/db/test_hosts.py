"""Hosts that say their version to several servers at the same time, on a real MariaDB."""

from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_config import cfg

from portchain.db import hosts, models, snapshots
from portchain.rpc import contract
from tests.full import in_full
from tests.functional.db.at_once import AtOnce
from tests.functional.db.test_api import OnMariaDb
from tests.unit.drivers.test_packet_hosts import (
    FIRST,
    HOSTS,
    NEW,
    OLD,
    SECOND,
    PacketHostsCase,
)

WORKERS = 6


pytestmark = pytest.mark.usefixtures("migrated_url")


class HostRaceTest(AtOnce, OnMariaDb, PacketHostsCase):
    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "flow_classifier"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def ask(self, host: str, version: int) -> Any:
        said = contract.HostKnowledge({}, version)
        return lambda context: self.driver()._sync(context.elevated(), host, said)

    def all_at_once(self, *works: Any) -> None:
        results = self.at_once(*works)
        assert not [one for one in results if isinstance(one, Exception)], results

    def revisions(self, *chains: str) -> set[int]:
        return {each.chain.revision for each in snapshots.load(self.context, chains)}

    def recorded(self) -> tuple[set[str], set[str]]:
        """Return which hosts accept packets, and which ones get them by the last plans."""
        row = models.ChainHost
        with db_api.CONTEXT_READER.using(self.context) as session:
            told = set(session.scalars(sa.select(row.host).where(row.gets_packets.is_(True))))
        facts = hosts.read_facts(self.context, HOSTS)
        return {host for host, one in facts.items() if one.minor_version >= NEW}, told

    def test_servers_that_hear_of_a_version_at_once(self) -> None:
        chains = [self.make_chain(number) for number in (80, 81, 82)]
        for _ in range(2):
            self.all_at_once(*[self.ask(SECOND, NEW)] * WORKERS)
        assert self.revisions(*chains) == {2}
        assert self.recorded() == ({SECOND}, {SECOND})
        self.all_at_once(*[self.ask(SECOND, OLD)] * WORKERS)
        assert self.recorded() == (set(), set())

    def test_hosts_that_are_upgraded_at_once_cost_one_change(self) -> None:
        chains = [self.make_chain(number) for number in (80, 81, 82)]
        asked = [self.ask(host, NEW) for host in (FIRST, SECOND)]
        self.all_at_once(*asked)
        self.all_at_once(*asked * 3)
        assert self.revisions(*chains) == {2}
        assert self.recorded() == ({FIRST, SECOND}, {FIRST, SECOND})

    def test_a_host_is_rolled_back_while_its_chains_change(self) -> None:
        chains = [self.make_chain(number) for number in (80, 81, 82)]
        other = self.create("port_pair_group", port_pairs=[])["id"]

        def set_groups(chain: str, *groups: str) -> Any:
            body = {"port_chain": {"port_pair_groups": groups}}
            return lambda context: self.plugin.update_port_chain(context, chain, body)

        for groups in ([self.group_id, other], [self.group_id]) * in_full(2, 1):
            self.upgrade(FIRST, SECOND)
            self.all_at_once(
                *[set_groups(chain, *groups) for chain in chains],
                *[self.ask(host, OLD) for host in (FIRST, SECOND)],
                lambda context: self.driver().refresh_port_chains(
                    context, snapshots.load(context, chains)
                ),
            )
            # A server may have planned by what another one has replaced. The hosts ask again.
            for host in (FIRST, SECOND):
                self.sync(host, OLD)
            assert self.recorded() == (set(), set())

"""The demo's command lines, in the dialect of either client."""

from portchain_lab.client_dialects import DIALECTS, Match

from tests.unit.cli.test_neutron import SPECIFICATION

FC1 = Match("10.1.0.5/32", "10.1.0.6/32", "100:100", "23:23")


def test_the_neutron_dialect_is_what_the_specification_writes() -> None:
    dialect = DIALECTS["neutron"]
    lines = [
        dialect.port("p1"),
        dialect.classifier("FC1", FC1),
        dialect.pair("PP1", "p1", "p2"),
        dialect.group("PG1", ["PP1", "PP2"]),
        dialect.chain("PC1", ["PG1", "PG2"], ["FC1"]),
    ]
    plain = [one.replace(" 10.1.0.5/32", "").replace(" 10.1.0.6/32", "") for one in lines]
    assert plain == [f"neutron {line}" for line in SPECIFICATION]


def test_the_openstack_dialect_says_the_same() -> None:
    dialect = DIALECTS["openstack"]
    assert dialect.classifier("FC2", Match(FC1.source, FC1.destination, "200:200")) == (
        "openstack sfc flow classifier create --ethertype IPv4 --source-ip-prefix 10.1.0.5/32 "
        "--destination-ip-prefix 10.1.0.6/32 --protocol tcp --destination-port 200:200 FC2"
    )
    assert dialect.chain("PC1", ["PG1"], ["FC1", "FC2"]) == (
        "openstack sfc port chain create --port-pair-group PG1 "
        "--flow-classifier FC1 --flow-classifier FC2 PC1"
    )

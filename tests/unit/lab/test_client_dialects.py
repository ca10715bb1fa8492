"""The demo's commands, in the words of either client."""

from portchain_lab.client_dialects import DIALECTS, Match

from tests.unit.cli.test_neutron import SPECIFICATION

FC1 = Match("10.1.0.5/32", "10.1.0.6/32", "100:100", "23:23")


def test_neutron_is_told_what_the_specification_writes() -> None:
    words = DIALECTS["neutron"]
    said = [
        words.port("p1"),
        words.classifier("FC1", FC1),
        words.pair("PP1", "p1", "p2", ()),
        words.group("PG1", ["PP1", "PP2"]),
        words.chain("PC1", ["PG1", "PG2"], ["FC1"], ()),
    ]
    plain = [one.replace(" 10.1.0.5/32", "").replace(" 10.1.0.6/32", "") for one in said]
    assert plain == [f"neutron {line}" for line in SPECIFICATION]


def test_openstack_is_told_the_same() -> None:
    words = DIALECTS["openstack"]
    assert words.classifier("FC2", Match(FC1.source, FC1.destination, "200:200")) == (
        "openstack sfc flow classifier create --ethertype IPv4 --source-ip-prefix 10.1.0.5/32 "
        "--destination-ip-prefix 10.1.0.6/32 --protocol tcp --destination-port 200:200 FC2"
    )
    both_ways = ["--chain-parameters symmetric=true"]
    assert words.chain("PC1", ["PG1"], ["FC1", "FC2"], both_ways) == (
        "openstack sfc port chain create --port-pair-group PG1 "
        "--flow-classifier FC1 --flow-classifier FC2 --chain-parameters symmetric=true PC1"
    )

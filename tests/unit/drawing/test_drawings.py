"""Pictures of chains: golden files of each format, and names that tenants make up."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.drawing.dot import to_dot
from portchain.drawing.mermaid import to_mermaid
from portchain.drawing.picture import Picture, picture_of
from portchain.drawing.svg import to_svg
from portchain.drawing.text import to_text
from tests.plans import ident

GOLDEN = Path(__file__).parents[2] / "golden" / "drawings"
FORMATS = {"txt": to_text, "svg": to_svg, "dot": to_dot, "mmd": to_mermaid}


def shown(name: str, **attributes: Any) -> dict[str, Any]:
    return {"id": ident(name), "name": name, **attributes}


CHAIN = shown(
    "PC1",
    status="ACTIVE",
    status_reason="",
    port_pair_groups=[ident("PG1"), ident("PG2"), ident("borrowed")],
    flow_classifiers=[ident("FC1")],
    chain_parameters={"symmetric": True},
)
CLASSIFIERS = [
    shown(
        "FC1",
        protocol="tcp",
        source_ip_prefix="10.0.0.10/32",
        source_port_range_min=23,
        source_port_range_max=23,
        destination_ip_prefix="10.0.0.20/32",
        destination_port_range_min=100,
        destination_port_range_max=199,
    )
]
GROUPS = [
    shown("PG1", port_pairs=[ident("PP1"), ident("PP2"), ident("PP3")], health_check="icmp"),
    shown("PG2", port_pairs=[ident("PP4")], failure_mode="open", tap_enabled=True),
]
PAIRS = [
    shown("PP1", service_function_parameters={"weight": 2}),
    shown("PP2", service_function_parameters={"weight": 1}),
    shown("PP3", service_function_parameters={"weight": 1}, backup=True, admin_state_up=False),
    shown("PP4"),
]
STATUSES = {
    "port_chain": shown(
        "PC1",
        operating_status="DEGRADED",
        port_pair_groups=[
            shown(
                "PG1",
                operating_status="DEGRADED",
                port_pairs=[
                    shown("PP1", operating_status="ONLINE", host="compute1"),
                    shown(
                        "PP2",
                        operating_status="ERROR",
                        operating_status_reason="it has not answered 3 probes in a row",
                        host="compute2",
                    ),
                    shown("PP3", operating_status="OFFLINE", host="compute2"),
                ],
            ),
            shown("PG2", operating_status="NO_MONITOR", port_pairs=[]),
        ],
    )
}
STATS = {
    "paths": [
        {
            "direction": "forward",
            "flow_classifiers": [{"id": ident("FC1"), "packets": 1204}],
            "hops": [
                {"port_pairs": [{"id": ident("PP1"), "packets_in": 1204, "packets_out": 1199}]}
            ],
        },
        {
            "direction": "reverse",
            "flow_classifiers": [{"id": ident("FC1"), "packets": 17}],
            "hops": [{"port_pairs": [{"id": ident("PP1"), "packets_in": 17, "packets_out": 16}]}],
        },
    ]
}


def drawn(**more: Any) -> Picture:
    return picture_of(CHAIN, CLASSIFIERS, GROUPS, PAIRS, **more)


PICTURES = {
    "plain": drawn(),
    "with-figures": drawn(statuses=STATUSES, stats=STATS),
    "nothing-visible": picture_of(CHAIN, [], [], []),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", PICTURES)
def test_drawings_look_as_they_did(name: str, suffix: str) -> None:
    """Set GOLDEN_UPDATE=1 to write the files again, and look at them."""
    golden, found = GOLDEN / f"{name}.{suffix}", FORMATS[suffix](PICTURES[name])
    if os.environ.get("GOLDEN_UPDATE"):
        golden.write_text(found)
    assert found == golden.read_text()


def test_a_picture_has_what_the_api_says() -> None:
    picture = PICTURES["with-figures"]
    assert (picture.status, picture.symmetric) == (("ACTIVE", "DEGRADED"), True)
    first, second, borrowed = picture.groups
    assert [pair.title for pair in first.pairs] == ["PP1", "PP2", "PP3"]
    assert first.pairs[0].details == ("on compute1", "weight 2")
    assert first.pairs[0].figures == ("1,204 in 1,199 out", "replies 17 in 16 out")
    assert first.pairs[1].reason == "it has not answered 3 probes in a row"
    assert first.pairs[2].details == ("on compute2", "weight 1", "backup", "switched off")
    assert second.details == ("gets copies", "fails open")
    assert (borrowed.title, borrowed.pairs) == (ident("borrowed")[:8], ())


HOSTILE = '"] end\nclick c0 "javascript:alert(1)" <script>`|{};\\\x1b[2J\x00'
names = st.text(max_size=60) | st.just(HOSTILE)


def named(name: str) -> Picture:
    """A chain whose owner has given everything the same name."""
    return picture_of(
        {**CHAIN, "name": name, "status_reason": name},
        [{**one, "name": name} for one in CLASSIFIERS],
        [{**one, "name": name} for one in GROUPS],
        [{**one, "name": name} for one in PAIRS],
    )


@given(names)
def test_whatever_tenants_call_things_svg_has_their_words_as_text_only(name: str) -> None:
    root = ET.fromstring(to_svg(named(name)))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "rect", "path", "text"}
    assert not any(one.startswith("on") for element in root.iter() for one in element.attrib)


@given(names)
def test_boxes_lead_to_the_pages_of_what_they_show(name: str) -> None:
    root = ET.fromstring(to_svg(named(name), lambda kind, an_id: f"/{kind}/{an_id}/"))
    links = [one for one in root.iter() if one.tag.endswith("}a")]
    assert {link.get("href") for link in links} == {
        *(f"/classifier/{ident(one)}/" for one in ("FC1",)),
        *(f"/group/{ident(one)}/" for one in ("PG1", "PG2", "borrowed")),
        *(f"/pair/{ident(one)}/" for one in ("PP1", "PP2", "PP3", "PP4")),
    }
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "rect", "path", "text", "a"}


def test_a_picture_names_logical_ports_and_gives_the_reason_of_a_group() -> None:
    port = ident("port of the client")
    classifiers = [{**CLASSIFIERS[0], "logical_source_port": port}]
    reason = {"operating_status_reason": {"code": "X", "text": "no pair works"}}
    groups = [{**GROUPS[0], "operating_status": "ERROR", **reason}, GROUPS[1]]
    picture = picture_of(CHAIN, classifiers, groups, PAIRS, ports={port: "client"})
    assert picture.classifiers[0].details[0] == "from client"
    assert ">no pair works<" in to_svg(picture)


@given(names)
def test_whatever_tenants_call_things_terminals_get_letters_only(name: str) -> None:
    assert all(letter.isprintable() or letter == "\n" for letter in to_text(named(name)))


@pytest.mark.parametrize("write", [to_mermaid, to_dot])
@given(name=names)
def test_whatever_tenants_call_things_sources_have_the_same_lines(write: Any, name: str) -> None:
    plain, other = write(named("plain")).splitlines(), write(named(name)).splitlines()
    assert [line.partition('"')[0] for line in other] == [line.partition('"')[0] for line in plain]
    for line in other:
        assert line.replace('\\"', "").count('"') % 2 == 0


@pytest.mark.parametrize("name", PICTURES)
def test_graphviz_draws_it(name: str) -> None:
    picture = replace(PICTURES[name], title=HOSTILE.replace("\x00", ""))
    argv = ["dot", "-Tjson"]
    done = subprocess.run(argv, input=to_dot(picture), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["name"] == "chain"

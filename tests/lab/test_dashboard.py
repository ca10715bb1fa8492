"""Horizon with the panel: a person makes a chain, sees what it does, and what is wrong with it.

Screenshots of each step are in ``test-results/screenshots``.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.cloud import horizon
from portchain_lab.lab import Lab

from tests.lab.browser import Browser, browser
from tests.lab.captures import Captures
from tests.lab.labs import DEFAULT, Labs
from tests.lab.workflow import Workflow

PANEL = "project/port_chains/"
KINDS = ("service_graph", "port_chain", "port_pair_group", "port_pair", "flow_classifier")
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PORT = 80
ERROR = "#c62828"


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get(**DEFAULT, dashboard=True)


@pytest.fixture(scope="module")
def session(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(horizon.url(lab.layout), tmp_path_factory.mktemp("profile")) as opened:
        opened.log_in("demo")
        opened.wait_for_address(PANEL)
        yield opened


@pytest.fixture
def page(session: Browser) -> Iterator[Browser]:
    yield session
    assert session.hosts() <= {"127.0.0.1"}
    # A request that is refused shows its reason on the page, and in the browser's log.
    assert [one for one in session.complaints() if "Failed to load" not in one] == []


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    booted.captures = captures
    yield booted
    for kind in KINDS:
        for one in resources(booted, kind):
            answer = booted.cloud.delete(f"/sfc/{kind}s/{one['id']}")
            assert answer.status_code == 204, answer.text


def resources(workflow: Workflow, kind: str) -> list[dict[str, Any]]:
    return list(workflow.cloud.get(f"/sfc/{kind}s").json()[f"{kind}s"])


def way(workflow: Workflow, ingress: str, egress: str) -> str:
    """The label of a way through a machine."""
    ends = (f"{name} ({workflow.address(name)})" for name in (ingress, egress))
    return "{} in, {} out".format(*ends)


def fill_wizard(
    page: Browser, workflow: Workflow, *ways: tuple[str, str], name: str = "web"
) -> None:
    page.open(f"{PANEL}wizard/")
    page.type("name", name)
    page.type("protocol", "tcp")
    page.choose("logical_source_port", "src")
    page.type("destination_ip_prefix", f"{workflow.address('dst')}/32")
    page.type("destination_ports", str(PORT))
    for one in ways:
        page.add("functions", way(workflow, *one))


def make_chain(page: Browser, workflow: Workflow, *ways: tuple[str, str]) -> str:
    """Make a chain whose functions are checked, with the wizard; return its id."""
    fill_wizard(page, workflow, *ways)
    page.choose("health_check", "ICMP")
    page.keep("wizard")
    page.send()
    address = page.wait_for_address(f"{PANEL}chain/{UUID}/")
    return address.rstrip("/").rpartition("/")[2]


def test_only_who_knows_the_password_gets_in(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with browser(horizon.url(lab.layout), tmp_path_factory.mktemp("profile")) as page:
        page.log_in("demo", "wrong")
        page.wait_for_text("Invalid credentials")
        page.log_in("demo")
        page.wait_for_address(PANEL)
        page.wait_for_text("Port Chains", "No items to display")
        page.keep("empty-list")
        assert page.hosts() <= {"127.0.0.1"}


def test_the_wizard_makes_a_chain_and_the_picture_shows_its_packets(
    page: Browser, workflow: Workflow
) -> None:
    chain = make_chain(page, workflow, ("p3", "p4"), ("p1", "p2"))
    page.until(lambda: page.text.count("ONLINE") > 4, "both functions to be ONLINE")
    assert [len(resources(workflow, kind)) for kind in KINDS] == [0, 1, 2, 2, 1]
    workflow.wait_status({"id": chain, "name": "web"})
    there = ("src", "p3", "p4", "p1", "p2", "dst")
    found = workflow.connect(PORT, 3, answered={there[::-1]})
    assert {one.path for one in found} == {there}

    # Each connection has some packets in each direction.
    picture = page.until(counted(page), "counters of both functions")
    assert {"web-traffic", "web-function1", "web-function2", "on h1", "on h2"} <= picture
    page.keep("picture")
    page.click(".portchain-svg a[href*='/pair/']", "web-function2")
    page.wait_for_address(f"{PANEL}pair/{UUID}/")
    page.wait_for_text("web-function2")
    page.keep("details")


def counted(page: Browser) -> Any:
    """Return a check that returns the words of a picture once no function counts 0 packets."""

    def words() -> set[str] | None:
        shown = {one.text for one in page.all(".portchain-svg text")}
        counts = [one for one in shown if re.fullmatch(r"[1-9][\d,]* in [1-9][\d,]* out", one)]
        return shown if counts and "0 in 0 out" not in shown else None

    return words


def test_the_picture_says_which_function_fails(page: Browser, workflow: Workflow) -> None:
    make_chain(page, workflow, ("p1", "p2"), ("p3", "p4"))
    page.until(lambda: page.text.count("ONLINE") > 4, "both functions to be ONLINE")
    with workflow.lab.vms.hung(workflow.vms["sf2"]):
        page.wait_for_text("ERROR", "probes")
        failed = [
            link for link in page.all(".portchain-svg a[href*='/pair/']") if "ERROR" in link.text
        ]
        assert len(failed) == 1
        assert "web-function2" in failed[0].text
        frames = failed[0].find_elements("css selector", "rect")
        assert frames[0].get_attribute("stroke") == ERROR
        page.keep("failure")
        page.open(PANEL)
        page.wait_for_text("ERROR")
        page.keep("list-failure")
        page.driver.back()
    page.until(
        lambda: page.text.count("ONLINE") > 4 and "ERROR" not in page.text,
        "the function to be back",
    )


def test_a_step_that_is_refused_leaves_nothing_but_what_was_typed(
    page: Browser, workflow: Workflow
) -> None:
    # What the first function returns at p2, the second would take there again.
    fill_wizard(page, workflow, ("p1", "p2"), ("p2", "p1"), name="loop")
    page.send()
    said = page.one(".alert-danger").text
    assert said.startswith("The port chain cannot be created: ")
    assert "packets leave port pair loop-function1" in said
    assert said.endswith("Nothing was left behind.")
    assert [len(resources(workflow, kind)) for kind in KINDS] == [0, 0, 0, 0, 0]
    assert [page.value(name) for name in ("name", "protocol", "destination_ports")] == [
        *("loop", "tcp", str(PORT))
    ]
    assert [one.text for one in page.all(".portchain-order li > span")] == [
        way(workflow, "p1", "p2"),
        way(workflow, "p2", "p1"),
    ]
    page.keep("refused")


def test_what_the_api_refuses_stays_in_the_form(page: Browser, workflow: Workflow) -> None:
    page.open(f"{PANEL}?tab=port_chains__pairs")
    page.click("#pairs .btn-create")
    page.type("name", "across")
    page.choose("ingress", "p1")
    page.choose("egress", "p3")  # of another machine
    page.send()
    assert "device" in page.one(".modal .alert-danger").text
    assert page.value("name") == "across"
    page.keep("refused-pair")
    page.choose("egress", "p2")
    page.send()
    page.one("#pairs tbody td", "across")
    (pair,) = resources(workflow, "port_pair")
    assert (pair["ingress"], pair["egress"]) == tuple(
        workflow.ports[name].id for name in ("p1", "p2")
    )


def test_what_a_form_refuses_is_said_at_its_field(page: Browser, workflow: Workflow) -> None:
    page.open(f"{PANEL}classifier/create/")
    page.type("name", "odd")
    page.type("destination_ports", "http")
    page.send()
    page.wait_for_text("'http' is neither a number nor a range such as 8000-8080")
    assert (page.value("name"), page.value("destination_ports")) == ("odd", "http")
    assert resources(workflow, "flow_classifier") == []


def test_each_resource_is_created_changed_and_deleted_by_hand(
    page: Browser, workflow: Workflow
) -> None:
    create(page, "pair", "PP", lambda: [page.choose("ingress", "p1"), page.choose("egress", "p2")])
    create(page, "pair", "PQ", lambda: [page.choose("ingress", "p3"), page.choose("egress", "p4")])
    create(page, "group", "PG", lambda: page.add("port_pairs", "PP"))
    create(page, "group", "PH", lambda: page.add("port_pairs", "PQ"))
    create(page, "classifier", "FC", lambda: page.type("source_ip_prefix", "10.0.0.0/24"))
    create(page, "classifier", "FD", lambda: page.type("source_ip_prefix", "10.0.1.0/24"))
    for name, group, classifier in (("PC", "PG", "FC"), ("PD", "PH", "FD")):
        create(
            page,
            "chain",
            name,
            lambda g=group, c=classifier: [  # type: ignore[misc]
                page.add("port_pair_groups", g),
                page.add("flow_classifiers", c),
            ],
        )
    create(
        page,
        "graph",
        "SG",
        lambda: [page.choose("port_chains_from", "PC"), page.choose("port_chains_to", "PD")],
    )
    chains = {one["name"]: one["id"] for one in resources(workflow, "port_chain")}
    (graph,) = resources(workflow, "service_graph")
    assert graph["port_chains"] == {chains["PC"]: [chains["PD"]]}
    page.keep("graphs")

    groups = {one["name"]: one for one in resources(workflow, "port_pair_group")}
    page.open(f"{PANEL}group/{groups['PG']['id']}/update/")
    page.choose("health_check", "ICMP")
    page.type("delay", "0.5")
    page.choose("failure_mode", "Drop")
    page.send()
    page.wait_for_address(rf"{PANEL}\?tab=port_chains__groups")
    changed = workflow.cloud.get(f"/sfc/port_pair_groups/{groups['PG']['id']}").json()
    shown = changed["port_pair_group"]
    assert shown["health_check"] == "icmp"
    assert shown["health_check_parameters"]["delay"] == 0.5
    assert shown["health_check_parameters"]["max_retries"] == 3

    delete(page, "group", "PG")
    page.wait_for_text("in use")  # the API's own words
    assert len(resources(workflow, "port_pair_group")) == 2
    delete(page, "graph", "SG")
    page.wait_for_text("Deleted Service Graph: SG")
    assert resources(workflow, "service_graph") == []


def create(page: Browser, slug: str, name: str, fill: Any) -> None:
    page.open(f"{PANEL}{slug}/create/")
    page.type("name", name)
    fill()
    page.send()
    page.wait_for_address(rf"{PANEL}({slug}/{UUID}/|\?tab=port_chains__{slug}s)")
    page.wait_for_text(name)


def delete(page: Browser, slug: str, name: str) -> None:
    page.open(f"{PANEL}?tab=port_chains__{slug}s")
    row = next(one for one in page.all(f"#{slug}s tbody tr") if name in one.text)
    row.find_element("css selector", ".dropdown-toggle").click()
    page.click(
        f"#{slug}s tbody .btn-danger, #{slug}s tbody .dropdown-menu .data-table-action", "Delete"
    )
    page.click(".modal .btn-danger, .modal .btn-primary", "Delete")


def test_a_group_is_shared_and_taken_back(page: Browser, workflow: Workflow) -> None:
    create(page, "group", "offer", lambda: None)
    (group,) = resources(workflow, "port_pair_group")
    project = workflow.lab.sdk("admin").current_project_id
    page.open(f"{PANEL}group/{group['id']}/share/")
    page.send()
    page.wait_for_text("Give the ID of a project, or choose all projects.")
    page.type("project", project)
    page.send()
    page.wait_for_address(f"{PANEL}group/{group['id']}/")
    page.wait_for_text("Shared with", project)
    page.keep("sharing")
    found = list(workflow.cloud.rbac_policies(object_id=group["id"]))
    assert [one.target_project_id for one in found] == [project]
    page.click(".portchain-unshare")
    page.wait_for_text("Nobody: only this project uses the group.")
    assert list(workflow.cloud.rbac_policies(object_id=group["id"])) == []


def test_a_packet_is_traced_from_the_page_of_its_chain(page: Browser, workflow: Workflow) -> None:
    chain = make_chain(page, workflow, ("p1", "p2"))
    workflow.wait_status({"id": chain, "name": "web"})
    page.click(".detail-actions .dropdown-toggle")
    page.click(".detail-actions a", "Trace a Packet")
    # What the classifier says is filled in.
    assert page.value("destination_ip_address") == workflow.address("dst")
    assert page.value("destination_port") == str(PORT)
    page.send()
    page.wait_for_address(f"{PANEL}trace/{UUID}/")
    said = page.wait_for_text("DELIVERED", "CLASSIFIED", "RETURNED")
    assert said.index("CLASSIFIED") < said.index("RETURNED")
    page.keep("trace")

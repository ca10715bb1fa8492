"""Requests generated from the OpenAPI document, valid and invalid, against the running API.

PORTCHAIN_EXAMPLES sets how many requests there are for each operation and mode.
"""

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from portchain_lab import layout
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portchain.api import openapi
from tests.full import FULL
from tests.stateful import EXPLORE

EXAMPLES = int(os.environ.get("PORTCHAIN_EXAMPLES", "60" if FULL else "5"))
SEQUENCES = 60
"""With fewer sequences of requests, none may change what it has created."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
SCHEMA = schemathesis.openapi.from_dict(openapi.document())
URL = f"{layout.NEUTRON_URL}/v2.0"
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}


def clear(lab: Lab) -> None:
    """Delete what the requests may have created: no pairs, whose ports they cannot guess."""
    network = lab.sdk("demo").network
    for plural in ("service_graphs", "port_chains", "port_pair_groups", "flow_classifiers"):
        for one in network.get(f"/sfc/{plural}").json()[plural]:
            network.delete(f"/sfc/{plural}/{one['id']}")


@pytest.fixture
def existing(lab: Lab) -> Iterator[dict[str, str]]:
    """Ids by plural, of resources that need no other resource; deleted afterwards."""
    network = lab.sdk("demo").network
    clear(lab)
    made = {}
    for name, body in (("flow_classifier", {"protocol": "ah"}), ("port_pair_group", {})):
        answer = network.post(f"/sfc/{name}s", json={name: body})
        made[f"{name}s"] = answer.json()[name]["id"]
    yield made
    clear(lab)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_answers_are_as_described(
    lab: Lab, existing: dict[str, str], label: str, mode: GenerationMode
) -> None:
    session, token = clients.http_session(lab.layout), lab.sdk("demo").auth_token
    an_id = existing.get(label.split("/")[2], str(uuid.uuid4()))
    answers: Counter[int] = Counter()

    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=not EXPLORE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        if "id" in case.path_parameters:
            case.path_parameters["id"] = an_id
        case.headers["X-Auth-Token"] = token
        response = case.call(base_url=URL, session=session)
        answers[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    send()
    print(label, mode.value, dict(answers))


def test_created_resources_can_be_shown_changed_and_deleted(
    lab: Lab, existing: dict[str, str]
) -> None:
    """Sequences of requests that use what earlier ones created, by the document's links."""
    session, token = clients.http_session(lab.layout), lab.sdk("demo").auth_token
    answers: Counter[tuple[str, int]] = Counter()

    # The other resources need ids that no request can guess.
    right = schemathesis.openapi.from_dict(openapi.document()).include(
        path_regex="flow_classifiers|port_pair_groups"
    )
    right.config.generation.update(modes=[GenerationMode.POSITIVE])

    class Rows(right.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": URL, "session": session, "headers": {"X-Auth-Token": token}}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            answers[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        def teardown(self) -> None:
            clear(lab)  # otherwise the quota is soon reached

    Rows.run(
        settings=settings(
            max_examples=max(SEQUENCES, 2 * EXAMPLES),
            derandomize=not EXPLORE,
            stateful_step_count=10,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    for (label, status), count in sorted(answers.items()):
        print(label, status, count)
    for verb, status in (("GET", 200), ("PUT", 200), ("DELETE", 204)):
        found = (
            count
            for (label, code), count in answers.items()
            if (label[:3], code) == (verb[:3], status) and "{" in label
        )
        assert any(found), verb

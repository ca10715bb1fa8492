"""Users can ask for every kind of service function."""

import pytest

from portchain.api import openapi
from portchain.core.function_kinds import FUNCTION_KINDS, FunctionTraits


@pytest.mark.parametrize("kind", FUNCTION_KINDS, ids=lambda kind: kind.name)
def test_a_port_pair_can_declare_the_kind(kind: FunctionTraits) -> None:
    pair = openapi.document()["components"]["schemas"]["port_pair"]["properties"]
    parameters = pair["service_function_parameters"]["properties"]
    assert kind.function_kind in pair["function_kind"]["enum"]
    assert kind.correlation in parameters["correlation"]["enum"]

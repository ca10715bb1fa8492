"""Which Erlang applications RabbitMQ needs."""

from portchain_lab.cloud.broker import needed_applications

RESOURCES = {
    "rabbit": "{application, rabbit, [{applications, [kernel,\n  stdlib, ranch,\n  'ra']}]}.",
    "rabbitmq_prelaunch": "{application, x, [{applications, [kernel]},{modules, [a]}]}.",
    "ranch": "{application, ranch, [{included_applications, [bark]}, {applications, []}]}.",
    "ra": "{application, ra, [{optional_applications, [gen]}, {applications, [ranch]}]}.",
    "gen": "{application, gen, [{applications, [rabbit]}]}.",
    "bark": "{application, bark, []}.",
    "rabbitmq_management": "{application, m, [{applications, [rabbit, cowboy]}]}.",
    "cowboy": "{application, cowboy, [{applications, [ranch]}]}.",
}


def test_applications_are_those_that_rabbitmq_needs_in_turn_and_no_plugin() -> None:
    expected = {"rabbit", "rabbitmq_prelaunch", "ranch", "ra", "gen", "bark"}
    assert needed_applications(RESOURCES) == expected

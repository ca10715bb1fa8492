"""The switch of the tests."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.vswitch import Vswitch


@pytest.fixture(autouse=True)
def bridge(vswitch: Vswitch) -> None:
    vswitch.run("ovs-vsctl", "add-br", "br", "--", "set", "bridge", "br", "datapath_type=dummy")


def test_threads_get_the_answers_to_their_own_commands(vswitch: Vswitch) -> None:
    def ask(number: int) -> list[str]:
        return [vswitch.appctl("list-commands" if number else "version") for _ in range(300)]

    control = [set(ask(number)) for number in (0, 1)]
    with ThreadPoolExecutor(2) as threads:
        assert [set(answers) for answers in threads.map(ask, (0, 1))] == control


def test_a_failed_command_leaves_no_answers_to_the_next(vswitch: Vswitch) -> None:
    control = vswitch._connected()
    with pytest.raises(AssertionError, match="dpif/show"):
        control.transact("dpif/show", ["nowhere"], times=3)
    assert "Open vSwitch" in control.transact("version")

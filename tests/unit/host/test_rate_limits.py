"""Whether chains' packets visit Neutron's rate limits is decided by the agent's configuration."""

import pytest
from oslo_config import cfg

from portchain.host.open_vswitch import configured_rate_limits


@pytest.mark.parametrize(
    ("extensions", "limited"),
    [([], False), (["port_chain"], False), (["qos", "port_chain"], True)],
)
def test_rate_limits_are_those_of_the_extension_qos(extensions, limited):
    configured_rate_limits()  # registers the option
    cfg.CONF.set_override("extensions", extensions, "agent")
    try:
        assert configured_rate_limits() is limited
    finally:
        cfg.CONF.clear_override("extensions", "agent")

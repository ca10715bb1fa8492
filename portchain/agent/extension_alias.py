"""The agent extension under networking-sfc's name ``sfc``.

As in `portchain.plugin_alias`, the import fails beside networking-sfc: of two extensions with one
name, the agent would load the one that it happens to find last.
"""

from typing import Any

from neutron_lib.agent import l2_extension
from oslo_config import cfg
from oslo_log import log

from portchain import coexistence

coexistence.refuse()

from portchain.agent.extension import PortChainAgentExtension  # noqa: E402

LOG = log.getLogger(__name__)


class _NoExtension(l2_extension.L2AgentExtension):
    """Does nothing."""

    def initialize(self, connection: Any, driver_type: str) -> None: ...

    def handle_port(self, context: Any, data: dict[str, Any]) -> None: ...

    def delete_port(self, context: Any, data: dict[str, Any]) -> None: ...


def agent_extension() -> l2_extension.L2AgentExtension:
    """Return the extension, or one that does nothing if ``extensions`` has its own name as well.

    The agent makes one object for each configured name, and two would program one switch.
    """
    if "port_chain" in cfg.CONF.agent.extensions:
        LOG.warning(
            "[agent] extensions has both port_chain and sfc, which are names of one extension; sfc "
            "is ignored"
        )
        return _NoExtension()
    return PortChainAgentExtension()

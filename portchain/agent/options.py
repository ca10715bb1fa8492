"""Options of the agent extension."""

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.host.options import HOST_OPTS

AGENT_OPTS: list[cfg.Opt] = [*HOST_OPTS]


def register_agent_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Register the agent extension's options; may be called more than once."""
    conf.register_opts(AGENT_OPTS, GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the agent extension's options for oslo-config-generator."""
    return [(GROUP, AGENT_OPTS)]

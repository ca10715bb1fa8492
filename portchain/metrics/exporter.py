"""Serves ``/metrics`` with the client library of Prometheus."""

import re
from wsgiref.simple_server import WSGIServer

import prometheus_client
from oslo_config import cfg
from oslo_log import log
from prometheus_client.registry import Collector, CollectorRegistry

from portchain.conf import GROUP
from portchain.metrics.options import METRICS_OPTS

LOG = log.getLogger(__name__)

_ADDRESS = re.compile(r"\[?(?P<host>.*?)\]?:(?P<port>\d{1,5})", re.ASCII)


def serve(*collectors: Collector, conf: cfg.ConfigOpts = cfg.CONF) -> list[WSGIServer]:
    """Serve what collectors collect at each request, if the exporter is enabled.

    An address that cannot be used is logged: the program has more important things to do.

    :returns: the servers, whose threads end with the process.
    :raises ValueError: an address is malformed. ``cfg.RequiredOptError``: TLS lacks a file.
    """
    conf.register_opts(METRICS_OPTS, GROUP)
    options = conf[GROUP]
    if not options.enable_prometheus_exporter:
        return []
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    tls = {}
    if options.prometheus_tls_enable:
        for name in ("certfile", "keyfile"):
            tls[name] = options[f"prometheus_tls_{name}"]
            if not tls[name]:
                raise cfg.RequiredOptError(f"prometheus_tls_{name}", cfg.OptGroup(GROUP))
    servers = []
    for text in options.prometheus_listen_addresses:
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(f"prometheus_listen_addresses: {text!r} is not HOST:PORT")
        host, port = found["host"], int(found["port"])
        try:
            server, _ = prometheus_client.start_http_server(port, host, registry, **tls)
        except OSError as exc:
            LOG.error("Cannot serve figures for Prometheus at %s: %s", text, exc)
            continue
        servers.append(server)
        LOG.info("Serving figures for Prometheus at %s", text)
    return servers

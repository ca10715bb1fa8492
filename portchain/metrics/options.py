"""Options of the programs that serve ``/metrics``, named as Ceilometer's."""

from oslo_config import cfg

METRICS_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enable_prometheus_exporter",
        default=False,
        help="Whether this program serves figures for Prometheus at /metrics. On the server, "
        "neutron-periodic-workers does.",
    ),
    cfg.ListOpt(
        "prometheus_listen_addresses",
        default=["127.0.0.1:9105"],
        help="Addresses and TCP ports at which it serves them, such as 192.0.2.11:9105 or "
        "[2001:db8::11]:9105. Nobody has to log in there, so let only Prometheus reach them. "
        "Programs on one machine need different ports.",
    ),
    cfg.BoolOpt(
        "prometheus_tls_enable",
        default=False,
        help="Whether it serves them with TLS.",
    ),
    cfg.StrOpt("prometheus_tls_certfile", help="PEM file with the certificate for TLS."),
    cfg.StrOpt("prometheus_tls_keyfile", help="PEM file with the private key for TLS."),
]

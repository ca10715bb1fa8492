"""Addresses of a host's database and bridges, and the TLS files for connections to them."""

import contextlib
import socket
from dataclasses import dataclass

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.ovsdb import tls

_CONNECT_SECONDS = 1.0
"""The server waits for an answer half a second longer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Addresses and options by which the controller reaches one host.

    :param address: the host's IP address.
    :param database_port: TCP port of the Open vSwitch database.
    :param first_port: TCP port of br-int for OpenFlow; the other bridges have the ports after it.
    :param timeout: seconds to wait for an answer.
    :param tls_options: options of ovs-ofctl that name the key and the certificates; empty without
        SSL.
    """

    address: str
    database_port: int
    first_port: int
    timeout: int
    tls_options: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """Address of the database in the notation of ovsdb(7), e.g. ``tcp:192.0.2.1:6640``."""
        return self._remote(self.database_port)

    def bridge(self, index: int) -> str:
        """Return the address of a bridge in the notation of ovs-ofctl(8).

        :param index: position of the bridge in ``portchain.controller.switch.configured_bridges``.
        """
        return self._remote(self.first_port + index)

    def listener(self, index: int) -> str:
        """Return the value of the bridge's column ``controller`` that makes it listen there."""
        return f"p{self._protocol}:{self.first_port + index}:{self._host}"

    def is_there(self) -> bool:
        """Ask whether the host accepts a connection to its database: one without power does not."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, self.database_port), _CONNECT_SECONDS),
        ):
            return True
        return False

    @property
    def _protocol(self) -> str:
        return "ssl" if self.tls_options else "tcp"

    @property
    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def _remote(self, port: int) -> str:
        return f"{self._protocol}:{self._host}:{port}"


def configured_endpoints(hosts: str = "openflow_hosts") -> dict[str, Endpoint]:
    """Return host -> endpoint.

    :param hosts: the option that names the hosts with their addresses.
    :raises RequiredOptError: as ``configure_tls``.
    """
    options, tls_options = cfg.CONF[GROUP], configure_tls()
    return {
        host: Endpoint(
            address,
            options.openflow_database_port,
            options.openflow_port,
            options.openflow_timeout,
            tls_options,
        )
        for host, address in options[hosts].items()
    }


def configure_tls() -> tuple[str, ...]:
    """Use the configured key and certificates for all connections to databases.

    :returns: the options of ovs-ofctl for the same files; empty if none is configured.
    :raises RequiredOptError: of oslo.config, if some of the three files are configured and others
        not.
    """
    options = cfg.CONF[GROUP]
    files = {name: options[f"openflow_{name}"] for name in tls.FILES}
    if not any(files.values()):
        return ()
    for name, path in files.items():
        if not path:
            raise cfg.RequiredOptError(f"openflow_{name}", cfg.OptGroup(GROUP))
    tls.use_files(files)
    return tuple(f"--{name.replace('_', '-')}={path}" for name, path in files.items())

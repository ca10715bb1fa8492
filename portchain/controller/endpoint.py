"""Where a host's switch and its database are, and what a connection to them takes."""

from dataclasses import dataclass

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.ovsdb import tls


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How one host is reached.

    :param address: IP address.
    :param database_port: where the switch's database listens; ``first_port``: where br-int shall.
    :param timeout: seconds to wait for an answer.
    :param keys: options of ovs-ofctl that name the files of key and certificates; empty without SSL.
    """

    address: str
    database_port: int
    first_port: int
    timeout: int
    keys: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """Connection to the database, in the notation of ovsdb(7)."""
        return self._connection(self.database_port)

    def switch(self, index: int) -> str:
        """Connection to a bridge.

        :param index: of the bridge, from 0.
        """
        return self._connection(self.first_port + index)

    def listener(self, index: int) -> str:
        """What such a connection reaches, as a bridge's ``controller`` in the database."""
        return f"p{self._protocol}:{self.first_port + index}:{self._host}"

    @property
    def _protocol(self) -> str:
        return "ssl" if self.keys else "tcp"

    @property
    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def _connection(self, port: int) -> str:
        return f"{self._protocol}:{self._host}:{port}"


def configured() -> dict[str, Endpoint]:
    """Return host -> how it is reached, by the options."""
    options, keys = cfg.CONF[GROUP], use_keys()
    return {
        host: Endpoint(
            address,
            options.openflow_database_port,
            options.openflow_port,
            options.openflow_timeout,
            keys,
        )
        for host, address in options.openflow_hosts.items()
    }


def use_keys() -> tuple[str, ...]:
    """Tell the ovs library of the files of key and certificates, of which it has one set for the whole process.

    :returns: the same as options of ovs-ofctl; empty without SSL.
    :raises RequiredOptError: of oslo.config, when one of the files is named and another is not.
    """
    options = cfg.CONF[GROUP]
    named = {name: options[f"openflow_{name}"] for name in tls.SETTERS}
    if not any(named.values()):
        return ()
    for name, use in tls.SETTERS.items():
        if not named[name]:
            raise cfg.RequiredOptError(f"openflow_{name}", cfg.OptGroup(GROUP))
        use(named[name])
    return tuple(f"--{name.replace('_', '-')}={file}" for name, file in named.items())

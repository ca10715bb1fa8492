"""Key and certificates for SSL connections to databases."""

from collections.abc import Callable, Mapping

from ovs import stream

_in_use: dict[str, str] = {}
_SETTERS: Mapping[str, Callable[[str], None]] = {
    "private_key": stream.Stream.ssl_set_private_key_file,
    "certificate": stream.Stream.ssl_set_certificate_file,
    "ca_cert": stream.Stream.ssl_set_ca_cert_file,
}

FILES = tuple(_SETTERS)
"""Names of the files that an SSL connection needs, as ovsdb-server and ovs-ofctl call them."""


def use_files(files: Mapping[str, str | None]) -> None:
    """Use a key and certificates for all SSL connections of this process.

    The ovs library has one set of files for the process: the last call decides.

    :param files: name, one of ``FILES`` -> path. A file without a path stays as it was set before.
    """
    for name, path in files.items():
        if path:
            _SETTERS[name](path)
            _in_use[name] = path


def files_in_use() -> Mapping[str, str]:
    """Return the files that SSL connections of this process use: name -> path."""
    return dict(_in_use)

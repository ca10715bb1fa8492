"""The ovs library's keys for SSL connections to databases: one set for the whole process."""

from collections.abc import Callable, Mapping

from ovs import stream

SETTERS: Mapping[str, Callable[[str], None]] = {
    "private_key": stream.Stream.ssl_set_private_key_file,
    "certificate": stream.Stream.ssl_set_certificate_file,
    "ca_cert": stream.Stream.ssl_set_ca_cert_file,
}
"""What ends the name of an option that names a file -> what tells the library of the file."""

"""Refuses to work in one environment with networking-sfc.

Both packages serve the same API, register the same policies and quotas, and have entry points with
the same names. Nobody can tell which of two entry points with one name a program loads.
"""

from importlib import metadata

OTHER_PACKAGE = "networking-sfc"


class OtherPackageInstalledError(ImportError):
    """networking-sfc is installed in the same environment.

    An `ImportError`, because Neutron passes its text on when it cannot load a plugin.
    """

    def __init__(self, version: str) -> None:
        super().__init__(
            f"{OTHER_PACKAGE} {version} is installed beside neutron-portchain. Both serve the same "
            f"API and have entry points with the same names: uninstall one of them ({OTHER_PACKAGE}"
            ", if port chains are to be served by neutron-portchain)"
        )


def other_version() -> str | None:
    """Return the version of networking-sfc in this environment, or None."""
    try:
        return metadata.version(OTHER_PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def refuse() -> None:
    """Raise an exception if networking-sfc is installed.

    :raises OtherPackageInstalledError: it is.
    """
    if (version := other_version()) is not None:
        raise OtherPackageInstalledError(version)

"""One colour for each status, as hosts of pages and pictures know them."""

_COLOURS = {
    "ONLINE": "#2e7d32",
    "ACTIVE": "#2e7d32",
    "NO_MONITOR": "#546e7a",
    "DRAINING": "#b26a00",
    "DEGRADED": "#b26a00",
    "BUILD": "#b26a00",
    "OFFLINE": "#9e9e9e",
    "DOWN": "#c62828",
    "ERROR": "#c62828",
}
_UNKNOWN = "#546e7a"


def colour_of(status: str) -> str:
    """Return the colour of a status, ``#rrggbb``."""
    return _COLOURS.get(status, _UNKNOWN)

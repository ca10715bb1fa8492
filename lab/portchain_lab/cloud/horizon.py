"""Horizon with the panel of neutron-portchain: installed on demand, configured, started.

It has a virtual environment of its own in the lab's cache, because its dependencies are not
Neutron's. Versions are those of ``dashboard/constraints.txt``. The panel itself is not installed:
Horizon loads it from the folder ``dashboard`` of the source, so that a lab shows what is written
there.
"""

import http.client
import importlib.util
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from portchain_lab import layout
from portchain_lab.cloud import environments
from portchain_lab.errors import LabError
from portchain_lab.file_lock import locked
from portchain_lab.hosts import netns, probes
from portchain_lab.hosts.processes import ProcessSpec, Program
from portchain_lab.progress import Progress

NAME = "horizon"
PACKAGES = ("horizon", "waitress", "whitenoise")
LOOPBACK = "127.0.0.1"
START = "/project/port_chains/"
"""The first page after the log-in: Horizon's own first page needs Nova."""
SERVER = Path(__file__).with_name("horizon_server.py")
"""Not imported: it needs Horizon's virtual environment."""
_PANEL = "portchain_dashboard"
_SETTINGS = "openstack_dashboard.settings"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the panel's source is.

    :param folder: of the distribution.
    """

    folder: Path

    @classmethod
    def find(cls) -> "Source":
        """Find the panel beside this package.

        :raises LabError: it is not installed from a folder with its constraints.
        """
        spec = importlib.util.find_spec(_PANEL)
        folder = Path(spec.origin).parents[1] if spec and spec.origin else None
        if folder is None or not (folder / "constraints.txt").exists():
            msg = (
                "--dashboard needs the source of the panel: in a copy of neutron-portchain's "
                "repository, run pip install --no-deps -e ./dashboard"
            )
            raise LabError(msg)
        return cls(folder)

    @property
    def constraints(self) -> Path:
        """The versions of Horizon and of all that it needs."""
        return self.folder / "constraints.txt"

    @property
    def environment(self) -> Path:
        """Where Horizon is installed for these versions."""
        return environments.place(NAME, PACKAGES, self.constraints)

    @property
    def python(self) -> str:
        """The interpreter of Horizon's environment."""
        return str(self.environment / "bin" / "python")

    @property
    def static(self) -> Path:
        """The files that browsers load."""
        return self.environment / "static"


def install(report: Progress) -> None:
    """Install Horizon if it is not in the cache.

    :param report: receives a line before it is installed, which takes a minute or two.
    :raises LabError: pip or Horizon fails; the message has the end of what it printed.
    """
    source = Source.find()
    environments.install(NAME, PACKAGES, report, source.constraints)
    complete = source.environment / "static-complete"
    with locked(source.environment.with_suffix(".lock")):
        if not complete.exists():
            report("Horizon is installed; preparing its static files")
            _prepare_static_files(source)
            complete.touch()


def _prepare_static_files(source: Source) -> None:
    write_settings(source.environment, source)
    for command in (("collectstatic", "--no-input"), ("compress", "--force")):
        environments.run(
            [source.python, "-m", "django", *command, "--verbosity=0"],
            _environment(source.environment, source),
        )


def directory(lab: layout.Layout) -> Path:
    """The folder of a lab's Horizon: its settings, and the port that it listens on."""
    return lab.directory / NAME


def write_files(lab: layout.Layout) -> None:
    """Write the settings of a lab's Horizon."""
    write_settings(directory(lab), Source.find())


def write_settings(place: Path, source: Source) -> None:
    """Write the package ``local``, from which Horizon's settings import what is not the default.

    :param place: its parent directory.
    """
    package = place / "local"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    text = settings(source.folder / _PANEL / "enabled", source.static, secrets.token_hex(32))
    (package / "local_settings.py").write_text(text)


def settings(enabled: Path, static: Path, key: str) -> str:
    """Horizon's ``local_settings.py``.

    :param enabled: the folder with the file that adds the panel; clouds copy that file.
    :param key: signs cookies.
    """
    return f"""\
import openstack_dashboard.local.enabled

openstack_dashboard.local.enabled.__path__.append({str(enabled)!r})
ALLOWED_HOSTS = [{LOOPBACK!r}, "localhost"]
COMPRESS_OFFLINE = True
STATIC_ROOT = {str(static)!r}
SECRET_KEY = {key!r}
OPENSTACK_KEYSTONE_URL = {layout.KEYSTONE_URL!r}
LOGIN_REDIRECT_URL = {START!r}
TIME_ZONE = "UTC"
# One process serves all pages, so its memory is cache enough.
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}}}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
LOGGING = {{
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {{"line": {{"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}}}},
    "handlers": {{"console": {{"class": "logging.StreamHandler", "formatter": "line"}}}},
    "root": {{"handlers": ["console"], "level": "INFO"}},
}}
"""


def server(lab: layout.Layout) -> Program:
    """Horizon, in the namespace of the servers, at a port of this machine's loopback interface."""
    source, place = Source.find(), directory(lab)
    argv = (
        *(source.python, "-P", "-W", "ignore", str(SERVER)),
        str(netns.NETNS_DIR / lab.controller_namespace),
        *(str(port_file(lab)), str(source.static), str(source.folder / _PANEL / "static")),
    )
    process = ProcessSpec(
        NAME,
        lab.controller_namespace,
        argv,
        lab.log_file(NAME),
        {"TMPDIR": str(lab.scratch), **_environment(place, source)},
        enters_itself=True,
    )
    return Program(process, partial(_answers, lab))


def port_file(lab: layout.Layout) -> Path:
    """The file with the number of the port that Horizon listens on."""
    return directory(lab) / "port"


def url(lab: layout.Layout) -> str:
    """The address of a lab's Horizon that runs, for a browser on this machine."""
    return f"http://{LOOPBACK}:{port_file(lab).read_text()}/"


def _answers(lab: layout.Layout) -> bool:
    """Return whether Horizon shows its log-in."""
    if not port_file(lab).exists():
        return False
    port = int(port_file(lab).read_text())
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=probes.HTTP_TIMEOUT)
    try:
        connection.request("GET", "/auth/login/")
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment(place: Path, source: Source) -> dict[str, str]:
    """Return the variables with which Horizon finds its settings and the panel.

    :param place: the parent directory of the package ``local``.
    """
    return {
        "PYTHONPATH": f"{place}:{source.folder}",
        "DJANGO_SETTINGS_MODULE": _SETTINGS,
        "PYTHONWARNINGS": "ignore",
    }

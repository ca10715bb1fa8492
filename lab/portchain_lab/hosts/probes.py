"""Probes that check whether a program of the lab works. Each asks once, without retrying."""

import contextlib
import http.client
import re
import socket
import subprocess
from pathlib import Path

from portchain_lab.hosts import netns
from portchain_lab.waiting import patient

TIMEOUT = patient(2.0)
HTTP_TIMEOUT = patient(5.0)


def connect(namespace: str, address: str, port: int, timeout: float = TIMEOUT) -> socket.socket:
    """Open a TCP connection from inside a namespace.

    :param timeout: seconds, for connecting and for every read and write.
    """
    sock = netns.open_socket(namespace)
    sock.settimeout(timeout)
    try:
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def accepts_tcp(namespace: str, address: str, port: int) -> bool:
    """Return whether a server accepts connections at this address."""
    with contextlib.suppress(OSError), connect(namespace, address, port):
        return True
    return False


def answers_http(namespace: str, address: str, port: int, path: str) -> bool:
    """Return whether a GET request is answered with success."""
    connection = http.client.HTTPConnection(address, port, timeout=HTTP_TIMEOUT)
    try:
        connection.sock = connect(namespace, address, port, timeout=HTTP_TIMEOUT)
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_amqp(namespace: str, address: str, port: int) -> bool:
    """Return whether an AMQP broker answers the protocol header with a Start method."""
    with contextlib.suppress(OSError), connect(namespace, address, port) as sock:
        sock.sendall(b"AMQP\x00\x00\x09\x01")
        return sock.recv(1) == b"\x01"
    return False


def answers_mysql(path: Path) -> bool:
    """Return whether a MariaDB server sends its greeting."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        return len(sock.recv(5)) == 5
    return False


def launches_programs(path: Path) -> bool:
    """Return whether a launcher (``launcher.py``) serves a socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(path))
    except OSError:
        return False
    return True


def answers_unixctl(socket: Path) -> bool:
    """Return whether an Open vSwitch or OVN program answers at its unixctl socket."""
    return _succeeds("ovs-appctl", f"--target={socket}", "version")


def switch_is_configured(directory: Path) -> bool:
    """Return whether the switch has applied the contents of its database.

    :param directory: the host's run directory, with the sockets of switch and database.
    """
    if not _succeeds("env", f"OVS_RUNDIR={directory}", "ovs-appctl", "version"):
        return False
    vsctl = ("ovs-vsctl", f"--timeout={TIMEOUT:.0f}", f"--db=unix:{directory}/db.sock")
    query = ("--bare", "--columns=cur_cfg,next_cfg", "list", "Open_vSwitch")
    values = _output(*vsctl, *query).split()
    if len(values) != 2 or values[0] != values[1]:
        return False
    # A switch that has just started reports this before it has created all of its bridges.
    bridges = _output(*vsctl, "list-br").split()
    return all(_listens(directory / f"{bridge}.mgmt") for bridge in bridges)


def _listens(path: Path) -> bool:
    """Return whether a program accepts connections at a Unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        return True
    return False


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def is_connected(namespace: str, port: int, program: str) -> bool:
    """Return whether a program in the namespace has an established connection to a port.

    :param program: part of its command line, such as the name of its executable file.
    """
    # ss(8) looks at the files of every process: not before there is something to find.
    if not netns.call(namespace, lambda: _is_anything_connected(port)):
        return False
    query = ("ss", "-Htnp", "state", "established", f"dport = :{port}")
    for process in set(re.findall(r"pid=(\d+)", _output(*netns.command(namespace, query)))):
        with contextlib.suppress(OSError):
            if program in Path(f"/proc/{process}/cmdline").read_text():
                return True
    return False


def _is_anything_connected(port: int) -> bool:
    """Return whether the calling thread's namespace has a connection to a port, over IPv4."""
    rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    ends = [(row.split()[2], row.split()[3]) for row in rows]
    return any(int(to.partition(":")[2], 16) == port and state == "01" for to, state in ends)


def has_process(namespace: str, *texts: str) -> bool:
    """Return whether a process in the namespace has all these texts in its command line."""
    for process in netns.pids(namespace):
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{process}/cmdline").read_text()
            if all(text in title for text in texts):
                return True
    return False

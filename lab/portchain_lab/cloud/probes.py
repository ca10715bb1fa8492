"""Questions to the lab's programs: are you ready? Each asks once and answers yes or no."""

import contextlib
import http.client
import re
import socket
import subprocess
from pathlib import Path

from portchain_lab.hosts import netns

TIMEOUT = 2.0


def connect(namespace: str, address: str, port: int, timeout: float = TIMEOUT) -> socket.socket:
    """A TCP connection made from inside a namespace.

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


def tcp(namespace: str, address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), connect(namespace, address, port):
        return True
    return False


def http_ok(namespace: str, address: str, port: int, path: str) -> bool:
    """Whether a GET request is answered with success."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.sock = connect(namespace, address, port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def amqp(namespace: str, address: str, port: int) -> bool:
    """Whether a broker answers the protocol header with its own start method."""
    with contextlib.suppress(OSError), connect(namespace, address, port) as sock:
        sock.sendall(b"AMQP\x00\x00\x09\x01")
        return sock.recv(1) == b"\x01"
    return False


def mysql(path: Path) -> bool:
    """Whether the database server greets."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        return len(sock.recv(5)) == 5
    return False


def control(socket: Path) -> bool:
    """Whether a program answers at its control socket."""
    return _succeeds("ovs-appctl", f"--target={socket}", "version")


def switch(directory: Path) -> bool:
    """Whether the switch has taken over what the database holds."""
    if not control(directory / "vswitchd.ctl"):
        return False
    vsctl = ("ovs-vsctl", "--timeout=2", f"--db=unix:{directory}/db.sock")
    query = ("--bare", "--columns=cur_cfg,next_cfg", "list", "Open_vSwitch")
    values = _output(*vsctl, *query).split()
    if len(values) != 2 or values[0] != values[1]:
        return False
    # One that has just been started says so before it has all of its bridges.
    bridges = _output(*vsctl, "list-br").split()
    return all(_listens(directory / f"{bridge}.mgmt") for bridge in bridges)


def _listens(path: Path) -> bool:
    """Whether somebody accepts connections at a socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        return True
    return False


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def connected(namespace: str, port: int, program: str) -> bool:
    """Whether a program in the namespace has a connection to a port.

    :param program: name of its executable file.
    """
    query = ("ss", "-Htnp", "state", "established", f"dport = :{port}")
    for process in set(re.findall(r"pid=(\d+)", _output(*netns.command(namespace, query)))):
        with contextlib.suppress(OSError):
            if program in Path(f"/proc/{process}/cmdline").read_text():
                return True
    return False


def titled(namespace: str, title: str) -> bool:
    """Whether a process in the namespace carries these words in its command line."""
    for process in netns.pids(namespace):
        with contextlib.suppress(OSError):
            if title in Path(f"/proc/{process}/cmdline").read_text():
                return True
    return False

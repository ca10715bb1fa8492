"""The random life's checks fail if paths, traces or counters are not those that captures show."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from portchain_lab.errors import DeadlineError
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.observe.traffic import ConnectionAttempt
from scapy.layers.inet import IP, TCP

from tests.frames import ether
from tests.lab.life import observer
from tests.lab.life.model import Cloud, Wish
from tests.lab.life.observer import Observer, Tally

ADDRESSES = {"src": "10.30.0.10", "dst": "10.30.0.20"}
OWNERS = {"src": "src", "dst": "dst", "p1": "sf1", "p2": "sf1"}
CHAINED = ("src", "p1", "p2", "dst")
PORT, UNCHAINED = 100, 99


class FakeLab:
    """One chain with one function, whose packets go where they should.

    :param packets: how many packets each direction of the chain has counted too many.
    :param detour: the path that traces name for packets of the chain.
    :param path: the path that packets of the chain take.
    """

    def __init__(
        self,
        packets: int = 0,
        detour: tuple[str, ...] = CHAINED,
        path: tuple[str, ...] = CHAINED,
    ) -> None:
        self.ports = {name: SimpleNamespace(id=f"id of {name}") for name in OWNERS}
        self.pairs = {f"PP{n}": {"id": f"PP{n}"} for n in (1, 2, 3)}
        self.vms = {name: SimpleNamespace(name=name) for name in ("src", "dst", "sf1")}
        self.lab = SimpleNamespace(layout=SimpleNamespace(has_ovn=False))
        self.cloud = self
        self.address = ADDRESSES.__getitem__
        self._frames: list[CapturedFrame] = []
        self._counted, self._detour, self._path = packets, detour, path
        self._times = itertools.count()

    def wait_status(self, *_: object) -> None:
        """The chain has any status at once."""

    @contextmanager
    def captures(self, *_: object) -> Iterator[Any]:
        self._frames = []
        yield SimpleNamespace(frames=self._frames, wait_until_quiet=lambda: None)

    def connect(
        self, _: object, __: object, port: int, *, source_port: int, timeout: float
    ) -> ConnectionAttempt:
        path = self._path if port == PORT else ("src", "dst")
        self._counted += port == PORT
        there = IP(src=ADDRESSES["src"], dst=ADDRESSES["dst"])
        self._capture(there / TCP(sport=source_port, dport=port, flags="S"), path)
        if path[-1] == "dst":
            back = IP(src=ADDRESSES["dst"], dst=ADDRESSES["src"])
            self._capture(back / TCP(sport=port, dport=source_port, flags="SA"), path[::-1])
        return ConnectionAttempt(0, source_port, 0.0, "" if path[-1] == "dst" else "lost")

    def _capture(self, packet: Any, path: tuple[str, ...]) -> None:
        sends = itertools.cycle((True, False))
        self._frames += [
            CapturedFrame(next(self._times), OWNERS[name], name, next(sends), True,
                          bytes(ether() / packet))
            for name in path
        ]  # fmt: skip

    def stats(self, _: object) -> dict[str, Any]:
        """Return what hosts have counted."""
        n = self._counted
        paths = [
            {
                "direction": way,
                "flow_classifiers": [{"id": "FC1", "packets": n}],
                "hops": [{"port_pairs": [{"id": "PP1", "packets_in": n, "packets_out": n}]}],
                "dropped": [],
            }
            for way in ("forward", "reverse")
        ]
        return {"paths": paths, "hosts_without_answer": []}

    def post(self, _: str, json: dict[str, Any]) -> Any:
        """Trace a packet."""
        asked = json["trace"]
        ports = asked["source_port"], asked["destination_port"]
        path = self._detour if PORT in ports else ("src", "dst")
        path = path if asked["port_id"] == "id of src" else path[::-1]
        steps = [{"decision": "DELIVERED", "port_id": f"id of {name}"} for name in path[1:]]
        if PORT in ports:
            steps.append({"decision": "CLASSIFIED", "port_id": ""})
        shown = {"trace": {"id": "1", "outcome": "DELIVERED", "steps": steps}}
        return SimpleNamespace(status_code=201, json=lambda: shown)

    def delete(self, _: str) -> None:
        """Nothing is kept."""


def check(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> Tally:
    def look_once(predicate: Any, *_: object, **__: object) -> None:
        if not predicate():
            raise DeadlineError

    monkeypatch.setattr(observer.traffic, "TcpEchoServer", lambda *_: nullcontext())
    monkeypatch.setattr(observer.traffic, "tcp_connect", lab.connect)
    monkeypatch.setattr(observer, "wait_for", look_once)
    cloud = Cloud({"PG1": ["sf1"]}, {"src": "h1", "sf1": "h2", "dst": "h3"})
    wish = Wish((PORT, PORT), ("PG1",), True, {"id": "PC1"}, {"id": "FC1"})
    tally = Tally()
    looking = Observer(lab, cloud, tally, bridging=(), per_port=2, traced=4, greet=lambda: None)  # type: ignore[arg-type]
    looking.note_change([wish])
    looking.check([wish], (UNCHAINED, PORT))
    return tally


def test_what_agrees_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = check(FakeLab(), monkeypatch)
    assert tally.traces == {"chained": 4, "unchained": 4}
    assert (tally.checks, tally.counters, tally.packets) == (1, 6, 12)


@pytest.mark.parametrize(
    "lab",
    [
        FakeLab(packets=1),
        FakeLab(packets=-1),
        FakeLab(detour=("src", "dst")),
        FakeLab(path=("src", "dst")),
        FakeLab(path=("src", "p1", "p2")),
    ],
)
def test_what_differs_fails(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check(lab, monkeypatch)

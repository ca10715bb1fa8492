"""Frames that the lab writes itself, read by scapy."""

from pathlib import Path

from portchain_lab.guests.configuration import arp_announcement
from portchain_lab.observe.capture import CapturedFrame, write_pcap
from scapy.layers.l2 import ARP, Ether
from scapy.utils import RawPcapNgReader, RawPcapReader

MAC, ADDRESS = "02:00:00:00:00:01", "10.0.0.5"


def test_an_arp_announcement() -> None:
    frame = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", hwsrc=MAC, psrc=ADDRESS, pdst=ADDRESS
    )
    assert arp_announcement(MAC, bytes([10, 0, 0, 5])) == bytes(frame)


def test_a_capture_is_written_with_nanoseconds(tmp_path: Path) -> None:
    frame = arp_announcement(MAC, bytes(4))
    seen = [CapturedFrame(5_000_000_007, "vm", port, True, True, frame) for port in ("p1", "p2")]
    files = write_pcap(seen, tmp_path)
    assert [file.name for file in files] == ["p1.pcap", "p2.pcap"]
    with RawPcapReader(str(files[0])) as reader:
        assert not isinstance(reader, RawPcapNgReader)
        assert (reader.nano, reader.linktype) == (True, 1)
        ((data, meta),) = list(reader)
    assert (data, meta.sec, meta.usec, meta.wirelen) == (frame, 5, 7, len(frame))

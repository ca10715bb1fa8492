"""Names by which hosts, flows and functions know the probes of health checks. Pure."""

import hashlib

from portchain.dataplane.pipeline import path_label

PROBE_PATH = 0
"""The path of probes in MPLS and NSH. No chain has it: their numbers start at 1."""

PROBE_LABEL = path_label(PROBE_PATH)
"""The label, and the service path identifier, of probes to SFC-aware functions."""

PEER_LABEL = path_label(PROBE_PATH, reverse=True)
"""The label of probes to other hosts, whose switches return them."""

PEER_PROBE_TTL, PEER_ANSWER_TTL = 255, 254
"""TTL of a probe to another host, and of the same probe on its way back."""

CONTROLLER_ID = 0x7063
"""The switch sends answers to connections with this number only. Those of Neutron have 0."""

CONTINUITY_CHECK = 0x8902
"""EtherType of continuity checks (IEEE 802.1Q, clause 18)."""

_MAC_PREFIX = b"\x0a\x70"  # locally administered; no Neutron port has it


def probe_mac(pair_id: str) -> str:
    """Return the MAC address that probes of a pair come from."""
    digest = hashlib.blake2b(pair_id.encode(), digest_size=4).digest()
    return ":".join(f"{byte:02x}" for byte in _MAC_PREFIX + digest)

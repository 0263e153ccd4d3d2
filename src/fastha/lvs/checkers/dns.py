"""DNS_CHECK: up when a question is answered with rcode 0. RFC 1035. The content of the answer is not
looked at.

A truncated answer is an answer. Packets that are not the answer to this question are left alone.
"""

from __future__ import annotations

import random
import struct

from fastha.config.model_lvs import DnsCheck
from fastha.lvs.checkers.base import Env, SocketCheck

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def encode_name(name: str) -> bytes:
    """A domain name on the wire. Raises ValueError for labels that are empty or longer than 63 octets."""
    out = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else ():
        raw = label.encode("idna") if not label.isascii() else label.encode()
        if not 0 < len(raw) < 64:
            raise ValueError(f"'{name}' is no domain name: the label '{label}' has {len(raw)} octets")
        out += bytes([len(raw)]) + raw
    if len(out) > 254:
        raise ValueError(f"'{name}' is longer than a domain name may be")
    return out + b"\0"


class DnsChecker(SocketCheck):
    """One question over UDP."""

    stream = False

    def __init__(self, conf: DnsCheck, env: Env) -> None:
        super().__init__(conf, env)
        self._question = encode_name(conf.name) + struct.pack("!HH", TYPES[conf.type], 1)
        self._id = 0

    def hello(self) -> bytes:
        self._id = random.getrandbits(16)
        return struct.pack("!HHHHHH", self._id, 0x0100, 1, 0, 0, 0) + self._question

    def heard(self, data: bytes) -> None:
        if len(data) < 12:
            return
        ident, flags = struct.unpack_from("!HH", data)
        if ident != self._id or not flags & 0x8000:
            return
        rcode = flags & 15
        if rcode:
            self.fail(f"answered {_RCODES.get(rcode, f'rcode {rcode}')}")
        else:
            self.succeed("answered")

    def overdue(self, was_connected: bool) -> None:
        self.fail(f"no answer within {self.conf.connect_timeout_ns / 1e9:g} s")

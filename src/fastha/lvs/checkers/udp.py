"""UDP_CHECK: up when nothing says "unreachable" in time, or, with require_reply, when the answer is right."""

from __future__ import annotations

from fastha.config.model_lvs import UdpCheck
from fastha.lvs.checkers.base import Env, SocketCheck

#: What keepalived sends when no payload is configured.
DEFAULT_PAYLOAD = b"keepalived check - keepalived ch"


def matches(data: bytes, reply: bytes, mask: bytes) -> bool:
    """Whether an answer fits the pattern, as far as both reach."""
    return all((a ^ b) & m == 0 for a, b, m in zip(data, reply, mask, strict=False))


class UdpChecker(SocketCheck):
    """One datagram out, and what comes of it."""

    stream = False

    def __init__(self, conf: UdpCheck, env: Env) -> None:
        super().__init__(conf, env)
        self.udp = conf

    def hello(self) -> bytes:
        return DEFAULT_PAYLOAD if self.udp.payload is None else self.udp.payload

    def heard(self, data: bytes) -> None:
        conf = self.udp
        if not conf.require_reply:
            self.succeed("answered")
        elif not conf.min_reply_length <= len(data) <= conf.max_reply_length:
            self.fail(f"answered {len(data)} octets, not {conf.min_reply_length} to {conf.max_reply_length}")
        elif not matches(data, conf.reply, conf.reply_mask or b"\xff" * len(conf.reply)):
            self.fail(f"answered {data[:24].hex(' ')}, which is not what require_reply asks for")
        else:
            self.succeed("answered")

    def overdue(self, was_connected: bool) -> None:
        if self.udp.require_reply:
            self.fail(f"no answer within {self.udp.connect_timeout_ns / 1e9:g} s")
        else:
            self.succeed("nothing said it is unreachable")

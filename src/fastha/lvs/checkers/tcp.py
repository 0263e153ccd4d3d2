"""TCP_CHECK: up when a connection is made within connect_timeout."""

from __future__ import annotations

from fastha.lvs.checkers.base import SocketCheck


class TcpChecker(SocketCheck):
    """Connects and closes. What the server says at once is taken first, so that it sees no reset."""

    connect_only = True

    def connected(self) -> None:
        self.succeed("connected")

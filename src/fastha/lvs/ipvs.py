"""The kernel's IPVS, as the load balancer uses it: opened when first needed, in the right network namespace.

Every call is one short exchange with the kernel (tens of microseconds for a change, about a millisecond
for the
destinations of a service); whoever makes many of them gives way to the event loop in between. Nothing is
cached
here: see `reconcile`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from fastha._core.ipvs import (
    Destination,
    IpvsSocket,
    NoIpvsError,
    Refusal,
    Request,
    Service,
    SyncDaemon,
    Timeouts,
)

__all__ = ["Ipvs", "NoIpvsError"]


class Ipvs:
    """A client of IPVS. Raises NoIpvsError when first used in a kernel without IPVS."""

    def __init__(
        self,
        *,
        receive_buffer: int = 0,
        force: bool = False,
        inside: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """`inside` makes a context in which the socket is opened: that of a network namespace."""
        self._receive_buffer = receive_buffer
        self._force = force
        self._inside = inside
        self._socket: IpvsSocket | None = None

    @property
    def socket(self) -> IpvsSocket:
        """The socket, opened on first use."""
        if self._socket is None:
            with self._inside():
                self._socket = IpvsSocket(receive_buffer=self._receive_buffer, force=self._force)
        return self._socket

    @property
    def messages_sent(self) -> int:
        """Changes sent since the socket was opened."""
        return 0 if self._socket is None else self._socket.messages_sent

    def close(self) -> None:
        """Closes the socket; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def execute(self, requests: Sequence[Request]) -> list[Refusal | None]:
        """Sends changes; for each None or the refusal. Raises OSError when the socket itself fails."""
        try:
            return self.socket.execute(requests)
        except OSError:
            # Acknowledgements may be lost or still on their way: a fresh socket cannot mix them up.
            self.close()
            raise

    def services(self) -> list[Service]:
        """Every service there is."""
        return self.socket.services()

    def destinations(self, service: Service) -> list[Destination]:
        """Every destination of a service."""
        return self.socket.destinations(service)

    def flush(self) -> None:
        """Removes all services, whoever made them."""
        self.socket.flush()

    def timeouts(self) -> Timeouts:
        """The connection time-outs."""
        return self.socket.timeouts()

    def set_timeouts(self, tcp: int | None, tcp_fin: int | None, udp: int | None) -> None:
        """Sets those that are given."""
        self.socket.set_timeouts(tcp or 0, tcp_fin or 0, udp or 0)

    def daemons(self) -> list[SyncDaemon]:
        """The sync daemons that run: none, one, or one of each kind."""
        return self.socket.daemons()

    def start_daemon(self, daemon: SyncDaemon) -> None:
        """Starts a sync daemon; raises OSError with the interface named when the kernel refuses."""
        self.socket.start_daemon(daemon)

    def stop_daemon(self, state: int) -> None:
        """Stops the master or backup daemon."""
        self.socket.stop_daemon(state)

"""Directors of the same virtual servers tell each other what operators wish of the real servers.

UDP between configured addresses. A packet: `FHD1`, the sender's run (64 random bits), a number that grows,
the run of the receiver as the sender knows it (0: not yet), wishes in msgpack, and 16 octets of HMAC-SHA256
over all of that with the shared secret. Wishes are believed only in a packet that names the receiver's
present run, and whose number is greater than the last of that sender's run: nothing that was recorded can
be played again. Who is greeted with a run that it does not know answers, at most once a second.

All wishes are sent every few seconds, and what is new at once; a director that is away costs nothing, and
learns all when it is back. Nothing is secret but the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import msgspec

from fastha.config.model_lvs import Share
from fastha.lvs.shared import Wish

EVERY_S = 2.0
GONE_S = 10.0
"""Who was not heard for so long is gone."""
ANSWER_S = 1.0
AGAIN_S = 10.0
"""When a socket that could not be bound is tried again."""
PAYLOAD = 1100
BURST, BURST_S = 16, 0.01
_HEAD = struct.Struct("!4sQQQ")
_MAGIC = b"FHD1"
_MAC = 16
REFUSED = ("stranger", "malformed", "signature", "replayed")


class Peer:
    """Another director."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.run = 0
        self.number = 0
        self.heard_s: float | None = None
        self.answered_s = 0.0
        self.busy: dict[str, bool] = {}

    @property
    def here(self) -> bool:
        """Whether it was heard lately."""
        return self.heard_s is not None and time.monotonic() - self.heard_s < GONE_S


class DirectorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Another director as `fastha show servers` has it. `heard_ago`: seconds since its last good packet."""

    address: str
    here: bool
    heard_ago: float | None = None


class Directors(asyncio.DatagramProtocol):
    """The socket, and those on the other side."""

    def __init__(
        self,
        conf: Share,
        wishes: Callable[[], Iterable[Wish]],
        heard: Callable[[list[Wish]], None],
        say: Callable[[str, str], None],
    ) -> None:
        """`wishes`: everything to be told. `heard`: what another director told. `say`: level and text."""
        self.conf = conf
        self.peers = {address: Peer(address) for address in conf.peers}
        self.refused = dict.fromkeys(REFUSED, 0)
        self._wishes, self._heard, self._say = wishes, heard, say
        self._run = secrets.randbits(64) | 1
        self._number = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closed = False
        self._queue: deque[tuple[bytes, tuple[str, int]]] = deque()
        self._pump_handle: asyncio.TimerHandle | None = None

    # -- life --

    async def open(self) -> None:
        """Binds the socket and begins; a failure is told, and tried again every ten seconds."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, local_addr=(self.conf.address, self.conf.port))
        except OSError as error:
            self._say(
                "warning",
                f"fastha_lvs_share: {self.conf.address} port {self.conf.port} cannot be used: "
                f"{error.strerror}; drains and weights are not shared until it can",
            )
            if not self._closed:
                self._timer = loop.call_later(AGAIN_S, self._open_again)

    def _open_again(self) -> None:
        self._opening = asyncio.ensure_future(self.open())

    def close(self) -> None:
        """Ends it, also while it is being opened."""
        self._closed = True
        for handle in (self._timer, self._pump_handle):
            if handle is not None:
                handle.cancel()
        self._queue.clear()
        self._pump_handle = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        if self._closed:
            transport.close()
            return
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._round()

    def error_received(self, exc: Exception) -> None:
        """A director that is away: it is told by `here`."""

    def _round(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._round)
        if not self._queue:
            self.tell(self._wishes())

    # -- sending --

    def tell(self, wishes: Iterable[Wish]) -> None:
        """Sends wishes (or, to one that is not known yet, a greeting) to every other director."""
        told = list(wishes)
        for peer in self.peers.values():
            self._send(peer, peer.run, told if peer.run else [])

    def _send(self, peer: Peer, run: int, wishes: list[Wish]) -> None:
        if self._transport is None:
            return
        for part in _parts(wishes):
            self._number += 1
            body = _HEAD.pack(_MAGIC, self._run, self._number, run) + part
            self._queue.append((body + self._sign(body), peer.address))
        if self._pump_handle is None:
            self._pump()

    def _pump(self) -> None:
        """A few packets at a time: more at once than the other side's socket holds would be lost, and always
        the same ones."""
        self._pump_handle = None
        for _ in range(min(BURST, len(self._queue))):
            data, address = self._queue.popleft()
            if self._transport is not None:
                self._transport.sendto(data, address)
        if self._queue:
            self._pump_handle = asyncio.get_running_loop().call_later(BURST_S, self._pump)

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self.conf.secret, body, hashlib.sha256).digest()[:_MAC]

    # -- receiving --

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A packet from anybody."""
        peer = self.peers.get((addr[0].partition("%")[0], addr[1]))
        if peer is None:
            self.refused["stranger"] += 1
            return
        if len(data) < _HEAD.size + _MAC or not data.startswith(_MAGIC):
            self.refused["malformed"] += 1
            return
        body, mac = data[:-_MAC], data[-_MAC:]
        if not hmac.compare_digest(mac, self._sign(body)):
            self.refused["signature"] += 1
            return
        _, run, number, mine = _HEAD.unpack_from(body)
        if mine != self._run:
            # It does not know this run yet (or it is a recording): the answer lets it prove that it lives.
            now = time.monotonic()
            if mine == 0 or peer.run != run:
                if now - peer.answered_s >= ANSWER_S:
                    peer.answered_s = now
                    self._send(peer, run, list(self._wishes()))
            else:
                self.refused["replayed"] += 1
            return
        if run == peer.run and number <= peer.number:
            self.refused["replayed"] += 1
            return
        try:
            wishes = _decoder.decode(body[_HEAD.size :])
        except msgspec.DecodeError:
            self.refused["malformed"] += 1
            return
        new = run != peer.run
        peer.run, peer.number = run, number
        if not peer.here:
            self._say("info", f"director {peer.address[0]} is heard: drains and weights are shared with it")
        peer.heard_s = time.monotonic()
        peer.busy.update((wish.key, wish.busy) for wish in wishes)
        self._heard(wishes)
        if new:
            self._send(peer, run, list(self._wishes()))

    def busy(self, key: str) -> bool:
        """Whether a director that is there is still draining this server."""
        return any(peer.here and peer.busy.get(key, False) for peer in self.peers.values())

    def snapshot(self) -> tuple[DirectorSnapshot, ...]:
        """Who is there."""
        now = time.monotonic()
        return tuple(
            DirectorSnapshot(
                address=peer.address[0],
                here=peer.here,
                heard_ago=None if peer.heard_s is None else round(now - peer.heard_s, 3),
            )
            for peer in self.peers.values()
        )


_decoder = msgspec.msgpack.Decoder(list[Wish])


def _parts(wishes: list[Wish]) -> Iterator[bytes]:
    """The wishes in as many payloads as they need, each within a packet that no link splits; one for none."""
    part: list[Wish] = []
    size = 0
    for wish in wishes:
        length = len(wish.key.encode()) + len(wish.origin.encode()) + 48
        if part and size + length > PAYLOAD:
            yield msgspec.msgpack.encode(part)
            part, size = [], 0
        part.append(wish)
        size += length
    yield msgspec.msgpack.encode(part)

"""The difference between what the kernel has and what it should have, as the fewest messages.

`difference` is pure. `Reconciler` holds the wanted table and what the kernel is believed to have, sends what
differs, and reads the kernel back to repair what somebody else changed. Services that are not ours are never
touched.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable

import msgspec

from fastha._core import ipvs
from fastha._core.ipvs import Refusal, Request
from fastha.lvs.ipvs import Ipvs
from fastha.lvs.state import Entry, Key, Table

_NAMES = {
    ipvs.NEW_SERVICE: "adding the service",
    ipvs.SET_SERVICE: "changing the service",
    ipvs.DEL_SERVICE: "deleting the service",
    ipvs.NEW_DEST: "adding",
    ipvs.SET_DEST: "changing",
    ipvs.DEL_DEST: "deleting",
}
_SLICE = 64


def difference(have: Entry | None, want: Entry | None) -> list[Request]:
    """What turns `have` into `want` for one service.

    Destinations are added and changed before others are deleted, so that the service is never empty on the
    way. None is a service that is not there.
    """
    if want is None:
        return [] if have is None else [(ipvs.DEL_SERVICE, have.service, None)]
    service = want.service
    out: list[Request] = []
    present = {} if have is None else have.destinations
    if have is None:
        out.append((ipvs.NEW_SERVICE, service, None))
    elif not service.same(have.service):
        out.append((ipvs.SET_SERVICE, service, None))
    for key, wanted in want.destinations.items():
        there = present.get(key)
        if there is None:
            out.append((ipvs.NEW_DEST, service, wanted))
        elif not wanted.same(there):
            out.append((ipvs.SET_DEST, service, wanted))
    out.extend((ipvs.DEL_DEST, service, old) for key, old in present.items() if key not in want.destinations)
    return out


def describe(request: Request, refusal: Refusal) -> str:
    """Why the kernel did not do what it was asked, and what can be done."""
    command, service, dest = request
    code, words = refusal
    what = f"{_NAMES.get(command, str(command))} {dest if dest is not None else ''} of {service}"
    if dest is None:
        what = f"{_NAMES.get(command, str(command))} {service}"
    text = f"IPVS refused {what}: {words or os.strerror(code)}"
    if command in (ipvs.NEW_SERVICE, ipvs.SET_SERVICE) and code == errno.ENOENT and service is not None:
        modules = f"modprobe ip_vs_{service.scheduler}"
        if service.pe:
            modules += f" ip_vs_pe_{service.pe}"
        text += f" - the kernel lacks the scheduler or persistence engine: {modules}"
    elif code == errno.EPERM:
        text += " - fastha needs CAP_NET_ADMIN"
    return text


class Tally(msgspec.Struct):
    """What was done so far: messages sent, refused, and entries repaired because somebody else changed
    them."""

    sent: int = 0
    refused: int = 0
    repaired: int = 0
    read_backs: int = 0


class Reconciler:
    """Keeps the kernel's table equal to `wanted`. `tell` is given lines for the log: (level, text)."""

    def __init__(self, client: Ipvs, tell: Callable[[str, str], None]) -> None:
        self.client = client
        self.wanted: Table = {}
        self.known: Table = {}
        self.tally = Tally()
        self._tell = tell
        self._told: dict[str, None] = {}
        self._lock = asyncio.Lock()

    def differences(self, keys: Iterable[Key] | None = None) -> list[Request]:
        """What has to be sent for these services, or for all."""
        every = {**self.known, **self.wanted} if keys is None else keys
        out: list[Request] = []
        for key in every:
            out += difference(self.known.get(key), self.wanted.get(key))
        return out

    def push(self, keys: Iterable[Key]) -> int:
        """Sends the differences of these services now; returns how many messages that took.

        For what a health check changes: a handful of messages, tens of microseconds each.
        """
        requests = self.differences(keys)
        if requests:
            self._send(requests)
        return len(requests)

    async def push_all(self) -> int:
        """Sends all differences, giving way to the event loop between slices."""
        async with self._lock:
            requests = self.differences()
            for start in range(0, len(requests), _SLICE):
                self._send(requests[start : start + _SLICE])
                await asyncio.sleep(0)
            return len(requests)

    async def read_back(self) -> None:
        """Learns what the kernel has for the services that are ours or wanted."""
        async with self._lock:
            present = {service.key: service for service in self.client.services()}
            for key in list({**self.known, **self.wanted}):
                service = present.get(key)
                if service is None:
                    self.known.pop(key, None)
                    continue
                self.known[key] = self._entry(service)
                await asyncio.sleep(0)
            self.tally.read_backs += 1

    async def adopt(self, others: Iterable[Key] = ()) -> int:
        """At start: takes over what is there for the wanted services, and for `others` (of an earlier run).

        Returns how many services were found.
        """
        for key in others:
            if key not in self.wanted:
                self.known[key] = _PLACEHOLDER
        await self.read_back()
        return len(self.known)

    async def repair(self) -> int:
        """Reads the kernel back and puts right what differs; returns how many messages that took."""
        await self.read_back()
        requests = self.differences()
        if requests:
            self.tally.repaired += len(requests)
            first = requests[0]
            what = first[2] if first[2] is not None else first[1]
            self._tell(
                "warning",
                f"IPVS was changed by somebody else: repairing {len(requests)} "
                f"entr{'y' if len(requests) == 1 else 'ies'}, first {what} of {first[1]}",
            )
            await self.push_all()
        return len(requests)

    def _entry(self, service: ipvs.Service) -> Entry:
        try:
            found = self.client.destinations(service)
        except OSError:  # deleted between the two questions
            found = []
        return Entry(service, {dest.key: dest for dest in found})

    def _send(self, requests: list[Request]) -> None:
        results = self.client.execute(requests)
        self.tally.sent += len(requests)
        again: list[Request] = []
        for request, refusal in zip(requests, results, strict=True):
            if refusal is None or (request[0], refusal[0]) in _GONE:
                self._took(request)
            elif (other := _other_way(request, refusal[0])) is not None:
                again.append(other)
            else:
                self._refused(request, refusal)
        if again:
            self.tally.sent += len(again)
            for request, refusal in zip(again, self.client.execute(again), strict=True):
                if refusal is None:
                    self._took(request)
                else:
                    self._refused(request, refusal)

    def _refused(self, request: Request, refusal: Refusal) -> None:
        self.tally.refused += 1
        text = describe(request, refusal)
        if text not in self._told:
            self._told[text] = None
            while len(self._told) > 256:
                del self._told[next(iter(self._told))]
            self._tell("error", text)

    def _took(self, request: Request) -> None:
        """The kernel did it: so it is."""
        command, service, dest = request
        assert service is not None
        key = service.key
        if command == ipvs.DEL_SERVICE:
            self.known.pop(key, None)
        elif command in (ipvs.NEW_SERVICE, ipvs.SET_SERVICE):
            old = self.known.get(key)
            self.known[key] = Entry(service, {} if old is None else old.destinations)
        elif dest is not None:
            entry = self.known.setdefault(key, Entry(service))
            if command == ipvs.DEL_DEST:
                entry.destinations.pop(dest.key, None)
            else:
                entry.destinations[dest.key] = dest


_PLACEHOLDER = Entry(ipvs.Service(2, 6, b"\0\0\0\0", 0))

_INSTEAD = {
    (ipvs.NEW_SERVICE, errno.EEXIST): ipvs.SET_SERVICE,
    (ipvs.NEW_DEST, errno.EEXIST): ipvs.SET_DEST,
    (ipvs.SET_SERVICE, errno.ESRCH): ipvs.NEW_SERVICE,
    (ipvs.SET_DEST, errno.ENOENT): ipvs.NEW_DEST,
}
_GONE = {
    (ipvs.DEL_SERVICE, errno.ESRCH),
    (ipvs.DEL_DEST, errno.ENOENT),
    (ipvs.DEL_DEST, errno.ESRCH),
}


def _other_way(request: Request, code: int) -> Request | None:
    """The request that fits when the kernel had something else than was believed."""
    command, service, dest = request
    instead = _INSTEAD.get((command, code))
    return None if instead is None else (instead, service, dest)

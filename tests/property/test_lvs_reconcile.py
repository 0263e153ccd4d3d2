"""Whatever the kernel has and whatever is wanted: the differences, applied, make the one the other, with no
message too many and no service empty on the way."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from fastha._core import ipvs
from fastha._core.ipvs import Destination, Refusal, Request, Service
from fastha.lvs.ipvs import Ipvs
from fastha.lvs.reconcile import Reconciler, difference
from fastha.lvs.state import Entry, Key, Table


class FakeKernel:
    """IPVS as far as its rules go: what exists, what may be added, changed and deleted."""

    def __init__(self, table: Table) -> None:
        self.table = {key: Entry(entry.service, dict(entry.destinations)) for key, entry in table.items()}
        self.messages = 0
        self.emptied = 0

    def execute(self, requests: Sequence[Request]) -> list[Refusal | None]:
        return [self.one(*request) for request in requests]

    def one(self, command: int, service: Service | None, dest: Destination | None) -> Refusal | None:
        assert service is not None
        self.messages += 1
        key = service.key
        entry = self.table.get(key)
        if command == ipvs.NEW_SERVICE:
            if entry is not None:
                return (errno.EEXIST, "")
            self.table[key] = Entry(service)
        elif entry is None:
            return (errno.ESRCH, "")
        elif command == ipvs.SET_SERVICE:
            entry.service = service
        elif command == ipvs.DEL_SERVICE:
            del self.table[key]
        else:
            assert dest is not None
            there = dest.key in entry.destinations
            if command == ipvs.NEW_DEST and there:
                return (errno.EEXIST, "")
            if command != ipvs.NEW_DEST and not there:
                return (errno.ENOENT, "")
            if command == ipvs.DEL_DEST:
                del entry.destinations[dest.key]
                self.emptied += not entry.destinations
            else:
                entry.destinations[dest.key] = dest
        return None

    def services(self) -> list[Service]:
        return [entry.service for entry in self.table.values()]

    def destinations(self, service: Service) -> list[Destination]:
        return list(self.table[service.key].destinations.values())


def same(one: Table, other: Table) -> bool:
    return one.keys() == other.keys() and all(
        not difference(one[key], other[key]) and not difference(other[key], one[key]) for key in one
    )


destinations = st.builds(
    Destination,
    st.just(2),
    st.integers(1, 6).map(lambda n: bytes([10, 0, 0, n])),
    st.sampled_from([80, 81]),
    forward=st.sampled_from([0, 2, 3]),
    weight=st.integers(0, 3),
    upper=st.sampled_from([0, 9]),
)
entries = st.builds(
    lambda service, dests: Entry(service, {dest.key: dest for dest in dests}),
    st.builds(
        Service,
        st.just(2),
        st.sampled_from([6, 17]),
        st.integers(1, 3).map(lambda n: bytes([10, 9, 0, n])),
        st.just(80),
        scheduler=st.sampled_from(["rr", "wlc"]),
        flags=st.sampled_from([0, 1, 4]),
        timeout=st.sampled_from([0, 300]),
    ),
    st.lists(destinations, max_size=6),
)


def table(rows: list[Entry]) -> Table:
    return {entry.service.key: entry for entry in rows}


tables = st.lists(entries, max_size=4).map(table)


def reconciler(kernel: FakeKernel) -> tuple[Reconciler, list[str]]:
    lines: list[str] = []
    return Reconciler(cast(Ipvs, kernel), lambda level, text: lines.append(text)), lines


@settings(deadline=None, max_examples=150)
@given(tables, tables)
def test_differences_lead_from_any_table_to_any_other(have: Table, want: Table) -> None:
    kernel = FakeKernel(have)
    for key in {**have, **want}:
        for request in difference(have.get(key), want.get(key)):
            assert kernel.one(*request) is None
    assert same(kernel.table, want)
    assert all(not difference(entry, entry) for entry in want.values())


@settings(deadline=None, max_examples=150)
@given(tables, tables)
def test_a_service_with_servers_on_both_sides_is_never_empty(have: Table, want: Table) -> None:
    kernel = FakeKernel(have)
    for key in have.keys() & want.keys():
        if not want[key].destinations:
            continue
        for request in difference(have[key], want[key]):
            kernel.one(*request)
    assert kernel.emptied == 0


@settings(deadline=None, max_examples=150)
@given(tables, tables, tables)
def test_adoption_and_repair(found: Table, want: Table, meddled: Table) -> None:
    async def main() -> None:
        kernel = FakeKernel(found)
        rec, lines = reconciler(kernel)
        rec.wanted = want
        await rec.adopt()
        foreign = {key: entry for key, entry in found.items() if key not in want}
        await rec.push_all()
        assert same({key: kernel.table[key] for key in want}, want)
        assert all(key in kernel.table for key in foreign)  # what is not ours is not touched
        assert await rec.push_all() == 0
        kernel.table = {key: Entry(e.service, dict(e.destinations)) for key, e in meddled.items()}
        messages = kernel.messages
        sent = await rec.repair()
        assert kernel.messages - messages == sent
        assert same({key: kernel.table[key] for key in want}, want)
        assert await rec.repair() == 0
        assert bool(lines) == bool(sent)

    asyncio.run(main())


@settings(deadline=None, max_examples=100)
@given(tables, tables)
def test_a_wrong_belief_is_put_right_on_the_way(real: Table, want: Table) -> None:
    """The kernel was changed behind our back and not read since: refusals are answered, not given up."""

    async def main() -> None:
        kernel = FakeKernel({})
        rec, _ = reconciler(kernel)
        rec.wanted = want
        await rec.push_all()
        kernel.table = {key: Entry(e.service, dict(e.destinations)) for key, e in real.items()}
        rec.wanted = {}
        keys: list[Key] = list(want)
        rec.push(keys)
        assert not set(keys) & set(kernel.table)

    asyncio.run(main())


def test_refusals_are_told_once_with_the_remedy() -> None:
    class Refusing(FakeKernel):
        def one(self, command: int, service: Service | None, dest: Destination | None) -> Refusal | None:
            return (errno.ENOENT, "")

    rec, lines = reconciler(Refusing({}))
    service = Service(2, 6, b"\x0a\x09\0\1", 80, scheduler="mh")
    rec.wanted = {service.key: Entry(service)}
    rec.push([service.key])
    rec.push([service.key])
    assert len(lines) == 1
    assert "modprobe ip_vs_mh" in lines[0]

"""Settings that cannot work, found before they are needed: what `fastha check --explain` reports beyond the
language (codes FH03xx, docs/diagnostics.md). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from fastha.config.diagnostics import Diagnostic, Severity
from fastha.config.model import Config, Span, VrrpSettings

from .foresee import Router, VirtualRouter, contribution, foresee, unclamped
from .spec import Kind
from .weights import MAX_EFFECTIVE, MIN_EFFECTIVE, OWNER

_SECOND = 1_000_000_000


def advice(files: Sequence[tuple[str, Config]]) -> tuple[Diagnostic, ...]:
    """Everything found in the configurations of one router or of several that work together."""
    found: list[Diagnostic] = []
    for virtual in foresee(files):
        found.extend(_moves(virtual))
        found.extend(_agreement(virtual))
        for router in virtual.routers:
            found.extend(_single(router, alone=len(virtual.routers) == 1))
    for label, config in files:
        found.extend(_scripts(label, config))
    return tuple(found)


def _tell(severity: Severity, code: str, router: Router, text: str, suggestion: str = "") -> Diagnostic:
    i = router.instance
    span = i.span or Span(router.label, 1)
    return Diagnostic(
        severity=severity, code=code, message=f"{i.name}: {text}", span=span, suggestion=suggestion
    )


# -------------------------------------------------------------------- does a failure move the address?


def _moves(virtual: VirtualRouter) -> Iterator[Diagnostic]:
    """FH0301, FH0302: tracked failures of the master that leave the address where it is."""
    for outcome in virtual.outcomes:
        if outcome.entry is None or outcome.priority is None or outcome.master != outcome.router:
            continue
        router = next(r for r in virtual.routers if r.label == outcome.router)
        if router.instance.priority == OWNER:
            continue  # FH0305 says it
        others = [r for r in virtual.routers if r is not router]
        best = max(others, key=lambda r: r.priority)
        if best.priority > outcome.priority:
            yield _tell(
                "error",
                "FH0302",
                router,
                f"when {outcome.what}, the priority falls to {outcome.priority}, below {best.priority} of "
                f"{best.label}; but {best.label} has nopreempt and leaves the address where it is",
                f"take nopreempt out of {best.label}, or give {outcome.entry.name} no weight",
            )
            continue
        text = (
            f"when {outcome.what}, the priority is {outcome.priority}; {best.label} has {best.priority}: "
            "the address does not move"
        )
        weight = router.priority - best.priority + 1
        yield _tell(
            "error",
            "FH0301",
            router,
            text,
            f"make the weight at least {weight}, or leave it out so that the failure is a fault",
        )


# -------------------------------------------------------------------- do the routers agree?


def _agreement(virtual: VirtualRouter) -> Iterator[Diagnostic]:
    for a, b in pairwise(virtual.routers):
        for what, severity in _differences(a.instance.settings, b.instance.settings):
            yield _tell(severity, "FH0307", b, f"{what} differs from {a.label}")
        yield from _lists(a, b)
        if a.priority == b.priority:
            text = f"priority {a.priority} as {a.label} has it: the higher primary address is master"
            yield _tell("warning", "FH0306", b, text)


def _differences(a: VrrpSettings, b: VrrpSettings) -> Iterator[tuple[str, Severity]]:
    if a.version != b.version:
        yield f"version ({b.version})", "error"
        return
    if a.unicast != b.unicast:
        yield f"the way of adverts ({'unicast' if b.unicast else 'multicast'})", "error"
    elif not a.unicast and a.mcast_group != b.mcast_group:
        yield f"the multicast group ({b.mcast_group or 'the standard one'})", "error"
    if (a.auth_type, a.auth_pass) != (b.auth_type, b.auth_pass):
        yield "authentication", "error"
    if _keys(a) != _keys(b):
        yield "auth_hmac", "error"
    if a.advert_int_ns != b.advert_int_ns:
        # version 3 learns the master's interval, so that it is only unusual there
        seconds = f"{b.advert_int_ns / _SECOND:g} s"
        yield f"advert_int ({seconds})", "error" if a.version == 2 else "warning"


def _keys(s: VrrpSettings) -> frozenset[tuple[int, bytes]] | None:
    return frozenset((k.key_id, k.secret) for k in s.auth_hmac.keys) if s.auth_hmac is not None else None


def _lists(a: Router, b: Router) -> Iterator[Diagnostic]:
    for here, there in ((a, b), (b, a)):
        one, other = here.instance, there.instance
        if one.settings.unicast and other.settings.unicast and other.source is not None:
            peers = {p.address for p in one.unicast_peers}
            if peers and other.source not in peers:
                text = f"unicast_peer does not list {other.source} of {there.label}, which hears no advert"
                yield _tell("error", "FH0307", here, text)
    mine = {x.address for x in b.instance.addresses}
    theirs = {x.address for x in a.instance.addresses}
    if mine != theirs:
        odd = ", ".join(sorted(map(str, mine ^ theirs)))
        yield _tell("warning", "FH0310", b, f"the address lists differ from {a.label}: {odd}")


# -------------------------------------------------------------------- one router alone


def _single(router: Router, *, alone: bool) -> Iterator[Diagnostic]:
    i = router.instance
    settings = i.settings
    weighted = [e for e in router.target.entries if e.weight and not contribution(e, True).fault]
    tracked = (
        *settings.track_interfaces,
        *settings.track_scripts,
        *settings.track_files,
        *settings.track_processes,
        *settings.track_bfds,
    )
    if i.priority == OWNER:
        counted = {e.name for e in router.target.entries}
        named = [t.name for t in tracked if t.name not in counted]
        if named:
            text = f"the address owner (priority 255) is not moved by the weight of {', '.join(named)}"
            yield _tell("warning", "FH0305", router, text)
    else:
        yield from _saturation(router, [e for e in weighted if e.kind is not Kind.FILE])
    if settings.strict and not settings.accept and (i.addresses or i.excluded):
        yield _tell(
            "warning",
            "FH0304",
            router,
            "strict mode drops packets to the virtual addresses: they answer neither ping nor services here",
            "take vrrp_strict (strict_mode) out, or say accept",
        )
    if alone and not settings.preempt and weighted:
        text = (
            "nopreempt, and failures are tracked with weights: if the other router has nopreempt, too, "
            f"{', '.join(e.name for e in weighted)} moves nothing"
        )
        yield _tell("warning", "FH0302", router, text, "give them no weight: then a failure is a fault")
    gains = [e for e in weighted if e.kind is not Kind.FILE and contribution(e, False).delta > 0]
    if gains:
        text = f"{', '.join(e.name for e in gains)} adds to the priority while it is well"
        yield _tell("note", "FH0309", router, text, "a negative weight acts only on failure")
    if not router.target.entries and not tracked:
        yield _tell("note", "FH0312", router, "only the machine or its interface failing moves the address")
    if settings.auth_type == "pass":
        yield _tell(
            "note", "FH0313", router, "auth_pass is sent in the clear and protects only from mistakes"
        )


def _saturation(router: Router, weighted: Sequence[object]) -> Iterator[Diagnostic]:
    entries = [e for e in router.target.entries if e in weighted]
    well, worst = unclamped(router.target, ()), unclamped(router.target, entries)
    if well > MAX_EFFECTIVE:
        text = f"with everything well the priority would be {well}; it stops at {MAX_EFFECTIVE}"
    elif worst < MIN_EFFECTIVE:
        text = f"when everything has failed the priority would be {worst}; it stops at {MIN_EFFECTIVE}"
    else:
        return
    yield _tell("warning", "FH0303", router, text + ", so that some failures change nothing")


def _scripts(label: str, config: Config) -> Iterable[Diagnostic]:
    for script in config.scripts:
        limit = script.timeout_ns if script.timeout_ns is not None else script.interval_ns
        worst = script.interval_ns * script.fall + limit
        if worst > 30 * _SECOND:
            yield Diagnostic(
                severity="note",
                code="FH0311",
                message=f"vrrp_script {script.name}: a failure is noticed after up to {worst / _SECOND:g} "
                "seconds (fall times interval, and the timeout)",
                span=script.span or Span(label, 1),
            )

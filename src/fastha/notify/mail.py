"""Alert mails with keepalived's subjects, switches and bodies.

keepalived.conf(5), `smtp_alert` and its kin. Mails are sent one after the other in the background; a
server that hangs costs time limits here and nothing elsewhere. A mail that could not be sent is tried
again twice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec

from fastha.notify.events import Event, InstanceEvent, Kind, ServerEvent, ServerKind, SessionEvent, State
from fastha.notify.smtp import SmtpError, send_mail
from fastha.notify.spec import InstanceHooks, MailSpec
from fastha.notify.worker import WorkerChannel

MAX_QUEUED = 200
ATTEMPTS = 3
FIRST_RETRY_S = 2.0
_REMEDY = "Check smtp_server, and that it answers from here; alerts are not mailed until it does"


class Mail(msgspec.Struct, frozen=True):
    """One mail to be sent."""

    subject: str
    body: str
    wall_ns: int


def subject_of(
    event: InstanceEvent | ServerEvent, router_id: str, *, notify_deleted: bool = False
) -> str | None:
    """The subject in keepalived's words; None for what is not mailed."""
    if isinstance(event, ServerEvent):
        word = "UP" if event.up else "DOWN"
        if event.kind is ServerKind.REAL_SERVER:
            subject = f"Realserver {event.real_server} of virtual server {event.virtual_server}"
            return f"[{router_id}] {subject} - {word}"
        return f"[{router_id}] Virtualserver {event.virtual_server} - {word}"
    state = event.state
    if state is State.DELETED and not notify_deleted:
        state = State.FAULT
    tails = {
        State.MASTER: "Entering MASTER state",
        State.BACKUP: "Entering BACKUP state",
        State.FAULT: "Entering FAULT state",
        State.MAINT: "Entering MAINT state",
        State.STOP: "Stopping",
        State.DELETED: "Deleted",
    }
    tail = tails.get(state)
    if tail is None:
        return None
    what = "Group" if event.kind is Kind.GROUP else "Instance"
    return f"[{router_id}] VRRP {what} {event.name} - {tail}"


def body_of(event: InstanceEvent | ServerEvent, *, notify_deleted: bool = False) -> str:
    """keepalived's line, then what fastha knows beyond it."""
    if isinstance(event, ServerEvent):
        first = f"=> {event.cause or ('UP' if event.up else 'DOWN')} <="
        return first + "\r\n"
    if event.kind is Kind.GROUP:
        first = f"=> All VRRP group instances are now in {event.state.value} state <="
    elif event.state is State.DELETED and notify_deleted:
        first = "=> VRRP Deleted at reload <="
    elif event.state is State.MASTER:
        first = "=> VRRP Instance is now owning VRRP VIPs <="
    else:
        first = "=> VRRP Instance is no longer owning VRRP VIPs <="
    lines = [first, ""]
    if event.cause:
        lines.append(f"Cause: {event.cause}")
    if event.previous is not None:
        lines.append(f"Before: {event.previous.value}")
    lines.extend(f"{mark.at_us:>10} us  {mark.step}" for mark in event.timeline)
    return "\r\n".join(lines).rstrip() + "\r\n"


class MailChannel(WorkerChannel[Mail]):
    """Sends alert mails."""

    kind = "mail"

    def __init__(
        self,
        spec: MailSpec,
        loop: asyncio.AbstractEventLoop,
        log: Callable[[str], None],
        *,
        router_id: str,
        hooks: Iterable[InstanceHooks] = (),
        first_retry: float = FIRST_RETRY_S,
    ) -> None:
        super().__init__(f"{spec.server}:{spec.port}", loop, log, limit=MAX_QUEUED)
        self._first_retry = first_retry
        self._context: ssl.SSLContext | None = None
        self._last: dict[tuple[str, str], str] = {}
        self.configure(spec, router_id, hooks)

    def configure(self, spec: MailSpec, router_id: str, hooks: Iterable[InstanceHooks]) -> None:
        """Takes other settings; what is queued goes out by them."""
        self.spec = spec
        self.name = f"{spec.server}:{spec.port}"
        self._router_id = router_id
        self._hooks = {(hook.kind, hook.name): hook for hook in hooks}
        self._context = None

    def send(self, event: Event) -> None:
        """Queues the mail of an event, if it is one that is mailed."""
        deleted = False
        if isinstance(event, SessionEvent):
            return  # keepalived mails none of these
        if isinstance(event, InstanceEvent):
            hooks = self._hooks.get((event.kind, event.name))
            if hooks is None or not hooks.smtp_alert or event.quiet:
                return
            deleted = hooks.notify_deleted
            faulty = event.state is State.FAULT or (event.state is State.DELETED and not deleted)
            if faulty and self.spec.no_faults:
                return
            key = (event.kind.value, event.name)
        else:
            if not event.smtp_alert or (event.by_checker and self.spec.no_checker_emails):
                return
            key = (event.virtual_server, event.real_server or "")
        subject = subject_of(event, self._router_id, notify_deleted=deleted)
        if subject is None or (self._last.get(key) == subject and not getattr(event, "by_checker", False)):
            return
        self._last[key] = subject
        self._put(Mail(subject, body_of(event, notify_deleted=deleted), event.wall_ns))

    def message(self, mail: Mail) -> bytes:
        """The complete mail."""
        when = format_datetime(datetime.fromtimestamp(mail.wall_ns / 1e9, UTC))
        headers = (
            f"Date: {when}",
            f"From: {self.spec.sender}",
            f"Subject: {_header(mail.subject)}",
            "X-Mailer: Keepalived",
            f"To: {', '.join(self.spec.recipients)}",
        )
        return ("\r\n".join(headers) + "\r\n\r\n" + mail.body).encode("utf-8", "surrogateescape")

    async def _deliver(self, item: Mail) -> None:
        delay = self._first_retry
        for attempt in range(1, ATTEMPTS + 1):
            spec = self.spec
            try:
                refused = await send_mail(
                    self.message(item),
                    host=spec.server,
                    port=spec.port,
                    sender=spec.sender,
                    recipients=spec.recipients,
                    helo=spec.helo,
                    timeout=spec.timeout,
                    tls=spec.tls,
                    context=self._tls_context(),
                    user=spec.user,
                    password=spec.password,
                )
            except (SmtpError, OSError) as error:
                text = str(error) or type(error).__name__
                self._trouble(f"cannot send: {text}", _REMEDY)
                if attempt == ATTEMPTS or self._closing or getattr(error, "permanent", False):
                    self.failed += 1
                    return
                await asyncio.sleep(delay)
                delay *= 4
            else:
                self._works()
                if refused:
                    self.last_error = f"refused: {', '.join(refused)}"
                    self._log(f"mail: the server does not take mail for {', '.join(refused)}")
                return

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.spec.tls == "none":
            return None
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self.spec.ca_file)
        return self._context


def _header(text: str) -> str:
    """Without line ends, which would begin another header."""
    return " ".join(text.split())

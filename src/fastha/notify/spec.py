"""Where notifications go: the input of the `Notifier`. Made from the configuration by `plan`."""

from __future__ import annotations

import msgspec

from fastha.notify.events import Kind
from fastha.scripts.runner import Program


class InstanceHooks(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance or a sync group wants to be told of, and how. A script that may not run is None."""

    kind: Kind
    name: str
    master: Program | None = None
    backup: Program | None = None
    fault: Program | None = None
    stop: Program | None = None
    deleted: Program | None = None
    master_rx_lower_pri: Program | None = None
    generic: Program | None = None
    #: Tell of a removed instance as DELETED and not as FAULT.
    notify_deleted: bool = False
    smtp_alert: bool = False
    priority_changes: bool = False


class ServerHooks(msgspec.Struct, frozen=True, kw_only=True):
    """quorum_up and quorum_down of a virtual server, or notify_up and notify_down of a real one."""

    virtual_server: str
    real_server: str | None = None
    up: Program | None = None
    down: Program | None = None


class SessionHooks(msgspec.Struct, frozen=True, kw_only=True):
    """notify, notify_up and notify_down of a bfd_instance (an extension)."""

    name: str
    up: Program | None = None
    down: Program | None = None
    generic: Program | None = None


class FifoSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One FIFO: which events it gets, who owns it, and the program that reads it.

    `uid` and `gid` None leave the daemon's own.
    """

    path: str
    vrrp: bool
    lvs: bool
    bfd: bool = False
    uid: int | None = None
    gid: int | None = None
    script: Program | None = None


class MailSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Alert mails. `tls` is "none", "starttls" or "implicit"; `ca_file` None trusts the system's authorities.

    TLS and login are extensions. `timeout` is in seconds, for the connection and for each answer.
    """

    server: str
    recipients: tuple[str, ...]
    sender: str
    port: int = 25
    helo: str = "localhost"
    timeout: float = 30.0
    no_faults: bool = False
    no_checker_emails: bool = False
    tls: str = "none"
    ca_file: str | None = None
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"MailSpec({self.server!r}, {self.port}, tls={self.tls!r})"


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One URL that gets every event as JSON (an extension).

    With `secret` each request is signed: `X-Fastha-Signature: sha256=HEX`, an HMAC-SHA256 over the
    timestamp in `X-Fastha-Timestamp`, a dot, and the body. `timeout` is in seconds, for one attempt.
    """

    url: str
    secret: bytes = b""
    timeout: float = 5.0
    attempts: int = 8
    ca_file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    servers: bool = True

    def __repr__(self) -> str:
        return f"WebhookSpec({self.url!r})"


class NotifyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All channels of one configuration."""

    router_id: str = ""
    hooks: tuple[InstanceHooks, ...] = ()
    server_hooks: tuple[ServerHooks, ...] = ()
    session_hooks: tuple[SessionHooks, ...] = ()
    fifos: tuple[FifoSpec, ...] = ()
    mail: MailSpec | None = None
    webhooks: tuple[WebhookSpec, ...] = ()
    journal: bool = False
    #: Octal mode bits that new FIFOs do not get.
    umask: int = 0o177
    #: Seconds after which a hook that still runs no longer holds up the next one of the same instance.
    hook_patience: float = 10.0

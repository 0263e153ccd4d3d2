"""From the configuration to the channels: scripts resolved, FIFO owners found, mail settings with their
defaults."""

from __future__ import annotations

import getpass
import socket

from fastha.config.model import Command, Config, Fifo, Globals, Notify
from fastha.notify.events import Kind
from fastha.notify.spec import (
    FifoSpec,
    InstanceHooks,
    MailSpec,
    NotifyPlan,
    ServerHooks,
    SessionHooks,
    WebhookSpec,
)
from fastha.scripts.identity import IdentityError, resolve
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Program

_NS = 1e9


def notify_plan(
    config: Config,
    resolver: Resolver,
    *,
    server_hooks: tuple[ServerHooks, ...] = (),
) -> tuple[NotifyPlan, tuple[str, ...]]:
    """The plan, and what to tell the operator. Scripts' own problems are in `resolver.messages`."""
    said: list[str] = []
    globals_ = config.globals_
    hooks = [
        _hooks(
            resolver,
            Kind.GROUP,
            group.name,
            group.notify,
            smtp_alert=group.smtp_alert,
            priority_changes=group.notify_priority_changes,
        )
        for group in config.sync_groups
    ]
    hooks += [
        _hooks(
            resolver,
            Kind.INSTANCE,
            instance.name,
            instance.settings.notify,
            smtp_alert=instance.settings.smtp_alert,
            priority_changes=instance.settings.notify_priority_changes,
        )
        for instance in config.instances
    ]
    plan = NotifyPlan(
        router_id=globals_.router_id or socket.gethostname(),
        hooks=tuple(hooks),
        server_hooks=server_hooks,
        session_hooks=_session_hooks(config, resolver),
        fifos=_fifos(globals_, resolver, said),
        mail=_mail(globals_, said),
        webhooks=tuple(WebhookSpec(url=hook.url, secret=hook.secret) for hook in globals_.webhooks),
        journal=globals_.journal,
        umask=0o177 if globals_.umask is None else globals_.umask,
    )
    return plan, tuple(said)


def _program(resolver: Resolver, command: Command | None, what: str) -> Program | None:
    if command is None:
        return None
    return resolver.program(
        command.argv, command.user, command.group, supplementary=command.supplementary, what=what
    )


def _hooks(
    resolver: Resolver, kind: Kind, name: str, notify: Notify, *, smtp_alert: bool, priority_changes: bool
) -> InstanceHooks:
    def program(command: Command | None, what: str) -> Program | None:
        return _program(resolver, command, f"{what} script of {name}")

    return InstanceHooks(
        kind=kind,
        name=name,
        master=program(notify.master, "notify_master"),
        backup=program(notify.backup, "notify_backup"),
        fault=program(notify.fault, "notify_fault"),
        stop=program(notify.stop, "notify_stop"),
        deleted=program(notify.deleted, "notify_deleted"),
        master_rx_lower_pri=program(notify.master_rx_lower_pri, "notify_master_rx_lower_pri"),
        generic=program(notify.generic, "notify"),
        notify_deleted=notify.notify_deleted,
        smtp_alert=smtp_alert,
        priority_changes=priority_changes,
    )


def _session_hooks(config: Config, resolver: Resolver) -> tuple[SessionHooks, ...]:
    def program(command: Command | None, what: str, name: str) -> Program | None:
        return _program(resolver, command, f"{what} script of bfd_instance {name}")

    return tuple(
        SessionHooks(
            name=session.name,
            up=program(session.notify_up, "notify_up", session.name),
            down=program(session.notify_down, "notify_down", session.name),
            generic=program(session.notify, "notify", session.name),
        )
        for session in config.bfd_instances
        if session.notify is not None or session.notify_up is not None or session.notify_down is not None
    )


def _fifos(globals_: Globals, resolver: Resolver, said: list[str]) -> tuple[FifoSpec, ...]:
    """The global FIFO first, then VRRP's, LVS's and BFD's: the order in which they are written."""
    wanted: tuple[tuple[str, Fifo | None, bool, bool, bool], ...] = (
        ("notify_fifo", globals_.notify_fifo, True, True, False),
        ("vrrp_notify_fifo", globals_.vrrp_notify_fifo, True, False, False),
        ("lvs_notify_fifo", globals_.lvs_notify_fifo, False, True, False),
        ("bfd_notify_fifo", globals_.bfd_notify_fifo, False, False, True),
    )
    found: list[FifoSpec] = []
    for keyword, fifo, vrrp, lvs, bfd in wanted:
        if fifo is None:
            continue
        if any(other.path == fifo.path for other in found):
            said.append(f"{keyword} {fifo.path} is ignored: FIFO names must all be different")
            continue
        uid = gid = None
        if fifo.user is not None:
            try:
                identity = resolve(fifo.user, fifo.group)
            except IdentityError as error:
                said.append(f"{keyword} {fifo.path} is not used: {error}")
                continue
            uid, gid = identity.uid, identity.gid
        script = None
        if fifo.script is not None:
            command = fifo.script
            script = resolver.program(
                command.argv,
                command.user,
                command.group,
                supplementary=command.supplementary,
                what=f"{keyword}_script",
            )
        found.append(FifoSpec(path=fifo.path, vrrp=vrrp, lvs=lvs, bfd=bfd, uid=uid, gid=gid, script=script))
    return tuple(found)


def _mail(globals_: Globals, said: list[str]) -> MailSpec | None:
    """Mail needs a server and recipients; the sender defaults to the daemon's user at this host."""
    smtp = globals_.smtp
    if smtp.server is None or not smtp.recipients:
        if smtp.server is not None or smtp.recipients:
            missing = "smtp_server" if smtp.server is None else "notification_email"
            said.append(f"no alert is mailed: {missing} is not set")
        return None
    host = socket.gethostname()
    sender = smtp.sender
    if sender is None:
        try:
            sender = f"{getpass.getuser()}@{host}"
        except (KeyError, OSError):
            sender = f"fastha@{host}"
    return MailSpec(
        server=smtp.server,
        port=smtp.port,
        recipients=smtp.recipients,
        sender=sender,
        helo=smtp.helo_name or host,
        timeout=smtp.connect_timeout_ns / _NS,
        no_faults=smtp.no_faults,
        no_checker_emails=smtp.no_checker_emails,
        tls=smtp.tls,
        ca_file=smtp.ca_file,
        user=smtp.user,
        password=smtp.password.decode("utf-8", "surrogateescape") if smtp.user is not None else None,
    )

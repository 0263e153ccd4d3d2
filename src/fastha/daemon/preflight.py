"""What a configuration needs of this machine, looked at before the daemon is started: programs that may run,
interfaces, files. `fastha check --machine` shows it. Changes nothing and opens no socket.

The rules for programs are the daemon's own (:mod:`fastha.scripts`): keepalived.conf(5), `script_user` and
`enable_script_security`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastha.config.diagnostics import Diagnostic
from fastha.config.model import Command, Config, Fifo, Notify, Span
from fastha.config.model_lvs import GrpcCheck, HttpCheck, MiscCheck
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Program

from .hooks import script_resolver

Wanted = tuple[str, Command | None, Span | None]


def preflight(
    config: Config, file: str, *, interfaces: frozenset[str] | None = None
) -> tuple[Diagnostic, ...]:
    """Everything that would be missing here. `interfaces`: instead of this machine's."""
    here = Span(file, 1)
    found: list[Diagnostic] = []
    for what, command, span in _commands(config):
        if command is None:
            continue
        # one resolver each: its messages belong to this command
        resolver: Resolver = script_resolver(config)
        program = resolver.program(
            command.argv, command.user, command.group, supplementary=command.supplementary, what=what
        )
        code = "FH0401" if program is None else "FH0402"
        said = [m for m in resolver.messages if not m.startswith("Disabling ")] or list(resolver.messages)
        if said:
            end = "; it is left out" if program is None else ""
            found.append(_warning(code, f"{what}: {'; '.join(said)}{end}", span or here))
    present = interfaces if interfaces is not None else frozenset(os.listdir("/sys/class/net"))  # noqa: PTH208
    for owner, name, span in _interfaces(config):
        if name not in present:
            text = f"{owner}: there is no interface {name} here (yet)"
            found.append(_warning("FH0403", text, span or here))
    for what, path, span in _files(config):
        if not os.access(path, os.R_OK):
            found.append(_warning("FH0404", f"{what}: {path} does not exist or cannot be read", span or here))
    for what, fifo in _fifos(config):
        directory = Path(fifo.path).parent
        if not directory.is_dir():
            text = f"{what}: the directory {directory} does not exist"
            found.append(_warning("FH0404", text, here))
    return tuple(dict.fromkeys(found))


def programs(config: Config) -> Iterator[tuple[str, Program]]:
    """Every program that a configuration may run, with what it is for; without those that may not run."""
    resolver = script_resolver(config)
    for what, command, _ in _commands(config):
        if command is not None:
            found = resolver.program(
                command.argv, command.user, command.group, supplementary=command.supplementary, what=what
            )
            if found is not None:
                yield what, found


def _warning(code: str, text: str, span: Span) -> Diagnostic:
    return Diagnostic(severity="warning", code=code, message=text, span=span)


def _commands(config: Config) -> Iterator[Wanted]:
    g = config.globals_
    yield "startup_script", g.startup_script, None
    yield "shutdown_script", g.shutdown_script, None
    for what, fifo in _fifos(config):
        yield f"{what}_script", fifo.script, None
    for script in config.scripts:
        yield f"vrrp_script {script.name}", script.command, script.span
    for instance in config.instances:
        yield from _notify(f"vrrp_instance {instance.name}", instance.settings.notify, instance.span)
    for group in config.sync_groups:
        yield from _notify(f"vrrp_sync_group {group.name}", group.notify, group.span)
    for session in config.bfd_instances:
        for word in ("notify", "notify_up", "notify_down"):
            yield f"bfd_instance {session.name} {word}", getattr(session, word), session.span
    for server in config.lvs.virtual_servers:
        yield "virtual_server quorum_up", server.quorum_up, server.span
        yield "virtual_server quorum_down", server.quorum_down, server.span
        for real in server.real_servers:
            yield f"real_server {real.address} notify_up", real.notify_up, real.span
            yield f"real_server {real.address} notify_down", real.notify_down, real.span
            for check in real.checkers:
                if isinstance(check, MiscCheck):
                    yield f"real_server {real.address} MISC_CHECK", check.command, check.span


def _notify(owner: str, n: Notify, span: Span | None) -> Iterator[Wanted]:
    for word in ("master", "backup", "fault", "stop", "deleted", "master_rx_lower_pri"):
        yield f"{owner} notify_{word}", getattr(n, word), span
    yield f"{owner} notify", n.generic, span


def _interfaces(config: Config) -> Iterator[tuple[str, str, Span | None]]:
    # devices that instances make for themselves are not there before
    made = {i.settings.vmac.name for i in config.instances if i.settings.vmac is not None}
    for i in config.instances:
        owner = f"vrrp_instance {i.name}"
        if i.interface is not None:
            yield owner, i.interface, i.span
        for track in i.settings.track_interfaces:
            yield owner, track.name, i.span
        for address in (*i.addresses, *i.excluded):
            if address.options.dev is not None and address.options.dev not in made:
                yield owner, address.options.dev, address.span
    for address in config.static_addresses:
        if address.options.dev is not None:
            yield "static_ipaddress", address.options.dev, address.span
    for session in config.bfd_instances:
        if session.interface is not None:
            yield f"bfd_instance {session.name}", session.interface, session.span
    for rule in config.bfd_unsolicited:
        yield "bfd_unsolicited", rule.interface, rule.span


def _files(config: Config) -> Iterator[tuple[str, str, Span | None]]:
    for server in config.lvs.virtual_servers:
        for real in server.real_servers:
            for check in real.checkers:
                if not isinstance(check, HttpCheck | GrpcCheck):
                    continue
                for what in ("ca", "certificate", "key"):
                    path = getattr(check.tls, what)
                    if path is not None:
                        yield f"real_server {real.address} {what}", path, check.span
    ca = config.globals_.smtp.ca_file
    if ca is not None:
        yield "fastha_smtp_ca", ca, None


def _fifos(config: Config) -> Iterator[tuple[str, Fifo]]:
    g = config.globals_
    for what, fifo in (
        ("notify_fifo", g.notify_fifo),
        ("vrrp_notify_fifo", g.vrrp_notify_fifo),
        ("lvs_notify_fifo", g.lvs_notify_fifo),
        ("bfd_notify_fifo", g.bfd_notify_fifo),
    ):
        if fifo is not None:
            yield what, fifo

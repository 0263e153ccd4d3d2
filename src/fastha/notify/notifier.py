"""Hands every event to every channel, in keepalived's order, and waits for none of them.

The order for one change is: the script of the state, the generic script, the FIFOs, then D-Bus and SNMP
where the daemon adds them as channels, mail, and fastha's own. A state that was already reported is not
reported again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastha.notify.channel import Channel, ChannelStatus
from fastha.notify.events import Event, InstanceEvent, Kind, State
from fastha.notify.fifo import FifoChannel
from fastha.notify.hooks import HookChannel
from fastha.notify.spec import InstanceHooks, NotifyPlan
from fastha.scripts.runner import Runner

if TYPE_CHECKING:
    from fastha.notify.journal import JournalChannel
    from fastha.notify.mail import MailChannel
    from fastha.notify.webhook import WebhookChannel

#: What keepalived waits at most for stop scripts.
STOP_GRACE_S = 1.0


class Notifier:
    """All channels of the daemon."""

    def __init__(self, runner: Runner, log: Callable[[str], None]) -> None:
        self._runner = runner
        self._log = log
        self._plan = NotifyPlan()
        self._hooks = HookChannel(runner, log)
        self._fifos: dict[str, FifoChannel] = {}
        self._mail: MailChannel | None = None
        self._webhooks: dict[str, WebhookChannel] = {}
        self._journal: JournalChannel | None = None
        self._added: list[Channel] = []
        self._reported: dict[tuple[Kind, str], State] = {}
        self._deleted_words: set[tuple[Kind, str]] = set()
        self._priority_changes: set[tuple[Kind, str]] = set()
        self._retired: set[asyncio.Task[None]] = set()

    @property
    def plan(self) -> NotifyPlan:
        """What is told, and how."""
        return self._plan

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels in the order in which they are told."""
        found: list[Channel] = [self._hooks, *self._fifos.values(), *self._added]
        if self._mail is not None:
            found.append(self._mail)
        found.extend(self._webhooks.values())
        if self._journal is not None:
            found.append(self._journal)
        return tuple(found)

    def status(self) -> tuple[ChannelStatus, ...]:
        """The counters of all channels."""
        return tuple(channel.status() for channel in self.channels)

    def add_channel(self, channel: Channel) -> None:
        """Adds a channel that another room made (D-Bus, SNMP); it is told after the FIFOs."""
        self._added.append(channel)

    def configure(self, plan: NotifyPlan) -> None:
        """Uses exactly the channels of `plan`. Those that stay keep what they have queued and counted."""
        before, self._plan = self._plan, plan
        known = {(hook.kind, hook.name) for hook in plan.hooks}
        gone = {(hook.kind, hook.name) for hook in before.hooks} - known
        # What is being removed by this very change is still to be told of as its old settings say.
        leaving = tuple(hook for hook in before.hooks if (hook.kind, hook.name) in gone)
        hooks = (*plan.hooks, *leaving)
        self._deleted_words = {(hook.kind, hook.name) for hook in hooks if hook.notify_deleted}
        self._priority_changes = {(hook.kind, hook.name) for hook in hooks if hook.priority_changes}
        self._hooks.configure(hooks, plan.server_hooks, plan.hook_patience, plan.session_hooks)
        self._configure_fifos(plan)
        self._configure_mail(plan, hooks)
        self._configure_webhooks(plan)
        self._configure_journal(plan)

    def publish(self, event: Event) -> None:
        """Tells every channel of an event. Returns at once."""
        if isinstance(event, InstanceEvent) and not self._is_news(event):
            return
        for channel in self.channels:
            try:
                channel.send(event)
            except Exception as error:  # a fault in one channel must not silence the others
                channel.failed += 1
                self._log(f"{channel.kind} {channel.name}: {type(error).__name__}: {error}: please report it")

    async def close(self, grace: float = STOP_GRACE_S) -> None:
        """Gives all channels `grace` seconds together to deliver what they hold, then ends them."""
        await asyncio.gather(*(channel.close(grace) for channel in self.channels))
        if self._retired:
            await asyncio.wait(self._retired, timeout=grace)

    def _is_news(self, event: InstanceEvent) -> bool:
        """Whether a transition leads to another state than the one reported last. Anything else always is
        news."""
        if not event.state.is_transition or event.quiet:
            return True
        key = (event.kind, event.name)
        if self._reported.get(key) is event.state:
            return False
        if event.state is State.DELETED:
            self._reported.pop(key, None)
        else:
            self._reported[key] = event.state
        return True

    def _configure_fifos(self, plan: NotifyPlan) -> None:
        wanted = {fifo.path: fifo for fifo in plan.fifos}
        for path in list(self._fifos):
            spec = wanted.get(path)
            old = self._fifos[path].spec
            if spec is None:
                self._retire(self._fifos.pop(path))
            elif (spec.uid, spec.gid) != (old.uid, old.gid):  # the same name is made anew below
                self._fifos.pop(path).abandon()
        ordered = {}
        for path, spec in wanted.items():
            channel = self._fifos.get(path)
            if channel is None:
                channel = FifoChannel(
                    spec,
                    self._runner,
                    self._log,
                    umask=plan.umask,
                    deleted_word=lambda kind, name: (kind, name) in self._deleted_words,
                    priority_changes=lambda kind, name: (kind, name) in self._priority_changes,
                )
                channel.open()
            else:
                channel.restart_script(spec)
            ordered[path] = channel
        self._fifos = ordered

    # Channels that few use are imported when they are first wanted.

    def _configure_mail(self, plan: NotifyPlan, hooks: tuple[InstanceHooks, ...]) -> None:
        if plan.mail is None:
            self._retire(self._mail)
            self._mail = None
        elif self._mail is not None:
            self._mail.configure(plan.mail, plan.router_id, hooks)
        else:
            from fastha.notify.mail import MailChannel  # noqa: PLC0415

            self._mail = MailChannel(
                plan.mail, self._runner.loop, self._log, router_id=plan.router_id, hooks=hooks
            )

    def _configure_journal(self, plan: NotifyPlan) -> None:
        if not plan.journal:
            self._retire(self._journal)
            self._journal = None
        elif self._journal is None:
            from fastha.notify.journal import JournalChannel  # noqa: PLC0415

            self._journal = JournalChannel(self._log)

    def _configure_webhooks(self, plan: NotifyPlan) -> None:
        wanted = {spec.url: spec for spec in plan.webhooks}
        for url in list(self._webhooks):
            if wanted.get(url) != self._webhooks[url].spec:
                self._retire(self._webhooks.pop(url))
        if not wanted:
            return
        from fastha.notify.webhook import WebhookChannel  # noqa: PLC0415

        for url, spec in wanted.items():
            if url in self._webhooks:
                continue
            try:
                self._webhooks[url] = WebhookChannel(spec, self._runner.loop, self._log, node=plan.router_id)
            except ValueError as error:
                self._log(str(error))

    def _retire(self, channel: Channel | None) -> None:
        """Lets a channel that is no longer wanted finish in the background."""
        if channel is None:
            return
        task = self._runner.loop.create_task(channel.close(STOP_GRACE_S))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

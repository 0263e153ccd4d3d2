"""From the configuration's model to what is tracked and who is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastha.config.model import (
    Command,
    Config,
    Fifo,
    Globals,
    Notify,
    Smtp,
    SyncGroup,
    Track,
    TrackFile,
    TrackProcess,
    VrrpInstance,
    VrrpScript,
    Webhook,
    with_settings,
)
from fastha.daemon.options import Options
from fastha.daemon.outlets import history_path
from fastha.notify.plan import notify_plan
from fastha.scripts.programs import Resolver
from fastha.tracking.plan import tracking_plan
from fastha.tracking.spec import Entry, Kind, ParamMatch

TRUE = Command(("/bin/true",))


def instance(name: str, **more: object) -> VrrpInstance:
    own = {key: more.pop(key) for key in ("vrid", "priority", "addresses") if key in more}
    made = VrrpInstance(
        **{"name": name, "vrid": 1, "family": 2, "interface": "eth0", **own}  # type: ignore[arg-type]
    )
    return with_settings(made, **more)


def entries(config: Config) -> tuple[dict[str, tuple[Entry, ...]], tuple[str, ...]]:
    plan, said = tracking_plan(config, Resolver(script_user=None))
    return {target.name: target.entries for target in plan.targets}, said


def test_weights_come_from_the_entry_or_from_what_is_tracked() -> None:
    config = Config(
        scripts=(VrrpScript(name="s", command=TRUE, weight=-7, reverse=True),),
        track_files=(TrackFile(name="f", path="/f", weight=3),),
        track_processes=(TrackProcess(name="p", command="x", weight=5),),
        instances=(
            instance(
                "VI",
                track_scripts=(Track("s"), Track("s", 9), Track("s", 0)),
                track_files=(Track("f"),),
                track_processes=(Track("p", reverse=True),),
                track_interfaces=(Track("eth1", -4),),
                track_bfds=(Track("b"),),
            ),
        ),
    )
    found, said = entries(config)
    assert found["VI"] == (
        Entry(Kind.INTERFACE, "eth1", -4),
        Entry(Kind.SCRIPT, "s", -7, reverse=True),
        Entry(Kind.SCRIPT, "s", 9),
        Entry(Kind.SCRIPT, "s", 0),
        Entry(Kind.FILE, "f", 3),
        Entry(Kind.PROCESS, "p", 5, reverse=True),
        Entry(Kind.BFD, "b", 0),
    )
    assert not said


def test_an_owner_is_not_moved() -> None:
    config = Config(
        scripts=(VrrpScript(name="s", command=TRUE), VrrpScript(name="w", command=TRUE, weight=5)),
        instances=(instance("VI", priority=255, track_scripts=(Track("s"), Track("w"))),),
    )
    found, said = entries(config)
    assert found["VI"] == (Entry(Kind.SCRIPT, "s", 0),)
    assert said == ("(VI) ignoring script w: weights do not move an address owner (priority 255)",)


@pytest.mark.parametrize("allowed", [False, True])
def test_sync_groups_share_what_they_track(allowed: bool) -> None:
    config = Config(
        scripts=(VrrpScript(name="s", command=TRUE),),
        track_files=(TrackFile(name="f", path="/f", weight=2),),
        track_processes=(TrackProcess(name="p", command="x", weight=5),),
        instances=(instance("A", track_scripts=(Track("s", -9),)), instance("B"), instance("C")),
        sync_groups=(
            SyncGroup(
                name="G",
                members=("A", "B"),
                track_scripts=(Track("s"),),
                track_files=(Track("f"),),
                track_processes=(Track("p"),),
                track_interfaces=(Track("eth1", 4),),
                tracking_weight=allowed,
            ),
        ),
    )
    found, said = entries(config)
    shared = (Entry(Kind.INTERFACE, "eth1", 4), Entry(Kind.SCRIPT, "s", 0))
    processes = (Entry(Kind.PROCESS, "p", 5),)
    if allowed:
        files = (Entry(Kind.FILE, "f", 2),)
        assert found["A"] == (Entry(Kind.SCRIPT, "s", -9), *shared, *files, *processes)
        assert found["B"] == (*shared, *files, *processes)
        assert not said
    else:
        assert found["A"] == found["B"] == (*shared, *processes)
        assert len(said) == 2 and all("sync_group_tracking_weight" in text for text in said)
    assert found["C"] == ()


def test_scripts_that_may_not_run_are_tracked_by_nobody(tmp_path: Path) -> None:
    config = Config(
        globals_=Globals(process_monitor_rcv_bufs=4096, process_monitor_rcv_bufs_force=True),
        scripts=(
            VrrpScript(name="gone", command=Command((str(tmp_path / "absent"),))),
            VrrpScript(name="empty"),
            VrrpScript(name="open", open_path="/x", init_fail=True, timeout_ns=1_500_000_000),
        ),
        track_processes=(
            TrackProcess(
                name="p", command="x", params=("-a",), param_match="partial", fork_delay_ns=250_000_000
            ),
        ),
    )
    resolver = Resolver()
    plan, said = tracking_plan(config, resolver)
    assert [spec.name for spec in plan.scripts] == ["open"]
    assert plan.scripts[0].open_path == "/x" and plan.scripts[0].limit == 1.5
    assert any("Disabling track script gone due to not found/accessible" in m for m in resolver.messages)
    assert said == (
        "vrrp_script open: init_fail changes nothing: no script is trusted before its first result",
    )
    process = plan.processes[0]
    assert (process.param_match, process.fork_delay, process.wants_cmdline) == (
        ParamMatch.PARTIAL,
        0.25,
        True,
    )
    assert (plan.process_rcv_bufs, plan.process_rcv_bufs_force) == (4096, True)


def test_who_is_told() -> None:
    config = Config(
        globals_=Globals(
            router_id="R",
            notify_fifo=Fifo(path="/run/a", user="nobody", script=TRUE),
            vrrp_notify_fifo=Fifo(path="/run/a"),
            lvs_notify_fifo=Fifo(path="/run/b", user="no-such-user"),
            smtp=Smtp(
                server="mx",
                recipients=("a@b",),
                tls="starttls",
                user="u",
                password=b"hunter2",
                no_faults=True,
            ),
            webhooks=(Webhook("http://h/", b"s"),),
            journal=True,
            umask=0o22,
        ),
        instances=(
            instance("VI", notify=Notify(master=TRUE, generic=TRUE, notify_deleted=True), smtp_alert=True),
        ),
        sync_groups=(SyncGroup(name="G", members=("VI",), notify=Notify(fault=TRUE)),),
    )
    plan, said = notify_plan(config, Resolver())
    group, single = plan.hooks
    assert group.fault is not None and group.kind.value == "GROUP" and not group.smtp_alert
    assert single.master is not None and single.backup is None and single.notify_deleted and single.smtp_alert
    (fifo,) = plan.fifos
    assert (fifo.path, fifo.vrrp, fifo.lvs, fifo.uid) == ("/run/a", True, True, 65534)
    assert fifo.script is not None
    assert any("must all be different" in text for text in said)
    assert any("no-such-user" in text for text in said)
    mail = plan.mail
    assert mail is not None and mail.no_faults
    assert (mail.tls, mail.user, mail.password) == ("starttls", "u", "hunter2")
    assert mail.sender.count("@") == 1 and mail.helo
    assert [hook.url for hook in plan.webhooks] == ["http://h/"] and plan.journal and plan.umask == 0o22
    assert "hunter2" not in repr(mail) and "hunter2" not in repr(config.globals_)


@pytest.mark.parametrize(
    ("smtp", "word"),
    [(Smtp(server="mx"), "notification_email"), (Smtp(recipients=("a@b",)), "smtp_server")],
)
def test_mail_needs_a_server_and_somebody_to_write_to(smtp: Smtp, word: str) -> None:
    plan, said = notify_plan(Config(globals_=Globals(smtp=smtp)), Resolver())
    assert plan.mail is None and word in said[0]
    plan, said = notify_plan(Config(), Resolver())
    assert plan.mail is None and not said and not plan.fifos and plan.umask == 0o177
    assert plan.router_id == os.uname().nodename


def test_where_the_history_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Path("/etc/fastha/fastha.conf")
    usual, other = Options(config=config), Options(config=config, run_directory=Path("/tmp/x"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert usual.state_directory(None) == Path("/var/lib/fastha")
    assert other.state_directory(None) == Path("/tmp/x")
    assert other.state_directory("/s") == Path("/s")
    monkeypatch.setenv("STATE_DIRECTORY", "/state:/more")
    assert other.state_directory(None) == Path("/state")
    state = Path("/state")
    assert history_path(Globals(), state) == Path("/state/history.jsonl")
    assert history_path(Globals(history=""), state) is None
    assert history_path(Globals(history="/h"), state) == Path("/h")

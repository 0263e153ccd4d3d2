"""`fastha lab`: test beds of routers and clients in network namespaces of this machine."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click


def _stop_on_signals() -> None:
    """SIGTERM and SIGHUP end a lab as Ctrl-C does, so that it is taken down."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


@click.group(name="lab")
def command() -> None:
    """Routers, clients and links in network namespaces. Needs root; leaves nothing behind."""


@command.command()
@click.option(
    "--advert",
    type=click.FloatRange(0.01, 10),
    default=0.1,
    show_default=True,
    help="Seconds between adverts.",
)
def demo(advert: float) -> None:
    """Two fastha and a keepalived share addresses; masters die, return, stop; what a client notices."""
    from fastha.lab import LabError  # noqa: PLC0415  (other commands do not load the lab)
    from fastha.lab.demo import run  # noqa: PLC0415

    _stop_on_signals()
    try:
        run(advert=advert, say=click.echo)
    except LabError as error:
        click.echo(f"fastha lab demo: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def up(file: Path) -> None:
    """Build the lab that FILE (TOML) describes, and keep it until Ctrl-C."""
    from fastha.lab import FasthaDaemon, Lab, LabError  # noqa: PLC0415
    from fastha.lab.topofile import build, read  # noqa: PLC0415

    _stop_on_signals()
    try:
        read(file)
        with Lab("up") as lab:
            daemons = build(lab, file)
            for node in lab.nodes.values():
                click.echo(f"{node.name:<8} ip netns exec {node.namespace} bash")
            for daemon in daemons:
                click.echo(f"{daemon.node.name:<8} {daemon.kind}, pid {daemon.pid}, log {daemon.log_file}")
                if isinstance(daemon, FasthaDaemon):
                    click.echo(f"{'':<8} fastha show --control-socket {daemon.control_socket}")
            click.echo("Ctrl-C takes it down.", err=True)
            signal.pause()
    except LabError as error:
        click.echo(f"fastha lab up: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("taken down", err=True)


@command.command()
@click.option("--seed", type=click.IntRange(0), help="Which story; a new one without it.")
@click.option(
    "--peers",
    type=click.Choice(["fastha", "mixed", "keepalived"]),
    default="fastha",
    show_default=True,
    help="What the three routers run; mixed: fastha, keepalived, fastha.",
)
@click.option("--time", "seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="Seconds.")
@click.option(
    "--advert",
    type=click.FloatRange(0.01, 10),
    default=0.1,
    show_default=True,
    help="Seconds between adverts.",
)
@click.option("--vmac", is_flag=True, help="With virtual MAC addresses.")
@click.option("--bfd", is_flag=True, help="fastha's backups take over by BFD (`bfd auto`).")
@click.option(
    "--slack",
    type=click.FloatRange(0),
    default=0.25,
    show_default=True,
    help="Seconds that this machine may add to every bound.",
)
def chaos(
    seed: int | None, peers: str, seconds: float, advert: float, vmac: bool, bfd: bool, slack: float
) -> None:
    """Play a story of faults on real routers and check, from the packets, what must hold all the time.

    The same seed is the same story. Exit code 1 when an invariant did not hold by fastha's fault.
    """
    import secrets  # noqa: PLC0415

    from fastha.lab import LabError  # noqa: PLC0415
    from fastha.lab.chaos import run  # noqa: PLC0415

    _stop_on_signals()
    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    try:
        outcome = run(chosen, seconds, peers, advert=advert, vmac=vmac, bfd=bfd, slack=slack, say=click.echo)
    except LabError as error:
        click.echo(f"fastha lab chaos: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    for violation in outcome.of_peers:
        click.echo(f"the peer's: {violation.invariant}: {violation.text}")
    for violation in outcome.violations:
        click.echo(f"does not hold: {violation.invariant}: {violation.text}")
    click.echo(f"seed {chosen}: {outcome.terms} terms of a master, {len(outcome.violations)} violations")
    sys.exit(1 if outcome.violations else 0)

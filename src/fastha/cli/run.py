"""`fastha run`: the daemon, in the foreground."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fastha.daemon.options import DEFAULT_CONFIG, RUN_DIRECTORY, Options


@click.command(name="run")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="Configuration: any keepalived.conf.",
)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name up to the first dot by default.")
@click.option("--control-socket", type=click.Path(path_type=Path), help="Where `fastha show` asks.")
@click.option(
    "--pid", "pid_file", type=click.Path(path_type=Path), help="Pid file; also keeps a second daemon out."
)
@click.option(
    "--run-directory",
    type=click.Path(path_type=Path),
    default=RUN_DIRECTORY,
    show_default=True,
    help="For what must survive a kill: names of what was set up.",
)
@click.option("-s", "--namespace", help="Network namespace to work in; wins over the configuration.")
@click.option("-D", "--log-detail", is_flag=True, help="Log debug messages too.")
def command(
    file: Path,
    config_id: str | None,
    control_socket: Path | None,
    pid_file: Path | None,
    run_directory: Path,
    namespace: str | None,
    log_detail: bool,
) -> None:
    """Run the daemon in the foreground; it logs to standard error, or to the journal under systemd.

    SIGHUP reloads the configuration as a difference, SIGTERM and SIGINT hand every address over and end.
    """
    from fastha.daemon.start import run  # noqa: PLC0415  (what the daemon needs, other commands do not)

    options = Options(
        config=file,
        config_id=config_id,
        control_socket=control_socket,
        pid_file=pid_file,
        run_directory=run_directory,
        namespace=namespace,
        detail=log_detail,
        journal="JOURNAL_STREAM" in os.environ,
    )
    raise SystemExit(run(options))

"""`fastha`: the command line. Each command is a file of its own, loaded when it is used and not before.

To add a command, write its module and add a row to COMMANDS.
"""

from __future__ import annotations

import importlib
import sys

import click

from fastha import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one line of help)
    "run": ("fastha.cli.run:command", "Run the daemon in the foreground."),
    "check": ("fastha.cli.check:command", "Check a configuration; say everything that is wrong with it."),
    "compat": ("fastha.cli.compat:command", "Whether a keepalived.conf means the same here, line by line."),
    "config": ("fastha.cli.config:command", "Show, compare and format configurations."),
    "explain": ("fastha.cli.explain:command", "What a keyword or a diagnostic's code means."),
    "show": ("fastha.cli.show:command", "What the running daemon knows."),
    "watch": ("fastha.cli.watch:command", "The running daemon, live and full-screen."),
    "why": ("fastha.cli.why:command", "Why an instance is master or not, and what led to that."),
    "reload": ("fastha.cli.reload:command", "Read the configuration again, apply the difference."),
    "plan": ("fastha.cli.plan:command", "What a configuration would do to what runs, before it is applied."),
    "apply": ("fastha.cli.plan:apply", "Apply a configuration, on trial if wanted: it goes back by itself."),
    "confirm": ("fastha.cli.plan:confirm", "Keep a configuration that is on trial, or take it back."),
    "drain": (
        "fastha.cli.drain:command",
        "Hand an instance, a group, the node or a server over; keep it away.",
    ),
    "bfd": ("fastha.cli.show_bfd:command", "Take a BFD session to AdminDown, or back."),
    "genhash": ("fastha.cli.genhash:genhash", "The digest of a page, for HTTP_GET and SSL_GET."),
    "server": ("fastha.cli.show_servers:server", "Drain, undrain or weigh a real server."),
    "weight": ("fastha.cli.show_servers:weigh", "Change the weight of a real server."),
    "undrain": ("fastha.cli.drain:undrain", "Let what was drained take part again."),
    "switchover": ("fastha.cli.switchover:command", "Hand an instance or a group over to its backup."),
    "sim": ("fastha.cli.sim:command", "Simulate failures on networks in memory, from seeds; replay them."),
    "lab": ("fastha.cli.lab:command", "Test beds in network namespaces; `lab demo` shows a failover."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now; None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Lists the commands from the table, so that --help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="fastha")
def cli() -> None:
    """fastha keeps an address alive: VRRP, BFD and health-checked IPVS, from the keepalived.conf you have."""


def main() -> None:
    """Entry point of the `fastha` program."""
    sys.exit(cli(prog_name="fastha"))


if __name__ == "__main__":
    main()

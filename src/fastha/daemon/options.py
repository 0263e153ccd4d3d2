"""How the daemon was called, whichever command line it was called with."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

DEFAULT_CONFIG = Path("/etc/fastha/fastha.conf")
KEEPALIVED_CONFIG = Path("/etc/keepalived/keepalived.conf")
RUN_DIRECTORY = Path("/run/fastha")

STATE_DIRECTORY = Path("/var/lib/fastha")

EXIT_OK = 0
EXIT_FATAL = 1
EXIT_CONFIG = 2
EXIT_PERMISSION = 4
EXIT_NO_CONFIG = 6


class Options(msgspec.Struct, kw_only=True):
    """What the command line says; the configuration says the rest."""

    config: Path
    config_id: str | None = None
    control_socket: Path | None = None
    pid_file: Path | None = None
    run_directory: Path = RUN_DIRECTORY
    namespace: str | None = None
    detail: bool = False
    journal: bool = False
    """Standard error is the journal: mark levels, add no time stamps."""
    console: bool = True
    """Log to standard error."""
    syslog: bool = False
    """Log to the journal or syslog."""
    more_pid_files: list[Path] = []
    """keepalived's children have pid files of their own; they are this process."""
    vrrp: bool = True
    checkers: bool = True
    bfd: bool = True

    def state_directory(self, configured: str | None) -> Path:
        """Where what must survive a restart is kept.

        Without `fastha_state_directory`: systemd's StateDirectory, else beside the run files when these are
        not in their usual place (several daemons on one machine), else /var/lib/fastha.
        """
        if configured is not None:
            return Path(configured)
        state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        if state:
            return Path(state)
        return self.run_directory if self.run_directory != RUN_DIRECTORY else STATE_DIRECTORY

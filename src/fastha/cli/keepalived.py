"""`fastha-keepalived`: keepalived's own option letters and defaults, so that a unit file needs only
another path.

Written without click: the letters are getopt's, and a daemon that is started by systemd loads nothing it
does not need.
Source: keepalived(8).
"""

from __future__ import annotations

import getopt
import os
import signal
import sys
from pathlib import Path

from fastha import __version__
from fastha.daemon.options import EXIT_FATAL, EXIT_OK, KEEPALIVED_CONFIG, RUN_DIRECTORY, Options

_SHORT = "hvf:PCBlDS:g::Gu:XVIRndp:r:c:b:Tat::mM::xA:s:ei:LO"
_LONG = [
    "help",
    "version",
    "use-file=",
    "vrrp",
    "check",
    "no_bfd",
    "all",
    "log-console",
    "log-detail",
    "log-facility=",
    "log-file",
    "flush-log-file",
    "no-syslog",
    "umask=",
    "release-vips",
    "dont-release-vrrp",
    "dont-release-ipvs",
    "dont-respawn",
    "dont-fork",
    "dump-conf",
    "pid=",
    "vrrp_pid=",
    "checkers_pid=",
    "bfd_pid=",
    "genhash",
    "address-monitoring",
    "config-test",
    "core-dump",
    "core-dump-pattern",
    "snmp",
    "snmp-agent-socket=",
    "namespace=",
    "all-config",
    "config-id=",
    "signum=",
    "ignore-sigint",
]
_SIGNALS = {
    "STOP": int(signal.SIGTERM),
    "RELOAD": int(signal.SIGHUP),
    "DATA": int(signal.SIGUSR1),
    "STATS": int(signal.SIGUSR2),
    "JSON": int(signal.SIGRTMIN) + 2,
    "STATS_CLEAR": int(signal.SIGRTMAX) - 1,
}
_NO_EFFECT = {
    "-R": "there are no child processes to restart",
    "-x": "SNMP is not built yet",
    "-A": "SNMP is not built yet",
    "-m": "set LimitCORE in the unit, or ulimit -c",
    "-M": "set kernel.core_pattern",
    "-a": "use ip monitor address",
    "-V": "an address never outlives the daemon that answers for it",
    "-X": "addresses are always released",
    "-S": "use the journal's or syslog's own rules",
    "-g": "redirect standard error, or use the journal",
    "-d": "use fastha config show",
}
_LETTERS = {
    "--dont-respawn": "-R",
    "--snmp": "-x",
    "--snmp-agent-socket": "-A",
    "--core-dump": "-m",
    "--core-dump-pattern": "-M",
    "--address-monitoring": "-a",
    "--dont-release-vrrp": "-V",
    "--release-vips": "-X",
    "--log-facility": "-S",
    "--log-file": "-g",
    "--dump-conf": "-d",
}
HELP = """Usage: fastha-keepalived [OPTION...]

keepalived's options, served by fastha:
  -f, --use-file=FILE       configuration (default /etc/keepalived/keepalived.conf)
  -P, --vrrp                only VRRP
  -C, --check               only health checks and IPVS
  -B, --no_bfd              no BFD
  -l, --log-console         log to standard error, too
  -D, --log-detail          detailed log
  -G, --no-syslog           nothing to syslog
  -u, --umask=MASK          umask of created files
  -I, --dont-release-ipvs   leave IPVS at stop
  -n, --dont-fork           stay in the foreground
  -p, --pid=FILE            pid file
  -r, -c, -b FILE           pid files of keepalived's children (same process here)
  -T, --genhash             become genhash
  -t, --config-test[=LOG]   check the configuration and end
  -s, --namespace=NAME      network namespace
  -e, --all-config          a missing include is an error
  -i, --config-id=ID        value for @ID lines
      --signum=NAME         print a signal number: STOP RELOAD DATA STATS JSON STATS_CLEAR
  -v, --version             version
  -h, --help                this
"""


def main() -> None:
    """Entry point of the `fastha-keepalived` program."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    try:
        found, extra = getopt.gnu_getopt(_optional(arguments), _SHORT.replace("::", ":"), _LONG)
    except getopt.GetoptError as error:
        print(f"fastha-keepalived: {error}\n{HELP}", file=sys.stderr)
        return EXIT_FATAL
    if extra:
        print(f"Unexpected argument(s): {' '.join(extra)}", file=sys.stderr)
    options = Options(config=KEEPALIVED_CONFIG, run_directory=RUN_DIRECTORY, console=False, syslog=True)
    fork, test, pid_files = True, False, []
    for name, value in found:
        if name in ("-h", "--help"):
            print(HELP, end="")
            return EXIT_OK
        if name in ("-v", "--version"):
            print(f"fastha {__version__}, in keepalived's place", file=sys.stderr)
            return EXIT_OK
        if name == "--signum":
            return _signal(value)
        if name in ("-T", "--genhash"):
            return _genhash(arguments)
        if name in ("-f", "--use-file"):
            options.config = Path(value)
        elif name in ("-i", "--config-id"):
            options.config_id = value
        elif name in ("-p", "--pid"):
            options.pid_file = Path(value)
        elif name in ("-r", "--vrrp_pid", "-c", "--checkers_pid", "-b", "--bfd_pid"):
            pid_files.append(Path(value))
        elif name in ("-s", "--namespace"):
            options.namespace = value
        elif name in ("-D", "--log-detail"):
            options.detail = True
        elif name in ("-P", "--vrrp"):
            options.checkers = False
        elif name in ("-C", "--check"):
            options.vrrp = False
        elif name in ("-B", "--no_bfd"):
            options.bfd = False
        elif name in ("-n", "--dont-fork"):
            fork = False
        elif name in ("-t", "--config-test"):
            test = True
        elif name in ("-u", "--umask"):
            os.umask(int(value, 8))
        elif name in ("-l", "--log-console"):
            options.console = True
        elif name in ("-G", "--no-syslog"):
            options.syslog = False
        elif _LETTERS.get(name, name) in _NO_EFFECT:
            why = _NO_EFFECT[_LETTERS.get(name, name)]
            print(f"fastha-keepalived: {name} has no effect: {why}", file=sys.stderr)
    if test:
        return _test(options)
    if options.pid_file is None:
        options.pid_file = Path("/run/keepalived.pid")
    options.more_pid_files = pid_files
    if fork:
        _daemonize()
    else:
        options.console = options.console or not options.syslog
    options.journal = "JOURNAL_STREAM" in os.environ
    from fastha.daemon.start import run  # noqa: PLC0415

    return run(options)


def _optional(arguments: list[str]) -> list[str]:
    """getopt knows no optional values of short options: -t, -g and -M take one only when it is attached."""
    out: list[str] = []
    for argument in arguments:
        if argument in ("-t", "-g", "-M"):
            out.append({"-t": "--config-test", "-g": "--log-file", "-M": "--core-dump-pattern"}[argument])
        elif argument[:2] in ("-t", "-g", "-M") and not argument.startswith("--"):
            out.append({"-t": "--config-test", "-g": "--log-file", "-M": "--core-dump-pattern"}[argument[:2]])
        else:
            out.append(
                argument.partition("=")[0]
                if argument.startswith(("--config-test=", "--log-file="))
                else argument
            )
    return out


def _signal(name: str) -> int:
    number = _SIGNALS.get(name)
    if number is None:
        print(f"Unknown signal {name}; known: {' '.join(_SIGNALS)}", file=sys.stderr)
        return EXIT_FATAL
    print(number)
    return EXIT_OK


def _genhash(arguments: list[str]) -> int:
    from fastha.cli.genhash import genhash  # noqa: PLC0415

    rest = [a for a in arguments if a not in ("-T", "--genhash")]
    return int(genhash.main(args=rest, prog_name="genhash", standalone_mode=False) or EXIT_OK)


def _test(options: Options) -> int:
    """keepalived's codes: 0 nothing to complain of, 4 not found or fatal, 5 any other complaint."""
    from fastha import config  # noqa: PLC0415

    if not options.config.exists():
        print("Config files missing", file=sys.stderr)
        return EXIT_OK
    result = config.load(options.config, config_id=options.config_id)
    told = [d for d in result.diagnostics if d.severity != "note"]
    for diagnostic in told:
        print(diagnostic.render(), file=sys.stderr)
    return 4 if result.config is None else 5 if told else 0


def _daemonize() -> None:
    """Into the background, as keepalived goes: a session of its own, standard descriptors to /dev/null."""
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


if __name__ == "__main__":
    main()

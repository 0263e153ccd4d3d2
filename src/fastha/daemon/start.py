"""From the command line to a running daemon: configuration, namespace, pid files, privileges, the event loop;
and the exit code.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from fastha.config.result import LoadResult

from .options import (
    EXIT_CONFIG,
    EXIT_FATAL,
    EXIT_NO_CONFIG,
    EXIT_OK,
    EXIT_PERMISSION,
    Options,
)
from .reading import Reading

if TYPE_CHECKING:
    from fastha.config.model import Config
    from fastha.telemetry.log import Sink

    from .log import Log
    from .privileges import Privileges


class StartError(Exception):
    """The daemon cannot start; carries its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def run(options: Options) -> int:
    """Runs the daemon in this process; returns the exit code (keepalived's, where it has one)."""
    # What is made now lives as long as the daemon: the collector need not look at it again, and start-up,
    # which makes thousands of objects and drops none, need not wait for it.
    gc.disable()
    reading = Reading(options.config, config_id=options.config_id) if options.config.exists() else None
    # Loaded while the configuration is read.
    import fastha.daemon.main  # noqa: F401, PLC0415
    from fastha.net.namespace import NamespaceError, enter  # noqa: PLC0415

    from .log import Log  # noqa: PLC0415
    from .pidfile import AlreadyRunningError, PidFile  # noqa: PLC0415
    from .privileges import Privileges  # noqa: PLC0415

    log = Log(_sinks(options), detail=options.detail)
    try:
        configuration = _judge(reading.result() if reading is not None else None, options, log)
        namespace = options.namespace or configuration.globals_.net_namespace
        if namespace is not None:
            enter(namespace, run_directory=options.run_directory)
        options.run_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        pid_files = [
            PidFile(path) for path in (options.pid_file, *options.more_pid_files) if path is not None
        ]
    except StartError as error:
        log("error", str(error))
        return error.code
    except (AlreadyRunningError, NamespaceError, OSError) as error:
        log("error", str(error))
        return EXIT_FATAL
    try:
        privileges = Privileges(log)
        privileges.lower(configuration)
        return _loop(options, configuration, log, privileges)
    finally:
        for pid_file in pid_files:
            pid_file.close()
        log.close()


def _sinks(options: Options) -> list[Sink]:
    from fastha.telemetry.log import StreamSink, default_sinks  # noqa: PLC0415

    sinks: list[Sink] = default_sinks(console=False, syslog=True) if options.syslog else []
    if options.console or not sinks:
        sinks.append(StreamSink(2, stamp=not options.journal, level_prefix=options.journal))
    return sinks


def _judge(result: LoadResult | None, options: Options, log: Log) -> Config:
    """What is to be run of what was read; None: there is no such file."""
    import msgspec  # noqa: PLC0415

    if result is None:
        raise StartError(EXIT_NO_CONFIG, f"configuration file {options.config} does not exist")
    for diagnostic in result.diagnostics:
        log("error" if diagnostic.severity == "error" else "warning", diagnostic.render())
    if result.config is None:
        raise StartError(EXIT_CONFIG, f"{options.config} has errors; see above")
    wanted = result.config
    if not options.vrrp:
        wanted = msgspec.structs.replace(wanted, instances=(), sync_groups=())
    if not options.bfd:
        wanted = msgspec.structs.replace(wanted, bfd_instances=(), bfd_unsolicited=(), sbfd_reflector=None)
    return wanted


def _loop(options: Options, configuration: Config, log: Log, privileges: Privileges) -> int:
    import asyncio  # noqa: PLC0415

    import uvloop  # noqa: PLC0415  (only the daemon itself needs it)

    from fastha._core.engine import EngineError, one_heap  # noqa: PLC0415

    from .main import Daemon  # noqa: PLC0415

    one_heap()

    async def main() -> int:
        daemon = Daemon(options, configuration, log)
        daemon.on_change = privileges.reloaded
        return await daemon.run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    except EngineError as error:
        log("error", str(error.strerror or error))
        return EXIT_PERMISSION if error.errno in (1, 13) else EXIT_FATAL
    except OSError as error:
        log("error", f"{error.strerror or error}")
        return EXIT_FATAL
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception as error:  # the addresses were handed over in `finally`; say why, once
        log("error", f"internal error: {type(error).__name__}: {error}; every instance was handed over")
        if options.detail:
            raise
        return EXIT_FATAL

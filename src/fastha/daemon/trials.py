"""The commands of a planned change of configuration: plan, apply, confirm.

Light: what they do is loaded when it is first asked for (`foretell`, `trial`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastha.config.diff import compare
from fastha.config.model import Config
from fastha.config.result import LoadResult
from fastha.vrrp.records import Level as NoteLevel
from fastha.vrrp.records import Note

from .control import ControlError
from .reading import read
from .wishes import write_lasting

if TYPE_CHECKING:
    from .main import Daemon
    from .trial import Trial

FILE = "trial.json"
LONGEST_S = 24 * 3600.0
_LOOK_S = 0.5


class Marker(msgspec.Struct, kw_only=True):
    """The note that a trial is under way, for the daemon that is started after a crash in its midst."""

    v: int = 1
    file: str
    began: float
    confirm_s: float


class Trials:
    """Plans and applies configurations; at most one is on trial."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._marker = daemon.state_directory / FILE
        self.trial: Trial | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.last = ""
        """What became of the last trial."""
        self._find_a_broken_one()

    def _find_a_broken_one(self) -> None:
        try:
            raw = self._marker.read_bytes()
        except OSError:
            return
        with contextlib.suppress(OSError):
            self._marker.unlink()
        with contextlib.suppress(msgspec.MsgspecError):
            marker = msgspec.json.decode(raw, type=Marker)
            self.last = (
                f"{marker.file} was on trial when the daemon ended; not confirmed, so it is not used: "
                f"{self._daemon.options.config} is"
            )
            self._daemon.log("warning", self.last)

    def register(self, add: Callable[..., None]) -> None:
        """Makes the commands known; `add` is the control server's."""
        add("plan", self._do_plan, reads=False)
        add("apply", self._do_apply, reads=False)
        add("confirm", self._do_confirm, reads=False)

    def refuse_meanwhile(self) -> None:
        """Raises ControlError while a configuration is on trial."""
        if self.trial is not None:
            left = max(0.0, self.trial.deadline - time.monotonic())
            raise ControlError(
                f"{self.trial.file} is on trial for another {left:.0f} s: `fastha confirm`, or "
                "`fastha confirm --revert`, first"
            )

    # ---------------------------------------------------------------- plan

    async def _load(self, file: Path, *, text: str | None = None) -> tuple[Config, str]:
        """A file's configuration and its text. Raises ControlError with what is wrong with it."""
        options = self._daemon.options

        def reading() -> tuple[LoadResult, str]:
            content = file.read_text(encoding="utf-8", errors="surrogateescape") if text is None else text
            return read(file, config_id=options.config_id, text=content), content

        try:
            result, content = await asyncio.get_running_loop().run_in_executor(None, reading)
        except OSError as error:
            raise ControlError(f"{file}: {error.strerror}") from None
        if result.config is None:
            problems = "\n".join(d.render() for d in result.diagnostics if d.severity == "error")
            raise ControlError(f"{file} has errors; nothing was changed:\n{problems}")
        return self._daemon.fitting(result.config), content

    def _path(self, arguments: dict[str, Any]) -> Path:
        path = Path(str(arguments.get("file") or ""))
        if not path.is_absolute():
            raise ControlError(f"{path} is not an absolute path")
        return path

    async def _do_plan(self, arguments: dict[str, Any]) -> Any:
        path = self._path(arguments)
        config, _ = await self._load(path)
        return {"file": str(path), **await self.told(config)}

    async def told(self, config: Config) -> dict[str, Any]:
        """What a configuration would do, for JSON."""
        from .foretell import builtins, foretell  # noqa: PLC0415

        return builtins(await foretell(self._daemon, config))

    # ---------------------------------------------------------------- apply

    async def _do_apply(self, arguments: dict[str, Any]) -> Any:
        from .foretell import Level, builtins, foretell, lines  # noqa: PLC0415
        from .trial import Trial  # noqa: PLC0415

        self.refuse_meanwhile()
        confirm_s = float(arguments.get("confirm_s") or 0.0)
        if not 0 <= confirm_s <= LONGEST_S:
            raise ControlError(f"a trial lasts at most {LONGEST_S:g} s")
        async with self._daemon.changing:
            path = self._path(arguments)
            config, text = await self._load(path)
            await self._may_be_tried(path, text, config)
            told = await foretell(self._daemon, config)
            if arguments.get("no_failover") and told.level > Level.KEEPS:
                raise ControlError(
                    "refused, for this is more than --no-failover allows; nothing was changed:\n"
                    + "\n".join(lines(told))
                )
            answer = {"file": str(path), "confirm_s": confirm_s, **builtins(told)}
            trial = Trial(self._daemon, path, text, self._daemon.config, confirm_s)
            if not confirm_s:
                await self._daemon.change(config, f"apply {path}")
                await self._install(trial)
                return answer
            await trial.take_stock(told)
            await self._note_down(path, confirm_s)
            self.trial = trial
            self.last = ""
            try:
                await self._daemon.change(config, f"apply {path}, on trial for {confirm_s:g} s")
            except BaseException:
                with contextlib.suppress(Exception):
                    await self._daemon.change(trial.old, "back to what ran before")
                await self._end_trial()
                raise
            self._watcher = asyncio.get_running_loop().create_task(self._watch(trial))
            return answer

    async def _may_be_tried(self, path: Path, text: str, config: Config) -> None:
        """Whether a restart, and a confirmation, would do what they promise. Raises ControlError."""
        standing = self._daemon.options.config
        with contextlib.suppress(OSError):
            if path.samefile(standing):
                raise ControlError(
                    f"{path} is what a restart reads: until the new configuration is confirmed it must stay "
                    f"as it is. Write the new one to a file of its own, such as {standing}.new, beside it"
                )
        there, _ = await self._load(standing)
        if compare(self._daemon.config, there):
            raise ControlError(
                f"{standing} says something else than what runs, so that a restart would not go back: "
                "`fastha reload` first, or undo what was changed in it"
            )
        moved, _ = await self._load(standing, text=text)
        if compare(config, moved):
            raise ControlError(
                f"{path} would mean something else as {standing} (an include by relative path?): put it into "
                f"{standing.parent}"
            )

    async def _note_down(self, path: Path, confirm_s: float) -> None:
        marker = msgspec.json.encode(Marker(file=str(path), began=time.time(), confirm_s=confirm_s))
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, write_lasting, self._marker, marker)
        except OSError as error:  # a restart runs the old one all the same, and only cannot say why
            self._daemon.log("warning", f"{self._marker}: {error.strerror}", key="trial")

    # ---------------------------------------------------------------- how it ends

    async def _watch(self, trial: Trial) -> None:
        why = ""
        while not why:
            await asyncio.sleep(_LOOK_S)
            if time.monotonic() >= trial.deadline:
                why = "not confirmed in time"
            else:
                try:
                    why = await trial.wrong()
                except Exception as error:  # whatever cannot be looked at: the time still runs
                    self._daemon.log("error", f"trial: {type(error).__name__}: {error}", key="trial")
        await self._revert(trial, why)

    async def _revert(self, trial: Trial, why: str) -> None:
        async with self._daemon.changing:
            if self.trial is not trial:
                return
            self.last = f"{trial.file} was taken back: {why}"
            self._tell(self.last)
            await self._daemon.change(trial.old, "back to what ran before")
            await self._end_trial()

    def _tell(self, text: str) -> None:
        self._daemon.note(
            Note(kind="trial", level=NoteLevel.WARNING, text=text, monotonic_ns=time.monotonic_ns())
        )

    async def _end_trial(self) -> None:
        self.trial = None
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().run_in_executor(None, self._marker.unlink)

    async def _do_confirm(self, arguments: dict[str, Any]) -> Any:
        trial = self.trial
        if trial is None:
            raise ControlError(f"nothing is on trial{f': {self.last}' if self.last else ''}")
        if arguments.get("revert"):
            self._stop_watching()
            await self._revert(trial, "on request")
            return {"file": str(trial.file), "reverted": True}
        async with self._daemon.changing:
            if self.trial is not trial:
                raise ControlError(self.last)
            await self._install(trial)
            self._stop_watching()
            await self._end_trial()
            self.last = f"{trial.file} was confirmed"
        return {"file": str(trial.file), "reverted": False, "config": str(self._daemon.options.config)}

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _install(self, trial: Trial) -> None:
        """Makes the tried file what a restart reads. Raises ControlError; the trial then goes on."""
        from .trial import install  # noqa: PLC0415

        standing = self._daemon.options.config
        try:
            await asyncio.get_running_loop().run_in_executor(None, install, standing, trial.text)
        except OSError as error:
            raise ControlError(
                f"{standing} could not be written ({error.strerror}); a restart would run the old one"
            ) from None
        self._daemon.log("info", f"{trial.file} is now {standing}; the old one is {standing}.before")

    def close(self) -> None:
        """The daemon ends: what is on trial is not confirmed, and the next start says so."""
        self._stop_watching()

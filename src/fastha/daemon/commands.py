"""The commands of the control socket that the daemon itself answers; rooms that add more register theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import show
from .control import ControlError
from .seeing import Seeing

if TYPE_CHECKING:
    from fastha.lvs.manager import LvsManager

    from .main import Daemon


class Commands:
    """What may be asked of the running daemon, and told to it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def register(self, add: Callable[..., None]) -> None:
        """Makes the commands known; `add` is the control server's."""
        add("status", self._status, reads=True)
        add("instances", self._instances, reads=True)
        add("instance", self._instance, reads=True)
        Seeing(self._daemon).register(add)
        add("bfd", self._no_bfd, reads=True)  # until there are sessions
        add("counters", self._counters, reads=True)
        add("reload", self._reload, reads=False)
        add("announce", self._announce, reads=False)
        add("servers", self._servers, reads=True)
        add("server_drain", self._server_drain, reads=False)
        add("server_undrain", self._server_undrain, reads=False)
        add("server_weight", self._server_weight, reads=False)

    async def _status(self, _arguments: dict[str, Any]) -> Any:
        return show.status(self._daemon)

    async def _instances(self, _arguments: dict[str, Any]) -> Any:
        return [show.instance(self._daemon, running) for running in self._daemon.manager.instances.values()]

    async def _instance(self, arguments: dict[str, Any]) -> Any:
        return show.instance_in_full(self._daemon, self._named(arguments))

    async def _no_bfd(self, _arguments: dict[str, Any]) -> Any:
        return {"sessions": [], "refused": {}}

    async def _counters(self, _arguments: dict[str, Any]) -> Any:
        return show.counters(self._daemon)

    async def _reload(self, arguments: dict[str, Any]) -> Any:
        return await self._daemon.reload(check=bool(arguments.get("check")))

    def _named(self, arguments: dict[str, Any]) -> Any:
        name = arguments.get("name")
        running = self._daemon.manager.by_name(str(name))
        if running is None:
            known = ", ".join(sorted(r.name for r in self._daemon.manager.instances.values())) or "none"
            raise ControlError(f"there is no instance {name!r}; there are: {known}")
        return running

    async def _announce(self, arguments: dict[str, Any]) -> Any:
        running = self._named(arguments)
        self._daemon.engine.announce(running.slot)
        return {"instance": running.name}

    def _lvs(self) -> LvsManager:
        if self._daemon.balance is None or self._daemon.balance.manager is None:
            raise ControlError("no virtual servers are configured")
        return self._daemon.balance.manager

    async def _servers(self, _arguments: dict[str, Any]) -> Any:
        self._lvs()
        assert self._daemon.balance is not None
        return await self._daemon.balance.show()

    async def _server_drain(self, arguments: dict[str, Any]) -> Any:
        deadline = arguments.get("deadline_s")
        try:
            return await self._lvs().drain(
                str(arguments.get("server")), deadline_s=float(deadline) if deadline is not None else None
            )
        except LookupError as error:
            raise ControlError(str(error)) from None

    async def _server_undrain(self, arguments: dict[str, Any]) -> Any:
        try:
            return await self._lvs().undrain(str(arguments.get("server")))
        except LookupError as error:
            raise ControlError(str(error)) from None

    async def _server_weight(self, arguments: dict[str, Any]) -> Any:
        weight = arguments.get("weight")
        try:
            return await self._lvs().set_weight(
                str(arguments.get("server")), int(weight) if weight is not None else None
            )
        except LookupError as error:
            raise ControlError(str(error)) from None

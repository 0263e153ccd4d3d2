"""What VRRP tells load balancing, in a daemon that has both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastha.daemon.balance import Balance
from fastha.lvs.manager import LvsManager


class Told(LvsManager):
    """A manager that has not been started, and writes down what it is told."""

    def __init__(self) -> None:
        super().__init__(lambda _event: None)
        self.states: list[str] = []
        self.looked = 0

    def on_vrrp_state(self, instance: str, state: str, vrid: int = 0) -> None:
        self.states.append(f"{instance} {state} {vrid}")

    def on_addresses(self, addresses: Any) -> None:
        self.looked += 1
        super().on_addresses(addresses)


@pytest.mark.parametrize("count", [1, 500])
def test_addresses_are_looked_at_once_for_all_that_fail_over_together(tmp_path: Path, count: int) -> None:
    """Each look goes over every instance and every check: one for each that fails over would be quadratic."""

    async def body() -> None:
        vrrp = SimpleNamespace(instances={})
        hooks = SimpleNamespace(runner=None)
        balance = Balance(
            cast(Any, hooks), cast(Any, vrrp), cast(Any, []), lambda *_a, **_k: None, tmp_path / "servers"
        )
        told = Told()
        balance.manager = told
        for round_ in range(1, 3):
            for number in range(count):
                balance.vrrp_state(f"VI_{number}", "MASTER", number)
            assert told.looked == round_ - 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert told.looked == round_
        assert told.states == [f"VI_{n} MASTER {n}" for n in range(count)] * 2
        balance.vrrp_state("VI_0", "BACKUP", 0)
        balance.addresses()  # a look for another reason is enough
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told.looked == 3
        await balance.close()

    asyncio.run(body())

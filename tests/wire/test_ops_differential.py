"""One more sequence of events under Debian's keepalived and under fastha: a peer that comes and goes, one
that is deaf, failing scripts, a reload that removes, adds and changes, the end. Same lines, same calls.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import pytest
from test_ops_daemons import Witness, place  # noqa: F401 - a fixture
from vrrp_bed import bed, needs_keepalived, needs_root

from fastha.lab import KINDS, faults, wait_for
from fastha.lab.confs import block, config, instance, sync_group

pytestmark = [pytest.mark.wire, needs_root, needs_keepalived]
WORDS = ("master", "backup", "fault", "stop", "deleted", "master_rx_lower_pri")
LOWER = "MASTER_RX_LOWER_PRI"


def hooks(hook: Path, name: str, group: bool = False) -> list[str]:
    """A script for every state, and the generic one."""
    words = WORDS[:4] if group else WORDS
    own = [f'notify_{word} "{hook} {word} {name}"' for word in words]
    return [*own, f'notify "{hook} generic {name}"']


def text(here: Path, hook: Path, check: Path, *, later: bool = False) -> str:
    """OLD and GONE go with the reload (`later`), NEW comes, LONE has another priority."""

    def router(name: str, vrid: int, *lines: str, priority: int = 100, without: tuple[str, ...] = ()) -> str:
        told = [line for line in hooks(hook, name) if not line.startswith(without or ("-",))]
        return instance(
            name, vrid=vrid, priority=priority, addresses=[f"198.51.100.{100 + vrid}"], advert=0.3,
            lines=[*lines, *told],
        )  # fmt: skip

    tracked = block("track_script", ["check weight 0"])
    blocks = [
        block("vrrp_script check", [f'script "{check}"', "interval 1", "fall 2", "rise 2"]),
        sync_group("PAIR", ["IN", "OUT"], *hooks(hook, "PAIR", group=True)),
        router("IN", 1, tracked),
        router("OUT", 2),
        router("LONE", 3, priority=90 if later else 100),
    ]
    if later:
        blocks.append(router("NEW", 6))
    else:
        blocks.append(router("OLD", 4))  # has notify_deleted, which also says that DELETED is to be told
        blocks.append(router("GONE", 5, without=("notify_deleted",)))
    globals_ = (
        "script_user root", "enable_script_security", f"notify_fifo {here}/fifo",
        "vrrp_notify_priority_changes on", f'startup_script "{hook} startup"',
        f'shutdown_script "{hook} shutdown"',
    )  # fmt: skip
    return config(*blocks, globals_=globals_)


def peer(priority: int) -> str:
    """The other router, of LONE alone."""
    return config(instance("LONE", vrid=3, priority=priority, addresses=["198.51.100.103"], advert=0.3))


class Play:
    """The events, under one daemon."""

    def __init__(self, kind: str, here: Path) -> None:
        self.kind = kind
        self.here = here
        here.mkdir()
        self.hook, self.check, self.bad = here / "hook.sh", here / "check.sh", here / "bad"
        self.hook.write_text(f'#!/bin/sh\nl=; for a; do l="$l<$a>"; done; echo "$l" >> {here}/calls\n')
        self.check.write_text(f"#!/bin/sh\ntest ! -e {self.bad}\n")
        for path in (self.hook, self.check):
            path.chmod(0o755)
        self.witness = Witness(here)

    def seen(self, name: str, words: str, count: int = 1) -> None:
        wait_for(
            f"{count} x {name} {words} from {self.kind}: {self.witness.per_name().get(name)}",
            lambda: self.witness.per_name().get(name, []).count(words) >= count,
            timeout=20,
        )

    def run(self) -> tuple[dict[str, list[str]], Counter[str]]:
        with bed("diff") as made:
            daemon = made.daemon(1, self.kind, text(self.here, self.hook, self.check))
            for name in ("IN", "OUT", "LONE", "OLD", "GONE"):
                self.seen(name, "MASTER 100")
            self.seen("PAIR", "MASTER 0")
            # a better router comes, and goes
            other = made.daemon(2, "keepalived", peer(200))
            self.seen("LONE", "BACKUP 100", 2)
            other.terminate()
            self.seen("LONE", "MASTER 100", 2)
            # a script fails, and its sync group with it
            self.bad.touch()
            self.seen("PAIR", "FAULT 0")
            self.seen("OUT", "FAULT 100")
            self.bad.unlink()
            self.seen("PAIR", "MASTER 0", 2)
            self.seen("OUT", "MASTER 100", 2)
            self.seen("IN", "MASTER 100", 2)
            # a worse one is deaf, and speaks
            faults.deafen(made.routers[1])
            deaf = KINDS["keepalived"](made.routers[1], peer(50))
            deaf.start()
            self.seen("LONE", f"{LOWER} 100")
            deaf.terminate()
            time.sleep(0.5)
            daemon.reload(text(self.here, self.hook, self.check, later=True))
            self.seen("OLD", "DELETED 100")
            self.seen("GONE", "FAULT 100")
            self.seen("NEW", "MASTER 100")
            daemon.terminate()
            wait_for("the end", lambda: "<shutdown>" in self.witness.calls())
            time.sleep(0.5)
            return self.witness.per_name(), self.witness.calls()


@pytest.fixture
def plays(place: Path) -> Iterator[list[Play]]:  # noqa: F811
    made = [Play("keepalived", place / "k"), Play("fastha", place / "f")]
    yield made
    for each in made:
        each.witness.close()


@pytest.mark.skipif(shutil.which("nft") is None, reason="a deaf router needs nftables")
def test_the_same_calls_and_lines_with_a_peer_scripts_a_reload_and_the_end(plays: list[Play]) -> None:
    with ThreadPoolExecutor() as pool:  # both at once: each has a network of its own
        (lines, calls), (our_lines, our_calls) = pool.map(Play.run, plays)

    def told(found: dict[str, list[str]]) -> dict[str, list[str]]:
        """How often a deaf router speaks is chance."""
        return {
            name: [w for word, same in groupby(words) for w in ((word,) if LOWER in word else same)]
            for name, words in found.items()
        }

    def counted(found: Counter[str]) -> dict[str, int]:
        return {call: 1 if LOWER in call.upper() else count for call, count in found.items()}

    assert told(our_lines) == told(lines)
    assert counted(our_calls) == counted(calls)

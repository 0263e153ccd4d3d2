"""A network namespace for one test: made, entered by the test's own thread, removed whatever happens."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastha.net.namespace import visiting

_numbers = itertools.count()


def run(command: str, *, check: bool = True) -> str:
    """Run a command line (split at blanks, no shell) in the namespace the thread is in; its output."""
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr.strip()}")
    return done.stdout


def ip_json(arguments: str) -> Any:
    """``ip -d -j ARGUMENTS`` as data."""
    return json.loads(run(f"ip -d -j {arguments}") or "[]")


@contextlib.contextmanager
def namespace(prefix: str = "fhnet") -> Iterator[str]:
    """A fresh namespace that the calling thread is in for the length of the block."""
    name = f"{prefix}-{os.getpid()}-{next(_numbers)}"
    run(f"ip netns add {name}")
    try:
        with visiting(name):
            run("ip link set lo up")
            yield name
    finally:
        run(f"ip netns del {name}", check=False)


def _settled(end: str) -> bool:
    shown = run(f"ip -6 address show dev {end}")
    return "fe80:" in shown and "tentative" not in shown


def veth(one: str, other: str, *addresses: str) -> None:
    """Two ends of a cable, up, with no duplicate address detection to wait for; addresses go on the first."""
    run(f"ip link add {one} type veth peer name {other}")
    for end in (one, other):
        with contextlib.suppress(OSError):
            Path(f"/proc/sys/net/ipv6/conf/{end}/accept_dad").write_text("0")
        run(f"ip link set {end} up")
    # Even so the kernel makes link-local addresses, and lets them work, from a work queue: in its own time.
    deadline = time.monotonic() + 5
    while not all(_settled(end) for end in (one, other)) and time.monotonic() < deadline:
        time.sleep(0.005)
    for address in addresses:
        run(f"ip address add {address} dev {one}" + (" nodad" if ":" in address else ""))

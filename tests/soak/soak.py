"""Endurance: two fastha routers that are never left alone, and nothing of theirs may grow.

    python tests/soak/soak.py [SECONDS] [FOLDER] [SEED]

In rounds: reloads of other configurations, cables, interfaces that come and go, scripts that fail, hang and
are started in crowds, floods of bad packets, drains, dumps, clients of the control socket, a peer that stands
still. After each round everything is as in the beginning, and memory, descriptors, netlink sockets, threads,
processes, and what stands in the namespace are looked at. The report goes to FOLDER (build/soak): soak.md,
soak.svg, soak.json. Exit code 1 when something grew, a daemon ended, or logged an internal error. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from watch import Sample, at_rest, growth, look

import report
from fastha.daemon.client import NoDaemonError, RefusedError, ask
from fastha.lab import FasthaDaemon, Lab, LabError, confs, faults, wait_for
from fastha.lab.peers import Flood

LOOK_EVERY = 2.0
SETTLED = 2.5
"""Seconds after a round until the look that counts: scripts have ended, addresses are back."""


class Bed:
    """Two routers on two segments, their daemons, and everything that is done to them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.lab = Lab("soak")
        for segment in ("lan", "wan"):
            self.lab.segment(segment)
        self.nodes = [
            self.lab.node(
                f"r{n}", lan=[f"198.51.100.{n}/24", f"2001:db8:1::{n}/64"], wan=[f"203.0.113.{n}/24"]
            )
            for n in (1, 2)
        ]
        self.place = self.lab.directory / "place"
        self.place.mkdir(mode=0o755)
        self.lab.directory.chmod(0o755)
        for name, body in (
            ("check", f'test ! -e "{self.place}/$1"'),
            ("hang", f'test ! -e "{self.place}/hangs" || exec sleep 30'),
            ("hook", "exit 0"),
        ):
            (self.place / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.place / name).chmod(0o755)
        (self.place / "weight").write_text("0\n")
        self.daemons = [FasthaDaemon(node, self.text(n, 0)) for n, node in enumerate(self.nodes)]
        for daemon in self.daemons:
            daemon.start()

    # ---------------------------------------------------------------- what they run

    def text(self, router: int, variant: int) -> str:
        """The configuration of a router; variant 0 is how it begins and what it returns to."""
        base = (200, 100)[router] if variant != 2 else (100, 200)[router]
        count = {0: 12, 1: 20, 2: 12, 3: 5}[variant]
        advert = 0.2 if variant == 3 else 0.1
        scripts = [
            confs.block(
                f"vrrp_script check{n}",
                [f'script "{self.place}/check fail{n % 2}"', "interval 1", "timeout 1", "weight 2"],
            )
            for n in range(4)
        ]
        scripts.append(
            confs.block(
                "vrrp_script hang", [f'script "{self.place}/hang"', "interval 1", "timeout 1", "weight 1"]
            )
        )
        tracked = confs.block("vrrp_track_file level", [f"file {self.place}/weight", "weight 1"])
        lines = [
            confs.block("track_script", ["hang", *(f"check{n}" for n in range(4))]),
            confs.block("track_file", ["level"]),
            f'notify "{self.place}/hook"',
        ]
        followed = [confs.block("track_bfd", ["other weight 3"])]
        instances = [
            confs.instance(
                f"V{n}", vrid=n, priority=base, advert=advert,
                addresses=[f"198.51.100.{k + n}/24" for k in ((100, 150) if variant == 1 else (100,))],
                lines=[
                    *(lines if n <= 4 else followed if n == 5 else []),
                    *(["use_vmac"] if n in (3, 4) else []),
                ],
            )
            for n in range(1, count + 1)
        ]  # fmt: skip
        instances.append(
            confs.instance(
                "SIX", vrid=60, priority=base, advert=advert, addresses=["fe80::60/64", "2001:db8:1::60/64"]
            )
        )
        route = confs.block("virtual_routes", ["192.0.2.0/24 via 203.0.113.9"])
        instances.append(
            confs.instance(
                "WAN", vrid=70, priority=base, advert=advert, interface="eth1", addresses=["203.0.113.70/24"],
                lines=[route] if variant != 1 else [],
            )
        )  # fmt: skip
        session = confs.block(
            "bfd_instance other",
            [
                f"neighbor_ip 198.51.100.{2 - router}", f"source_ip 198.51.100.{1 + router}",
                "min_rx 50", "min_tx 50", f"multiplier {5 if variant == 2 else 4}",
            ],
        )  # fmt: skip
        return confs.config(
            session,
            *scripts,
            tracked,
            *instances,
            confs.sync_group("PAIR", ["V1", "V2"]),
            globals_=[
                "script_user root",
                "enable_script_security",
                f"vrrp_notify_fifo {self.place}/fifo{router}",
                f"fastha_history {self.place}/history{router}.jsonl",
                f"fastha_metrics_file {self.place}/metrics{router}",
            ],
        )

    # ---------------------------------------------------------------- what is done to them

    def reload(self) -> None:
        for _ in range(4):
            for n, daemon in enumerate(self.daemons):
                daemon.reload(self.text(n, self.chance.randrange(4)))
            time.sleep(self.chance.choice([0.05, 0.3, 0.8]))

    def cable(self) -> None:
        for _ in range(6):
            node = self.chance.choice(self.nodes)
            faults.unplug(node)
            time.sleep(self.chance.choice([0.01, 0.1, 0.5]))
            faults.plug(node)
            time.sleep(0.1)

    def churn(self) -> None:
        """Interfaces that nobody asked for, and one that an instance stands on."""
        for node in self.nodes:
            for _ in range(3):
                node.ip(*(f"link add churn{k} type veth peer name churned{k}" for k in range(8)))
                node.ip(*(f"link set churn{k} up" for k in range(8)), "address add 192.0.2.77/24 dev churn0")
                node.ip(*(f"link del churn{k}" for k in range(8)))
        node = self.chance.choice(self.nodes)
        faults.delete_interface(node, "eth1")
        time.sleep(self.chance.choice([0.05, 0.5]))
        faults.recreate_interface(node, "eth1")

    def scripts(self) -> None:
        """They fail and recover, hang, and priorities move with a file."""
        for n in range(6):
            flag = self.place / self.chance.choice(["fail0", "fail1", "hangs"])
            flag.touch()
            (self.place / "weight").write_text(f"{self.chance.randrange(-20, 20)}\n")
            time.sleep(self.chance.choice([0.1, 0.6, 1.1]))
            if n % 2:
                flag.unlink(missing_ok=True)

    def flood(self) -> None:
        """Three thousand bad frames a second."""
        node = self.chance.choice(self.nodes)
        mac = bytes.fromhex(node.mac().replace(":", ""))
        frames = []
        for _ in range(64):
            body = self.chance.randbytes(self.chance.randrange(1, 60))
            if self.chance.random() < 0.5:
                body = bytes((0x31, self.chance.randrange(256))) + body
            total = 20 + len(body)
            head = bytes((0x45, 0xC0, total >> 8, total & 255, 0, 0, 0, 0, 255, 112, 0, 0))
            head += bytes((198, 51, 100, 200, 224, 0, 0, 18))
            head = head[:10] + _checksum(head).to_bytes(2, "big") + head[12:]
            frames.append(b"\x01\x00\x5e\x00\x00\x12" + mac + b"\x08\x00" + head + body)
        Flood(node, frames, rate=3000, seconds=1).wait()

    def drain(self) -> None:
        for command in ("drain", "undrain"):
            for daemon in self.daemons:
                for name in ("V5", "V6"):
                    with contextlib.suppress(RefusedError):
                        ask(daemon.control_socket, command, timeout=20, name=name)

    def look_around(self) -> None:
        """Dumps by signals, questions, clients that leave in the middle."""
        for daemon in self.daemons:
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 2):
                daemon.signal(number)
            for command in ("status", "instances", "events", "counters"):
                for _ in range(5):
                    ask(daemon.control_socket, command)
            for _ in range(20):
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(5)
                    client.connect(str(daemon.control_socket))
                    client.sendall(
                        self.chance.choice([b'{"v":1,"do":"follow"}\n', b'{"v":1,"do":"eve', b"junk\n"])
                    )

    def standstill(self) -> None:
        daemon = self.chance.choice(self.daemons)
        daemon.pause()
        time.sleep(self.chance.choice([0.2, 0.6, 1.5]))
        daemon.resume()

    def addresses(self) -> None:
        """Somebody takes what is the master's."""
        for node in self.nodes:
            for n in (7, 8, 9):
                with contextlib.suppress(LabError):
                    faults.remove_address(node, f"198.51.100.{100 + n}/24")
            time.sleep(0.3)

    def deeds(self) -> list[Callable[[], None]]:
        return [
            self.reload, self.cable, self.churn, self.scripts, self.flood, self.drain, self.look_around,
            self.standstill, self.addresses,
        ]  # fmt: skip

    # ---------------------------------------------------------------- rounds

    def calm(self) -> None:
        """Everything as in the beginning."""
        for name in ("fail0", "fail1", "hangs"):
            (self.place / name).unlink(missing_ok=True)
        (self.place / "weight").write_text("0\n")
        for n, daemon in enumerate(self.daemons):
            daemon.reload(self.text(n, 0))

        def settled() -> bool:
            rows = ask(self.daemons[0].control_socket, "instances", timeout=20)
            sessions = ask(self.daemons[0].control_socket, "bfd", timeout=20)["sessions"]
            return (
                len(rows) == 14
                and all(row["state"] == "MASTER" for row in rows)
                and [session["state"] for session in sessions] == ["up"]
            )

        wait_for("r1 is master of everything again, and BFD is up", settled, timeout=30, every=0.2)
        time.sleep(SETTLED)

    def wrong(self) -> list[str]:
        """What is wrong with the daemons themselves."""
        return [
            f"{daemon}: {text}\n{daemon.log()[-3000:]}"
            for daemon in self.daemons
            for text, so in (
                ("has ended", not daemon.running),
                ("logged an internal error", "internal error" in daemon.log() or "Traceback" in daemon.log()),
            )
            if so
        ]


def _checksum(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _drainers(bed: Bed, place: Path) -> None:
    """Somebody reads the FIFOs, as an operator's program would."""
    for n, node in enumerate(bed.nodes):
        reader = node.popen("sh", "-c", f'exec cat "{place}/fifo{n}" >/dev/null')
        node.lab.on_close(lambda process=reader: (process.kill(), process.wait()))


def main(seconds: float, folder: Path, seed: int) -> int:
    """Runs for about so long; 1 if something was wrong. No time or no root, no run."""
    if seconds <= 0 or os.geteuid() != 0:
        print("soak: left out" + (", it makes network namespaces: run it as root" if seconds > 0 else ""))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, too
    bed = Bed(seed)
    runs: dict[str, list[Sample]] = {node.name: [] for node in bed.nodes}
    began = time.monotonic()
    trouble: list[str] = []

    def sample(*, rest: bool) -> None:
        for daemon in bed.daemons:
            at_s = time.monotonic() - began
            runs[daemon.node.name].append(at_rest(daemon, at_s) if rest else look(daemon, at_s, rest=False))

    try:
        _drainers(bed, bed.place)
        bed.calm()
        sample(rest=True)
        while time.monotonic() - began < seconds:
            deeds = bed.deeds()
            bed.chance.shuffle(deeds)
            for deed in deeds:
                deed()
                bed.done[deed.__name__] += 1
                if time.monotonic() - began - runs["r1"][-1].at_s > LOOK_EVERY:
                    sample(rest=False)
            bed.calm()
            sample(rest=True)
            trouble = bed.wrong()
            if trouble:
                break
            print(
                f"{time.monotonic() - began:6.0f} s  {sum(bed.done.values())} deeds  {line(runs)}", flush=True
            )
    except (LabError, NoDaemonError, RefusedError, OSError) as error:
        trouble = [f"{type(error).__name__}: {error}", *bed.wrong()]
    finally:
        logs = [daemon.log() for daemon in bed.daemons]
        bed.lab.close()
    grown = {node: growth(samples) for node, samples in runs.items()}
    report.write(folder, runs, dict(bed.done), grown, seed)
    trouble += [f"{node}: {text}" for node, texts in grown.items() for text in texts]
    for text in trouble:
        print(f"soak: {text}", file=sys.stderr)
    if trouble:
        for node, log in zip(runs, logs, strict=True):
            (folder / f"{node}.log").write_text(log)
            print(f"---- {node}, the whole is in {folder}/{node}.log\n{log[-3000:]}", file=sys.stderr)
    print(f"soak: report in {folder}/soak.md")
    return 1 if trouble else 0


def line(runs: dict[str, list[Sample]]) -> str:
    """The last sample of each daemon in a few words."""
    return "; ".join(
        f"{node} {s[-1].memory_kib} KiB, {s[-1].descriptors} fds, {s[-1].processes} processes"
        for node, s in runs.items()
    )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(
        main(
            float(arguments[0]) if arguments else 3600,
            Path(arguments[1]) if arguments[1:] else Path("build/soak"),
            int(arguments[2]) if arguments[2:] else random.randrange(1 << 32),
        )
    )

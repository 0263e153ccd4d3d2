"""What a packet, a step, a timer and a record cost in C: codecs, machines, timer queue, rings. Compiles
bench/c/codec_bench.c as the package is compiled, and runs it. `python -m bench.codec` prints the table."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "fastha" / "_core" / "c"
SOURCES = [
    "fh_bfd_codec.c",
    "fh_bfd_fsm.c",
    "fh_bfd_send.c",
    "fh_digest.c",
    "fh_inet.c",
    "fh_neigh_codec.c",
    "fh_timer.c",
    "fh_vrrp_codec.c",
    "fh_vrrp_fsm.c",
    "fh_vrrp_receive.c",
]
# Authentication is bought by the peers' digests; the limit is for the codecs themselves.
WITHOUT_LIMIT = ("sign", "md5", "sha1")
LIMIT_NS = 200.0


def measure(compiler: str = "cc") -> dict[str, float]:
    """Nanoseconds for each operation, the best of several rounds. Raises CalledProcessError if it does not
    compile or one of its results is wrong."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "codec_bench"
        command = [compiler, "-std=gnu11", "-O2", "-fno-strict-aliasing", f"-I{CORE}", "-o", str(program)]
        command += [str(ROOT / "bench" / "c" / "codec_bench.c"), *(str(CORE / name) for name in SOURCES)]
        subprocess.run(command, check=True)
        run = subprocess.run([str(program)], check=True, capture_output=True, text=True)
    pairs = (line.split("\t") for line in run.stdout.splitlines())
    return {name: float(ns) for name, ns in pairs}


def over_limit(table: dict[str, float]) -> dict[str, float]:
    """The operations without a digest that take longer than LIMIT_NS."""
    return {
        name: ns
        for name, ns in table.items()
        if ns > LIMIT_NS and not any(word in name for word in WITHOUT_LIMIT)
    }


if __name__ == "__main__":
    for operation, nanoseconds in measure().items():
        print(f"{operation:24} {nanoseconds:8.1f} ns")

"""Setting up and reading back an IPVS table, beside ipvsadm, in one run.

    tests/uml/run -- .venv/bin/python -m bench.lvs_ipvs [--services 100] [--servers 100] [--json FILE]

Needs a kernel with IPVS and an empty table of its own (it is flushed). Reports ratios to `ipvsadm -R` and
`ipvsadm -Ln --stats`: times in a kernel run as a process say nothing about a host.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from fastha._core import ipvs
from fastha._core.ipvs import Destination, IpvsSocket, Request, Service


def table(services: int, servers: int) -> list[Request]:
    """The requests for a table of this size."""
    requests: list[Request] = []
    for number in range(services):
        service = Service(2, 6, bytes([10, 9, number // 250, number % 250 + 1]), 80)
        requests.append((ipvs.NEW_SERVICE, service, None))
        for other in range(servers):
            address = bytes([10, 128 + number // 250, number % 250, other + 1])
            requests.append((ipvs.NEW_DEST, service, Destination(2, address, 80)))
    return requests


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    """Alternates both sides, prints the medians and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="append the result to this file, one line")
    options = parser.parse_args()
    sock = IpvsSocket()
    requests = table(options.services, options.servers)
    rows: dict[str, list[float]] = {"set_up": [], "read": [], "ipvsadm_set_up": [], "ipvsadm_read": []}

    def read() -> None:
        for service in sock.services():
            sock.destinations(service)

    for _ in range(options.rounds):
        sock.flush()
        rows["set_up"].append(timed(lambda: sock.execute(requests)))
        rows["read"].append(timed(read))
        rows["ipvsadm_read"].append(
            timed(
                lambda: subprocess.run(["ipvsadm", "-Ln", "--stats"], stdout=subprocess.DEVNULL, check=True)
            )
        )
        saved = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, check=True).stdout
        sock.flush()
        rows["ipvsadm_set_up"].append(
            timed(lambda saved=saved: subprocess.run(["ipvsadm", "-R"], input=saved, check=True))
        )
    sock.flush()
    medians = {name: statistics.median(values) for name, values in rows.items()}
    result = {
        "services": options.services,
        "servers": options.servers,
        **{f"{name}_s": round(value, 4) for name, value in medians.items()},
        "set_up_ratio": round(medians["set_up"] / medians["ipvsadm_set_up"], 3),
        "read_ratio": round(medians["read"] / medians["ipvsadm_read"], 3),
    }
    text = json.dumps(result)
    print(text)
    if options.json:
        with Path(options.json).open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()

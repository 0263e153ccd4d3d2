"""BFD_CHECK with real sessions: a director and two real servers, all fastha, in the kernel that has IPVS."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bed import VIP, Bed, listing, until

SECONDS = 30


def session(name: str, neighbour: str, own: str) -> str:
    # a starved kernel is patient: one second and a half
    return f"""bfd_instance {name} {{
    neighbor_ip {neighbour}
    source_ip {own}
    min_rx 150
    min_tx 150
    multiplier 10
}}
"""


def director() -> str:
    text = "".join(session(f"s{n}", f"10.0.0.{n}", "10.0.0.1") for n in (11, 12))
    text += f"virtual_server {VIP} 80 {{\n    lb_algo rr\n    lb_kind DR\n    protocol TCP\n"
    for n in (11, 12):
        text += f"    real_server 10.0.0.{n} 80 {{\n        BFD_CHECK {{\n            name s{n}\n"
        text += "        }\n    }\n"
    return text + "}\n"


def start(netns: str, place: Path, text: str) -> subprocess.Popen[bytes]:
    """A daemon in a namespace."""
    file, log = place / f"{netns}.conf", place / f"{netns}.log"
    settings = [f"fastha_control_socket {place}/{netns}.sock", f"fastha_state_directory {place}/{netns}"]
    head = "global_defs {\n" + "\n".join(settings) + "\n}\n"
    file.write_text(head + text)
    with log.open("ab") as out:
        return subprocess.Popen(
            ["ip", "netns", "exec", netns, sys.executable, "-c", "from fastha.cli.main import main; main()",
             "run", "-f", str(file), "--run-directory", str(place / f"{netns}.run"),
             "--pid", str(place / f"{netns}.pid")],
            stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def there() -> set[str]:
    """The real servers that the kernel has."""
    lines = [line for line in listing("lv-d") if line.startswith("-a")]
    return {n for n in ("11", "12") for line in lines if f"-r 10.0.0.{n}:80" in line}


def test_a_server_whose_session_is_lost_is_out_and_comes_back() -> None:
    made = Bed()
    running: dict[str, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        try:
            for n in (1, 2):
                running[f"lv-r{n}"] = start(f"lv-r{n}", place, session("d", "10.0.0.1", f"10.0.0.{10 + n}"))
            running["lv-d"] = start("lv-d", place, director())
            until(lambda: there() == {"11", "12"}, SECONDS, "both sessions are up")
            running["lv-r2"].kill()
            running["lv-r2"].wait()
            took = until(lambda: there() == {"11"}, SECONDS, "the server without a session is out")
            print(f"out after {took:.2f} s")
            running["lv-r2"] = start("lv-r2", place, session("d", "10.0.0.1", "10.0.0.12"))
            until(lambda: there() == {"11", "12"}, SECONDS, "it is back")
            # AdminDown is no failure of the path, and still no server (keepalived's rule)
            running["lv-r1"].terminate()
            until(lambda: there() == {"12"}, SECONDS, "the server that said goodbye is out")
        except BaseException:
            for log in sorted(place.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
            raise
        finally:
            for process in running.values():
                process.kill()
                process.wait()
            made.close()

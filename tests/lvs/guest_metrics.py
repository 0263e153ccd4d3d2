"""Metrics of load balancing from a kernel that has IPVS: its counters are those of the scrape's moment."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

from bed import sh, until

CONFIG = """
global_defs {
    fastha_metrics 127.0.0.1:9107
    fastha_history off
}
virtual_server 10.99.0.1 80 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.99.0.2 8001 {
        weight 3
        TCP_CHECK {
            connect_timeout 1
        }
    }
    real_server 10.99.0.3 8001 {
        weight 3
        TCP_CHECK {
            connect_timeout 1
        }
    }
}
"""
SERVER = [sys.executable, "-m", "http.server", "8001", "--bind", "10.99.0.2"]


def metrics() -> dict[str, float]:
    """Every sample of the page by its series."""
    page = urllib.request.urlopen("http://127.0.0.1:9107/metrics", timeout=10).read().decode()
    rows = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in rows}


def served() -> bool:
    try:
        return bool(metrics())
    except OSError:
        return False


def of(found: dict[str, float], name: str, *labels: str) -> float:
    """The sum of the series of a name that have all these labels."""
    hits = [v for s, v in found.items() if s.partition("{")[0] == name and all(text in s for text in labels)]
    assert hits, f"no series {name} {labels}"
    return sum(hits)


def test_counters_checks_and_states(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        sh(f"ip address add 10.99.0.{number}/32 dev lo")
    (tmp_path / "conf").write_text(CONFIG)
    fastha = str(Path(sys.executable).parent / "fastha")
    web = subprocess.Popen(SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = (tmp_path / "log").open("w")
    daemon = subprocess.Popen(
        [fastha, "run", "-f", str(tmp_path / "conf"), "--run-directory", str(tmp_path / "run")],
        stdout=log,
        stderr=log,
    )
    try:
        until(served, what="the page")
        up, down = 'real_server="[10.99.0.2]:tcp:8001"', 'real_server="[10.99.0.3]:tcp:8001"'
        until(lambda: of(metrics(), "fastha_real_server_up", down) == 0, what="the failed check")
        for _ in range(5):
            urllib.request.urlopen("http://10.99.0.1/", timeout=10).read()
        until(lambda: of(metrics(), "fastha_virtual_server_connections_total") == 5, what="the connections")
        found = metrics()
        assert of(found, "fastha_ipvs_usable") == 1
        assert of(found, "fastha_real_server_up", up) == 1
        assert of(found, "fastha_real_server_state", up, 'state="up"') == 1
        assert of(found, "fastha_real_server_weight", up) == 3
        assert of(found, "fastha_real_server_connections_total", up) == 5
        assert of(found, "fastha_real_server_in_bytes_total", up) > 5 * 60
        assert of(found, "fastha_virtual_server_quorum_up") == 1
        assert of(found, "fastha_check_runs_total", up, 'check="TCP_CHECK"') >= 1
        assert of(found, "fastha_check_failures_total", down) >= 1
        assert 0 < of(found, "fastha_check_latency_seconds", up, 'quantile="0.5"') < 1
    finally:
        daemon.terminate()
        daemon.wait(20)
        web.kill()
        web.wait()
        log.close()

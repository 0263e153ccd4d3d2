"""What a running fastha shows and tells beyond keepalived: webhooks, metrics, a history that outlives it."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastha.lab import KINDS, Lab, wait_for
from fastha.net.namespace import visiting
from fastha.notify.webhook import sign

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
]

CONFIG = """
global_defs {{
    router_id lb1
    script_user root
    fastha_webhook http://127.0.0.1:{port}/hook s3cret
    fastha_metrics 127.0.0.1:9105
    fastha_metrics_file {directory}/fastha.prom
    fastha_history {directory}/history.jsonl
}}
vrrp_script check {{
    script "/bin/true"
    interval 1
}}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 1
    version 3
    advert_int 0.2
    priority 100
    virtual_ipaddress {{
        198.51.100.101
    }}
    track_script {{
        check
    }}
}}
"""


class Receiver(http.server.ThreadingHTTPServer):
    """Takes webhooks; the first attempt is refused."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(503 if len(outer.got) == 1 else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    def states(self) -> list[tuple[str, str]]:
        return [(d["name"], d["state"]) for d in (json.loads(body) for _, body in self.got[1:])]


def test_what_is_told_and_shown(tmp_path: Path) -> None:
    with Lab("opsout") as lab:
        lab.segment("lan")
        node = lab.node("r1", lan=["198.51.100.1/24"])
        with visiting(node.namespace):
            receiver = Receiver()
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            daemon = KINDS["fastha"](node, CONFIG.format(port=receiver.server_address[1], directory=tmp_path))
            daemon.start()
            wait_for("a webhook of the master", lambda: ("VI_1", "MASTER") in receiver.states(), timeout=20)
            headers, body = receiver.got[0]
            assert headers["x-fastha-signature"] == sign(b"s3cret", headers["x-fastha-timestamp"], body)
            assert receiver.got[1][1] == body  # tried again, in order
            master = json.loads(receiver.got[-1][1])
            assert master["node"] == "lb1" and master["cause"] and len(master["timeline"]) >= 4

            with visiting(node.namespace):
                page = urllib.request.urlopen("http://127.0.0.1:9105/metrics", timeout=10).read().decode()
            families = {family.name: family for family in text_string_to_metric_families(page)}
            states = {s.labels["state"]: s.value for s in families["fastha_instance_state"].samples}
            assert states["MASTER"] == 1 and sum(states.values()) == 1
            assert families["fastha_script_up"].samples[0].value == 1
            assert families["fastha_instance_became_master"].samples[0].value == 1
            assert families["fastha_takeover_reaction_seconds"].samples[-1].value == 1
            assert families["fastha_engine_wakeups"].samples[0].value > 0
            wait_for("the metrics file", (tmp_path / "fastha.prom").exists, timeout=10)

            daemon.terminate()
            daemon.start()
            wait_for("the second run", lambda: receiver.states().count(("VI_1", "MASTER")) == 2, timeout=20)
            daemon.terminate()
        finally:
            receiver.shutdown()
            receiver.server_close()
            thread.join()
    time.sleep(0.1)
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [r["state"] for r in records if r["name"] == "VI_1"].count("MASTER") == 2
    first = next(r for r in records if r["state"] == "MASTER")
    assert first["cause"] and {"decided", "first announcement"} <= {
        mark["step"] for mark in first["timeline"]
    }
    runs = {json.loads(body)["run"] for _, body in receiver.got}
    assert len(runs) == 2

"""HTTP_GET and SSL_GET against nginx, as Debian ships it: TLS with an own CA, client certificates, versions,
SNI, HTTP/2, and a server that ends and comes back."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from check_support import LOCAL, SECOND, free_port, once

from fastha.config.model_lvs import HttpCheck, HttpUrl, LvsConfig, RealServer, TlsOptions, VirtualServer
from fastha.lvs.checkers.base import Result
from fastha.lvs.manager import LvsManager

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (tools/debian-setup test)")

BODY = b'{"state": "well", "queue": {"length": [3, 5]}}\n'

CONF = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    root {folder}/root;
    ssl_certificate {folder}/a.cert;
    ssl_certificate_key {folder}/a.key;
    server {{ listen 127.0.0.1:{plain}; location /moved {{ return 301 /state; }} }}
    server {{
        listen 127.0.0.1:{tls} ssl http2;
        server_name a.example;
        ssl_protocols TLSv1.2;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl http2;
        server_name b.example;
        ssl_certificate {folder}/b.cert;
        ssl_certificate_key {folder}/b.key;
        location / {{ return 503; }}
    }}
    server {{
        listen 127.0.0.1:{closed} ssl;
        ssl_client_certificate {folder}/ca.cert;
        ssl_verify_client on;
    }}
}}
"""


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Nginx:
    """nginx on three ports of loopback: plain, TLS with two names, and TLS that wants a client's
    certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain, self.tls, self.closed = free_port(), free_port(), free_port()
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl(folder, "req", "-x509", *ec, "-days", "400", "-subj", "/CN=CA",
                "-keyout", "ca.key", "-out", "ca.cert")  # fmt: skip
        for name, days in (("a", "300"), ("b", "7"), ("client", "30")):
            openssl(folder, "req", *ec, "-subj", f"/CN={name}.example", "-keyout", f"{name}.key",
                    "-out", f"{name}.csr")  # fmt: skip
            (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}.example\n")
            openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.cert", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext",
                    "-out", f"{name}.cert")  # fmt: skip
        (folder / "root").mkdir()
        (folder / "root" / "state").write_bytes(BODY)
        folder.chmod(0o755)
        self.conf = folder / "nginx.conf"
        ports = {"plain": self.plain, "tls": self.tls, "closed": self.closed}
        self.conf.write_text("user root;\n" + CONF.format(folder=folder, **ports))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert NGINX is not None
        self.process = subprocess.Popen(
            [NGINX, "-c", str(self.conf), "-e", str(self.folder / "error.log"), "-p", str(self.folder)],
            stderr=subprocess.DEVNULL,
        )
        patience = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.closed), timeout=1).close()
            except OSError:
                log = self.folder / "error.log"
                assert time.monotonic() < patience, log.read_text() if log.exists() else "no log"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    made = Nginx(tmp_path_factory.mktemp("nginx"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def check(port: int, *urls: HttpUrl, **more: Any) -> Result:
    """One run of a check."""
    conf = HttpCheck(
        connect_ip=LOCAL,
        connect_port=port,
        connect_timeout_ns=5 * SECOND,
        urls=urls or (HttpUrl(path="/state"),),
        **more,
    )

    return asyncio.run(once(conf, limit=30))


@pytest.mark.parametrize("version", ["1.0", "1.0C", "1.1"])
def test_status_digest_pattern_and_field(nginx: Nginx, version: Any) -> None:
    digest = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    pages = (
        HttpUrl(path="/state", digest=digest),
        HttpUrl(path="/state", regex='"state": "w.ll"'),
        HttpUrl(path="/state", json_path="queue.length[1]", json_value="5"),
        HttpUrl(path="/nothing", status_codes=((404, 404),)),
    )
    assert check(nginx.plain, *pages, http_protocol=version).ok
    result = check(nginx.plain, HttpUrl(path="/state", digest="0" * 32), http_protocol=version)
    assert result.reason == f"/state: digest {digest}, not {'0' * 32}"
    assert "status 404, not 200-299" in check(nginx.plain, HttpUrl(path="/x"), http_protocol=version).reason
    moved = check(nginx.plain, HttpUrl(path="/moved"), http_protocol=version).reason
    assert "status 301 (to " in moved
    assert "redirections are not followed" in moved


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_tls_with_an_own_ca_and_names(nginx: Nginx, version: Any) -> None:
    trust = TlsOptions(verify=True, ca=str(nginx.folder / "ca.cert"), expiry_warning_days=30)
    more: dict[str, Any] = {"ssl": True, "enable_sni": True, "http_protocol": version}
    well = check(nginx.tls, virtualhost="a.example", tls=trust, **more)
    assert well.ok, well
    assert well.warning == ""
    other = check(nginx.tls, HttpUrl(path="/", status_codes=((503, 503),)), virtualhost="b.example",
                  tls=trust, **more)  # fmt: skip
    assert other.ok, other
    assert other.warning.startswith("its certificate ends in ")
    wrong = check(nginx.tls, virtualhost="c.example", tls=trust, **more)
    assert "certificate is not valid" in wrong.reason
    stranger = TlsOptions(verify=True)
    assert (
        "certificate is not valid" in check(nginx.tls, virtualhost="a.example", tls=stranger, **more).reason
    )


def test_tls_versions(nginx: Nginx) -> None:
    name: dict[str, Any] = {"ssl": True, "enable_sni": True, "virtualhost": "a.example"}
    assert check(nginx.tls, tls=TlsOptions(minimum_version="1.2"), **name).ok
    refused = check(nginx.tls, tls=TlsOptions(minimum_version="1.3"), **name)
    assert not refused.ok
    assert "TLS" in refused.reason


def test_tls_with_a_client_certificate(nginx: Nginx) -> None:
    without = check(nginx.closed, ssl=True)
    assert "status 400" in without.reason
    own = TlsOptions(certificate=str(nginx.folder / "client.cert"), key=str(nginx.folder / "client.key"))
    assert check(nginx.closed, ssl=True, tls=own).ok


def test_wrong_ports(nginx: Nginx) -> None:
    assert check(nginx.plain, ssl=True).reason == "does not speak TLS on this port"
    assert "status 400" in check(nginx.tls).reason  # nginx says in plain that it wanted TLS


def test_down_while_nginx_is_away_and_up_after(nginx: Nginx) -> None:
    async def main() -> None:
        server = RealServer(
            address=LOCAL,
            port=nginx.tls,
            checkers=(
                HttpCheck(
                    connect_ip=LOCAL,
                    connect_port=nginx.tls,
                    connect_timeout_ns=5 * SECOND,
                    delay_loop_ns=SECOND // 5,
                    delay_before_retry_ns=SECOND // 10,
                    warmup_ns=0,
                    ssl=True,
                    urls=(HttpUrl(path="/state", regex="well"),),
                ),
            ),
        )
        virtual = VirtualServer(address=ipaddress.ip_address("10.9.0.1"), port=443, real_servers=(server,))
        manager = LvsManager(lambda event: None)
        await manager.start(LvsConfig(virtual_servers=(virtual,)))

        async def until(up: bool) -> None:
            patience = time.monotonic() + 20
            while True:
                real = manager.snapshot().virtual_servers[0].servers[0]
                if real.up == up and real.checkers[0].has_run:
                    return
                assert time.monotonic() < patience, real
                await asyncio.sleep(0.05)

        try:
            await until(True)
            nginx.stop()
            await until(False)
            real = manager.snapshot().virtual_servers[0].servers[0]
            assert real.why == "Connection refused"
            assert real.transitions == 1
            nginx.start()
            await until(True)
            real = manager.snapshot().virtual_servers[0].servers[0]
            assert real.transitions == 2
            assert set(real.checkers[0].latency_ms) == {"p50", "p95", "p99", "max"}
        finally:
            await manager.stop()

    asyncio.run(main())

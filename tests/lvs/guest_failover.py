"""Two directors: the backup learns the connections of the master, and they survive when it takes over."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bed import SECOND, VIP, Bed, director, ip, sh, until
from fastha.config.model_lvs import (
    Forwarding,
    LvsConfig,
    RealServer,
    SyncDaemonConfig,
    TcpCheck,
    VirtualServer,
)
from fastha.net.namespace import visiting

ECHO = """
import socket, sys, threading
listener = socket.create_server(("0.0.0.0", 7), backlog=16)
def echo(sock):
    while data := sock.recv(4096): sock.sendall(sys.argv[1].encode() + b" " + data)
while True:
    sock, _ = listener.accept()
    threading.Thread(target=echo, args=(sock,), daemon=True).start()
"""


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    try:
        made.add("lv-e", 3)  # the other director
        sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 "
           "net.ipv4.conf.eth0.send_redirects=0", netns="lv-e")  # fmt: skip
        for name in ("lv-d", "lv-e"):
            sh(f"ip -n {name} route add 224.0.0.0/4 dev eth0")
        for name in made.servers:
            made.running[name] = subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, "-c", ECHO, name]
            )
            until(lambda name=name: ":7 " in sh("ss -ltn", netns=name), what=name)
        made.method("DR")
        yield made
    finally:
        made.close()
        sh("ip netns del lv-e", check=False)


def config() -> LvsConfig:
    return LvsConfig(
        virtual_servers=(
            VirtualServer(
                address=ip(VIP),
                port=7,
                scheduler="rr",
                real_servers=tuple(
                    RealServer(
                        address=address,
                        port=7,
                        forwarding=Forwarding(method="DR"),
                        checkers=(TcpCheck(connect_ip=address, connect_port=7, delay_loop_ns=SECOND),),
                    )
                    for address in map(ipaddress.ip_address, ("10.0.0.11", "10.0.0.12", "10.0.0.13"))
                ),
            ),
        ),
        sync_daemon=SyncDaemonConfig(interface="eth0", instance="VI_1", sync_id=9),
    )


def test_connections_survive_the_failover(bed: Bed) -> None:
    with director(config(), "lv-d") as first, director(config(), "lv-e") as second:
        first.call(first.manager.on_vrrp_state, "VI_1", "MASTER")
        second.call(second.manager.on_vrrp_state, "VI_1", "BACKUP")
        with visiting("lv-c"):
            socks = [socket.create_connection((VIP, 7), timeout=10) for _ in range(3)]
        who = []
        for sock in socks:
            for _ in range(3):  # a few packets each: what is synchronised are connections in use
                sock.sendall(b"hello")
                answer = sock.recv(100)
            who.append(answer.split()[0])
        assert len(set(who)) == 3
        until(
            lambda: sh("ipvsadm -Lnc", netns="lv-e").count("ESTABLISHED") >= 3,
            20,
            "the backup knows them all",
        )
        # The address moves, as VRRP would move it.
        sh(f"ip -n lv-d addr del {VIP}/32 dev eth0; ip -n lv-e addr add {VIP}/32 dev eth0")
        first.call(first.manager.on_vrrp_state, "VI_1", "BACKUP")
        second.call(second.manager.on_vrrp_state, "VI_1", "MASTER")
        mac = sh("cat /sys/class/net/eth0/address", netns="lv-e").strip()
        sh(f"ip -n lv-c neigh replace {VIP} lladdr {mac} dev eth0")
        for sock, name in zip(socks, who, strict=True):
            sock.sendall(b"still there")
            assert sock.recv(100) == name + b" still there"
        counted = sh("ipvsadm -Lnc", netns="lv-e")
        assert counted.count("ESTABLISHED") >= 3

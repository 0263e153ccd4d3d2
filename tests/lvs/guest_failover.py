"""Two directors: the backup learns the connections of the master, and they survive when it takes over."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from bed import SECOND, VIP, Bed, director, ip, listing, sh, until
from fastha.config.model_lvs import (
    Forwarding,
    LvsConfig,
    RealServer,
    Share,
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


def test_a_drain_is_both_directors_and_ends_when_the_busy_one_is_done(bed: Bed) -> None:
    """The backup has no connections of its own, and keeps the server all the same while the master drains it:
    it may have to carry those connections on."""

    def shared(own: str, other: str) -> LvsConfig:
        share = Share(address=own, port=3786, secret=b"a shared secret", peers=((other, 3786),))
        return msgspec.structs.replace(config(), sync_daemon=None, share=share)

    with (
        director(shared("10.0.0.1", "10.0.0.3"), "lv-d") as first,
        director(shared("10.0.0.3", "10.0.0.1"), "lv-e") as second,
    ):
        until(
            lambda: all(d.here for it in (first, second) for d in it.manager.snapshot().directors),
            30,
            "they hear each other",
        )
        with visiting("lv-c"):
            socks = [socket.create_connection((VIP, 7), timeout=10) for _ in range(3)]
        for sock in socks:
            sock.sendall(b"hello")
            assert sock.recv(100)
        first.do(first.manager.drain("10.0.0.12", deadline_s=600))
        for netns in ("lv-d", "lv-e"):
            until(
                lambda netns=netns: "-r 10.0.0.12:7 -g -w 0" in str(listing(netns)),
                20,
                f"weight 0 at {netns}",
            )
        time.sleep(5)  # some looks at who is connected
        assert "-r 10.0.0.12:7 -g -w 0" in str(listing("lv-e"))
        # The kernel's TIME_WAIT is long: the deadline is moved up, at the other director.
        second.do(second.manager.drain("10.0.0.12", deadline_s=1))
        for netns in ("lv-e", "lv-d"):
            until(lambda netns=netns: "10.0.0.12" not in str(listing(netns)), 30, f"removed at {netns}")
        first.do(first.manager.undrain("10.0.0.12"))
        for netns in ("lv-d", "lv-e"):
            until(lambda netns=netns: "-r 10.0.0.12:7 -g -w 1" in str(listing(netns)), 30, f"back at {netns}")
        for sock in socks:
            sock.close()

"""IPVS itself: what is asked for is there as ipvsadm sees it, is adopted, repaired, and taken away again."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from typing import Any

import msgspec
import pytest

from bed import SECOND, director, ip, listing, sh, until
from fastha.config.model_lvs import (
    AddressRange,
    Forwarding,
    GroupMark,
    LvsConfig,
    RealServer,
    SorryServer,
    SyncDaemonConfig,
    TcpCheck,
    VirtualServer,
    VirtualServerGroup,
)
from fastha.lvs.ipvs import Ipvs


@pytest.fixture(autouse=True)
def clean() -> Any:
    sh("ipvsadm -C")
    yield
    sh("ipvsadm -C; ipvsadm --stop-daemon master; ipvsadm --stop-daemon backup", check=False)


def real(address: str, port: int = 80, **more: Any) -> RealServer:
    return RealServer(address=ip(address), port=port, **more)


def config(*virtual: VirtualServer, **more: Any) -> LvsConfig:
    return LvsConfig(virtual_servers=virtual, **more)


def way(method: Any, **more: Any) -> Forwarding:
    return Forwarding(method=method, **more)


def test_every_kind_of_service_and_destination() -> None:
    everything = config(
        VirtualServer(
            address=ip("10.9.0.1"),
            port=80,
            scheduler="rr",
            real_servers=(
                real("10.1.0.1", 8080, weight=3, upper_threshold=100, lower_threshold=50),
                real("10.1.0.2", 8080, forwarding=way("DR")),
                real("10.1.0.3", 80, forwarding=way("TUN")),
                real("10.1.0.4", forwarding=way("TUN", tunnel="gue", tunnel_port=5555, checksum="remcsum")),
                real("10.1.0.5", forwarding=way("TUN", tunnel="gre", checksum="csum")),
                real("fd00::9", forwarding=way("TUN")),
            ),
        ),
        VirtualServer(
            address=ip("10.9.0.1"),
            port=53,
            protocol="UDP",
            scheduler="sh",
            flags=("sh-port", "sh-fallback", "ops"),
            persistence_timeout_s=100,
            persistence_granularity=ipaddress.IPv4Address("255.255.255.0"),
            real_servers=(real("10.1.0.1", 53),),
        ),
        VirtualServer(
            address=ip("fd00::1"),
            port=443,
            protocol="SCTP",
            scheduler="mh",
            flags=("mh-port",),
            persistence_timeout_s=360,
            persistence_granularity=64,
            real_servers=(real("fd00::2", 443, forwarding=way("DR")),),
        ),
        VirtualServer(fwmark=5, scheduler="wlc", real_servers=(real("10.1.0.1", 0, forwarding=way("DR")),)),
        VirtualServer(fwmark=6, family=10, scheduler="lc", real_servers=(real("fd00::2", 0),)),
        VirtualServer(
            scheduler="dh",
            group=VirtualServerGroup(
                name="g",
                ranges=(AddressRange(ip("10.9.1.1"), ip("10.9.1.3"), 81),),
                marks=(GroupMark(7),),
            ),
            real_servers=(real("10.1.0.1", 8080),),
        ),
    )
    with director(everything) as it:
        assert listing() == sorted(
            """\
-A -t 10.9.0.1:80 -s rr
-a -t 10.9.0.1:80 -r 10.1.0.1:8080 -m -w 3
-a -t 10.9.0.1:80 -r 10.1.0.2:80 -g -w 1
-a -t 10.9.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type ipip
-a -t 10.9.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 5555 --tun-remcsum
-a -t 10.9.0.1:80 -r 10.1.0.5:80 -i -w 1 --tun-type gre --tun-csum
-a -t 10.9.0.1:80 -r [fd00::9]:80 -i -w 1 --tun-type ipip
-A -u 10.9.0.1:53 -s sh -p 100 -M 255.255.255.0 -o -b sh-fallback,sh-port
-a -u 10.9.0.1:53 -r 10.1.0.1:53 -m -w 1
-A --sctp-service [fd00::1]:443 -s mh -p 360 -M 64 -b mh-port
-a --sctp-service [fd00::1]:443 -r [fd00::2]:443 -g -w 1
-A -f 5 -s wlc
-a -f 5 -r 10.1.0.1:0 -g -w 1
-A -f 6 -6 -s lc
-a -f 6 -6 -r [fd00::2]:0 -m -w 1
-A -t 10.9.1.1:81 -s dh
-a -t 10.9.1.1:81 -r 10.1.0.1:8080 -m -w 1
-A -t 10.9.1.2:81 -s dh
-a -t 10.9.1.2:81 -r 10.1.0.1:8080 -m -w 1
-A -t 10.9.1.3:81 -s dh
-a -t 10.9.1.3:81 -r 10.1.0.1:8080 -m -w 1
-A -f 7 -s dh
-a -f 7 -r 10.1.0.1:8080 -m -w 1""".splitlines()
        )
        assert "10.1.0.1:8080                100        50" in sh("ipvsadm -Ln --thresholds")
        assert it.do(it.manager._reconciler.repair()) == 0  # what was written is read back as the same
    assert listing() == []


def test_every_scheduler() -> None:
    names = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"]
    virtual = [
        VirtualServer(address=ip("10.9.0.1"), port=port, scheduler=name) for port, name in enumerate(names, 1)
    ]
    with director(config(*virtual)):
        assert [line.split()[-1] for line in listing()] == [
            name
            for _, name in sorted((f"-A -t 10.9.0.1:{port} ", name) for port, name in enumerate(names, 1))
        ]


def test_a_scheduler_that_is_missing_is_named_with_the_remedy() -> None:
    bad = VirtualServer(address=ip("10.9.0.1"), port=80, scheduler="twos9")
    good = VirtualServer(address=ip("10.9.0.2"), port=80, scheduler="rr")
    with director(config(bad, good)) as it:
        assert it.told("modprobe ip_vs_twos9")
        assert listing() == ["-A -t 10.9.0.2:80 -s rr"]


SMALL = VirtualServer(
    address=ip("10.9.0.1"), port=80, scheduler="rr", real_servers=(real("10.1.0.1"), real("10.1.0.2"))
)


def test_what_is_there_is_adopted_and_only_differences_are_sent() -> None:
    sh("""ipvsadm -A -t 10.9.0.1:80 -s rr
        ipvsadm -a -t 10.9.0.1:80 -r 10.1.0.1:80 -m -w 1
        ipvsadm -a -t 10.9.0.1:80 -r 10.1.0.9:80 -m -w 1
        ipvsadm -A -t 10.8.0.1:80 -s rr""")
    with director(config(SMALL)) as it:
        # one server added, one left-over removed; the service and the other server untouched, a stranger left
        assert it.manager.snapshot().ipvs_messages == 2
        assert listing() == [
            "-A -t 10.8.0.1:80 -s rr",
            "-A -t 10.9.0.1:80 -s rr",
            "-a -t 10.9.0.1:80 -r 10.1.0.1:80 -m -w 1",
            "-a -t 10.9.0.1:80 -r 10.1.0.2:80 -m -w 1",
        ]
    assert listing() == ["-A -t 10.8.0.1:80 -s rr"]


def test_a_crash_leaves_everything_and_the_next_start_clears_only_what_is_not_wanted(tmp_path: Any) -> None:
    other = VirtualServer(address=ip("10.9.0.7"), port=80, scheduler="rr", real_servers=(real("10.1.0.1"),))
    kept = {"state_path": tmp_path / "lvs.json"}
    with director(config(SMALL, other), **kept) as it:
        before = listing()
        it.do(it.manager._save())
        it.end(keep=True)  # as a crash or an upgrade: nothing is taken away
    assert listing() == before
    with director(config(SMALL), **kept) as it:
        assert it.manager.snapshot().ipvs_messages == 1  # the service that is no longer wanted
        assert not any("10.9.0.7" in line for line in listing())


def test_flush_at_start_and_at_stop() -> None:
    sh("ipvsadm -A -t 10.8.0.1:80 -s rr")
    with director(config(SMALL, flush=True)):
        assert not any("10.8.0.1" in line for line in listing())
        sh("ipvsadm -A -t 10.8.0.2:80 -s rr")
    assert listing() == ["-A -t 10.8.0.2:80 -s rr"]
    with director(config(SMALL, flush_on_stop="all")):
        pass
    assert listing() == []


def test_what_somebody_else_changed_is_put_back() -> None:
    with director(config(SMALL, repair_interval_ns=SECOND // 5)) as it:
        wanted = listing()
        for meddling in (
            "ipvsadm -C",
            "ipvsadm -d -t 10.9.0.1:80 -r 10.1.0.1:80",
            "ipvsadm -e -t 10.9.0.1:80 -r 10.1.0.1:80 -g -w 9",
            "ipvsadm -E -t 10.9.0.1:80 -s wlc -p 100",
            "ipvsadm -a -t 10.9.0.1:80 -r 10.1.0.77:80 -m",
        ):
            sh(meddling)
            until(lambda: listing() == wanted, 5, meddling)
        assert it.manager.snapshot().ipvs_repaired >= 5
        assert it.told("changed by somebody else")


def test_a_reload_of_ten_thousand_servers_sends_only_what_changed() -> None:
    def table(weight: int) -> LvsConfig:
        return config(
            *(
                VirtualServer(
                    address=ip("10.9.0.0") + service,
                    port=80,
                    real_servers=tuple(
                        RealServer(
                            address=ip("10.1.0.0") + service * 256 + server,
                            port=80,
                            weight=weight if (service, server) == (50, 50) else 1,
                        )
                        for server in range(100)
                    ),
                )
                for service in range(100)
            )
        )

    with director(table(1)) as it:
        assert len(listing()) == 10100
        sent = it.manager.snapshot().ipvs_messages
        assert sent == 10100
        began = time.monotonic()
        assert it.do(it.manager.reload(table(7))) == 1
        took = time.monotonic() - began
        assert sum(line.endswith("-w 7") for line in listing()) == 1
        assert took < 5, f"a reload took {took:.2f} s"
        print(f"reload of 10,000 servers that changes one: {took:.3f} s")


def test_timeouts_and_sync_daemon() -> None:
    sh(
        "ip link add lvsync0 type dummy; ip link set lvsync0 up; ip addr add 10.77.0.1/24 dev lvsync0; "
        "ip route add 224.0.0.0/4 dev lvsync0"
    )
    sync = SyncDaemonConfig(
        interface="lvsync0", instance="VI_1", sync_id=7, port=8900, ttl=3, group=ip("224.0.0.90")
    )
    wanted = config(SMALL, sync_daemon=sync, timeout_tcp_s=1200, timeout_udp_s=77)
    client = Ipvs()

    def running() -> list[tuple[Any, ...]]:
        return [(d.state, d.interface, d.sync_id, d.port, d.ttl, d.group) for d in client.daemons()]

    rest = ("lvsync0", 7, 8900, 3, bytes([224, 0, 0, 90]))
    with director(wanted) as it:
        assert client.timeouts() == (1200, 120, 77)
        assert running() == [(2, *rest)]
        it.call(it.manager.on_vrrp_state, "OTHER", "MASTER")
        assert running() == [(2, *rest)]
        it.call(it.manager.on_vrrp_state, "VI_1", "MASTER")
        assert running() == [(1, *rest)]
        it.call(it.manager.on_vrrp_state, "VI_1", "FAULT")
        assert running() == [(2, *rest)]
        changed = msgspec.structs.replace(wanted, sync_daemon=msgspec.structs.replace(sync, sync_id=9))
        it.do(it.manager.reload(changed))
        assert [row[2] for row in running()] == [9]
        it.do(it.manager.reload(config(SMALL, sync_daemon=SyncDaemonConfig(interface="lvsync0"))))
        assert sorted(row[0] for row in running()) == [1, 2]
        it.do(it.manager.reload(config(SMALL)))
        assert running() == []
        it.do(it.manager.reload(config(SMALL, sync_daemon=SyncDaemonConfig(interface="nosuch0"))))
        assert it.told("nosuch0")
    assert running() == []
    client.close()
    sh("ip link del lvsync0")


def test_sorry_server_comes_and_goes_with_the_real_ones() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(asyncio.start_server(never, "127.0.0.1", 0))
    port = listener.sockets[0].getsockname()[1]
    check = TcpCheck(
        connect_ip=ip("127.0.0.1"), connect_port=port, warmup_ns=0, retry=0, delay_loop_ns=SECOND // 10
    )
    virtual = VirtualServer(
        address=ip("10.9.0.1"),
        port=80,
        scheduler="rr",
        real_servers=(
            real("10.1.0.1", checkers=(check,)),
            real("10.1.0.2", checkers=(check,), inhibit_on_failure=True),
        ),
        sorry_server=SorryServer(address=ip("10.1.0.99"), port=80),
    )
    up = [
        "-A -t 10.9.0.1:80 -s rr",
        "-a -t 10.9.0.1:80 -r 10.1.0.1:80 -m -w 1",
        "-a -t 10.9.0.1:80 -r 10.1.0.2:80 -m -w 1",
    ]
    down = [
        "-A -t 10.9.0.1:80 -s rr",
        "-a -t 10.9.0.1:80 -r 10.1.0.2:80 -m -w 0",
        "-a -t 10.9.0.1:80 -r 10.1.0.99:80 -m -w 1",
    ]
    with director(config(virtual)):
        assert listing() == up
        listener.close()
        until(lambda: listing() == down)
        listener = loop.run_until_complete(asyncio.start_server(never, "127.0.0.1", port))
        until(lambda: listing() == up)
    listener.close()
    loop.close()

"""What servers are called in logs, FIFO lines, mails and scripts: exactly keepalived's forms.

`[192.0.2.1]:tcp:80` for a virtual or real server, `[group]:0` for the first virtual server of a
virtual_server_group (`[group]:1` for the second), `FWM 5` for a mark (its real servers have the protocol
`none`).
"""

from __future__ import annotations

from fastha.config.model_base import IPAddress
from fastha.config.model_lvs import RealServer, SorryServer, VirtualServer


def endpoint(address: IPAddress, protocol: str, port: int) -> str:
    """`[192.0.2.1]:tcp:80`."""
    return f"[{address}]:{protocol}:{port}"


def virtual_server_name(server: VirtualServer) -> str:
    """The name of a virtual server."""
    if server.group is not None:
        return f"[{server.group.name}]:{server.group_use}"
    if server.fwmark:
        return f"FWM {server.fwmark}"
    assert server.address is not None
    return endpoint(server.address, server.protocol.lower(), server.port)


def real_server_name(virtual: VirtualServer, server: RealServer | SorryServer) -> str:
    """The name of a real server as a part of its virtual server."""
    is_mark = bool(virtual.fwmark) and virtual.group is None
    return endpoint(server.address, "none" if is_mark else virtual.protocol.lower(), server.port)

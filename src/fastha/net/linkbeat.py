"""Link state by asking the driver: MII registers, ethtool, or the interface flags.

What this is for: interfaces named in ``linkbeat_interfaces`` (or all tracked ones,
``linkbeat_use_polling``), whose driver does not tell the kernel of a lost link; the daemon polls once a
second. It reads and changes nothing. keepalived.conf(5) linkbeat_interfaces; IEEE 802.3 clause 22 for the
MII status register; ethtool's ETHTOOL_GLINK.
"""

from __future__ import annotations

import array
import enum
import errno
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_SIOCGMIIPHY = 0x8947
_SIOCGMIIREG = 0x8948
_SIOCGIFFLAGS = 0x8913
_ETHTOOL_GLINK = 0x0A
_MII_BMSR = 1
_BMSR_LINK = 0x0004
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_NAME_BYTES = 16


class LinkbeatMethod(enum.Enum):
    """How a link is asked, in the order in which they are tried."""

    MII = "MII"
    ETHTOOL = "ETHTOOL"
    IOCTL = "IOCTL"


class Linkbeat:
    """Polls interfaces through one socket; which method an interface answers to is found out once."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._methods: dict[str, LinkbeatMethod] = {}

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def method(self, interface: str, asked: LinkbeatMethod | None = None) -> LinkbeatMethod:
        """The method used for an interface: the one asked for when its driver has it, else the first that
        works.
        """
        known = self._methods.get(interface)
        if known is not None:
            return known
        candidates = [asked] if asked is not None else []
        candidates += [m for m in LinkbeatMethod if m is not asked]
        for candidate in candidates:
            if candidate is LinkbeatMethod.IOCTL or self._ask(interface, candidate) is not None:
                self._methods[interface] = candidate
                return candidate
        raise AssertionError("unreachable: the flags are always there")

    def poll(self, interface: str, asked: LinkbeatMethod | None = None) -> bool:
        """True when the interface is up and has a link; False when not, or when it does not exist."""
        flags = self._flags(interface)
        if flags is None:
            self._methods.pop(interface, None)
            return False
        if not flags & _IFF_UP:
            return False
        method = self.method(interface, asked)
        if method is LinkbeatMethod.IOCTL:
            return bool(flags & _IFF_RUNNING)
        return bool(self._ask(interface, method))

    def _flags(self, interface: str) -> int | None:
        request = struct.pack("16sh22x", _name(interface), 0)
        try:
            return int(
                struct.unpack_from("H", fcntl.ioctl(self._sock, _SIOCGIFFLAGS, request), _NAME_BYTES)[0]
            )
        except OSError:
            return None

    def _ask(self, interface: str, method: LinkbeatMethod) -> bool | None:
        """The link as one method sees it, None when the driver does not have it."""
        try:
            return self._mii(interface) if method is LinkbeatMethod.MII else self._ethtool(interface)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.EPERM, errno.ENOTTY):
                return None
            raise

    def _mii(self, interface: str) -> bool:
        request = struct.pack("16sHHHH16x", _name(interface), 0, 0, 0, 0)
        phy = struct.unpack_from("H", fcntl.ioctl(self._sock, _SIOCGMIIPHY, request), _NAME_BYTES)[0]
        request = struct.pack("16sHHHH16x", _name(interface), phy, _MII_BMSR, 0, 0)
        status = 0
        # The link bit latches low (IEEE 802.3, 22.2.4.2.13): the second reading tells how it is now.
        for _ in range(2):
            answer = fcntl.ioctl(self._sock, _SIOCGMIIREG, request)
            status = struct.unpack_from("H", answer, _NAME_BYTES + 6)[0]
        return bool(status & _BMSR_LINK)

    def _ethtool(self, interface: str) -> bool:
        value = array.array("B", struct.pack("II", _ETHTOOL_GLINK, 0))
        request = struct.pack("16sP16x", _name(interface), value.buffer_info()[0])
        fcntl.ioctl(self._sock, _SIOCETHTOOL, request)
        return bool(struct.unpack("II", value.tobytes())[1])


def _name(interface: str) -> bytes:
    encoded = interface.encode()
    if not 0 < len(encoded) < _NAME_BYTES:
        raise OSError(errno.ENODEV, f"{interface!r} cannot be the name of an interface")
    return encoded

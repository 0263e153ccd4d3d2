"""What the load balancer tells the daemon, which maps it to notification, history and metrics.

Plain values in keepalived's names and order: for a server that fails first its own change (RS), then what it
means for the virtual server (VS). `script` is to be run by the daemon, as keepalived runs notify_up,
notify_down,
quorum_up and quorum_down: without arguments of its own.
"""

from __future__ import annotations

import msgspec

from fastha.config.model_base import Command


class RealServerChange(msgspec.Struct, frozen=True, kw_only=True, tag="RS", tag_field="event"):
    """A real server came up or went down; with `by_checker`, one of its checkers did and the server did
    not."""

    virtual_server: str
    real_server: str
    up: bool
    cause: str
    weight: int
    monotonic_ns: int
    script: Command | None = None
    smtp_alert: bool = False
    by_checker: bool = False


class QuorumChange(msgspec.Struct, frozen=True, kw_only=True, tag="VS", tag_field="event"):
    """A virtual server gained or lost its quorum."""

    virtual_server: str
    up: bool
    cause: str
    weight: int
    monotonic_ns: int
    script: Command | None = None
    smtp_alert: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True, tag="notice", tag_field="event"):
    """A line worth an operator's look: `level` is info, warning or error."""

    level: str
    text: str
    virtual_server: str = ""
    real_server: str = ""


LvsEvent = RealServerChange | QuorumChange | Notice

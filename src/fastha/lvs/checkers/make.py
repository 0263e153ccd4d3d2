"""From a checker of the model to the check that does it. Kinds are imported when the first of them is
made."""

from __future__ import annotations

from fastha.config.model_lvs import (
    AgentCheck,
    AnyChecker,
    BfdCheck,
    DnsCheck,
    FileCheck,
    GreetingCheck,
    GrpcCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)
from fastha.lvs.checkers.base import BrokenCheck, Check, Env

# ruff: noqa: PLC0415


def make_check(conf: AnyChecker, env: Env, configured_weight: int) -> Check:
    """The check of this kind; one that cannot be made is a check that fails with the reason."""
    try:
        return _make(conf, env, configured_weight)
    except ImportError as error:
        return BrokenCheck(env, f"needs {error.name}: pip install 'fastha[checks]'")
    except (ValueError, OSError) as error:
        return BrokenCheck(env, f"cannot be made: {error}")


def _make(conf: AnyChecker, env: Env, configured_weight: int) -> Check:
    match conf:
        case TcpCheck():
            from fastha.lvs.checkers.tcp import TcpChecker

            return TcpChecker(conf, env)
        case HttpCheck(http_protocol="2"):
            from fastha.lvs.checkers.h2check import Http2Checker

            return Http2Checker(conf, env)
        case HttpCheck():
            from fastha.lvs.checkers.http import HttpChecker

            return HttpChecker(conf, env)
        case MiscCheck():
            from fastha.lvs.checkers.misc import MiscChecker

            return MiscChecker(conf, env, configured_weight)
        case SmtpCheck():
            from fastha.lvs.checkers.smtp import SmtpChecker

            return SmtpChecker(conf, env)
        case DnsCheck():
            from fastha.lvs.checkers.dns import DnsChecker

            return DnsChecker(conf, env)
        case UdpCheck():
            from fastha.lvs.checkers.udp import UdpChecker

            return UdpChecker(conf, env)
        case PingCheck():
            from fastha.lvs.checkers.ping import PingChecker

            return PingChecker(conf, env)
        case FileCheck():
            from fastha.lvs.checkers.passive import FileChecker

            return FileChecker(conf)
        case BfdCheck():
            from fastha.lvs.checkers.passive import BfdChecker

            return BfdChecker(conf)
        case GrpcCheck():
            from fastha.lvs.checkers.h2check import GrpcChecker

            return GrpcChecker(conf, env)
        case GreetingCheck():
            from fastha.lvs.checkers.greeting import GreetingChecker

            return GreetingChecker(conf, env)
        case AgentCheck():
            from fastha.lvs.checkers.agent import AgentChecker

            return AgentChecker(conf, env, configured_weight)


def weight_matters(conf: AnyChecker) -> bool:
    """Whether two servers of different weights cannot share this check."""
    return isinstance(conf, AgentCheck) or (isinstance(conf, MiscCheck) and conf.dynamic)

"""Network-namespace test beds for demos, tests and benchmarks.

A :class:`Lab` has :class:`Node` machines on segments; daemons run in nodes (:class:`FasthaDaemon`,
:class:`KeepalivedDaemon`); a :class:`Capture` sees every frame with the kernel's time; a :class:`Prober` is a
client that counts what it lost; :mod:`fastha.lab.faults` breaks things. All of it needs root and leaves
nothing behind.
"""

from fastha.lab import confs, faults
from fastha.lab.capture import Capture, Frame, gaps_ms
from fastha.lab.daemons import KINDS, Daemon, FasthaDaemon, KeepalivedDaemon, cpu_seconds, pss_kib
from fastha.lab.prober import Outage, Prober
from fastha.lab.spaces import LabError
from fastha.lab.topology import Lab, Node, Port, wait_for

__all__ = [
    "KINDS",
    "Capture",
    "Daemon",
    "FasthaDaemon",
    "Frame",
    "KeepalivedDaemon",
    "Lab",
    "LabError",
    "Node",
    "Outage",
    "Port",
    "Prober",
    "confs",
    "cpu_seconds",
    "faults",
    "gaps_ms",
    "pss_kib",
    "wait_for",
]

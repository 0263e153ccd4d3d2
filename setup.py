"""Builds the compiled core. Everything declarative is in pyproject.toml.

Each Cython module links the C files it names below; the same C files are built by CMakeLists.txt for C tests,
sanitizers and fuzzers. Set FASTHA_DEBUG=1 for an unoptimised build with assertions.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = Path("src/fastha/_core")
DEBUG = os.environ.get("FASTHA_DEBUG") == "1"

CFLAGS = ["-std=gnu11", "-fvisibility=hidden", "-fno-strict-aliasing", "-D_GNU_SOURCE"]
CFLAGS += ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O2", "-g1"]

# The state machines whole: in the engine, and under a virtual clock.
MACHINES = [
    "fh_bfd_codec.c",
    "fh_bfd_fsm.c",
    "fh_bfd_gauge.c",
    "fh_bfd_join.c",
    "fh_bfd_node.c",
    "fh_bfd_send.c",
    "fh_bfd_table.c",
    "fh_digest.c",
    "fh_inet.c",
    "fh_node.c",
    "fh_timer.c",
    "fh_vrrp_fsm.c",
]

# Cython module -> the C files under _core/c/ that it is linked with.
MODULES: dict[str, list[str]] = {
    "spawn": ["fh_spawn.c"],
    "ipvs": ["fh_ipvs_codec.c"],
    "probe": ["fh_probe.c", "fh_timer.c"],
    "inotify": [],
    "vnode": MACHINES,
    "sim": [*MACHINES, "fh_sbfd.c", "fh_sim.c", "fh_sim_check.c", "fh_sim_fault.c", "fh_sim_net.c"],
    "engine": [
        *MACHINES,
        "fh_bfd_sock.c",
        "fh_engine.c",
        "fh_engine_bfd.c",
        "fh_engine_nl.c",
        "fh_engine_out.c",
        "fh_engine_rx.c",
        "fh_engine_seen.c",
        "fh_neigh_codec.c",
        "fh_sbfd.c",
        "fh_sock.c",
        "fh_vrrp_codec.c",
        "fh_vrrp_receive.c",
    ],
    "bfdfsm": ["fh_bfd_codec.c", "fh_bfd_fsm.c", "fh_bfd_send.c", "fh_digest.c", "fh_sbfd.c"],
    "codec": [
        "fh_bfd_codec.c",
        "fh_digest.c",
        "fh_inet.c",
        "fh_neigh_codec.c",
        "fh_vrrp_codec.c",
        "fh_vrrp_receive.c",
    ],
}

# The simulator's own copies of the machines can be broken on purpose (fh_break.h); the daemon's cannot.
MACROS: dict[str, list[tuple[str, str | None]]] = {"sim": [("FH_BREAKABLE", None)]}


def extension(name: str, sources: list[str]) -> Extension:
    """One extension module: its .pyx and the C files it needs."""
    return Extension(
        f"fastha._core.{name}",
        [str(CORE / f"{name}.pyx"), *(str(CORE / "c" / source) for source in sources)],
        include_dirs=[str(CORE / "c")],
        depends=[str(path) for path in sorted((CORE / "c").glob("*.h"))],
        define_macros=MACROS.get(name, []),
        extra_compile_args=CFLAGS,
    )


class BuildModules(build_ext):
    """Gives each module a directory of its own for object files: they are compiled at the same time, and
    some share C files."""

    def build_extension(self, ext: Extension) -> None:
        own = copy.copy(self)
        own.build_temp = str(Path(self.build_temp) / ext.name.rpartition(".")[2])
        build_ext.build_extension(own, ext)


setup(
    cmdclass={"build_ext": BuildModules},
    ext_modules=cythonize(
        [extension(name, sources) for name, sources in MODULES.items()],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "boundscheck": False,
            "wraparound": False,
        },
        include_path=[str(CORE)],
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)

"""Small C programs of the lab, compiled when first wanted.

What this is for: what must keep time (a client that sends a probe every millisecond, a control loop) cannot
be Python. The source is in the package; the binary is kept in the user's cache under the hash of its source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from fastha.lab.spaces import LabError, run

_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread")


def compiled(source: Path) -> Path:
    """The program made of one C file; compiled with ``cc`` if its source is new.

    Raises :exc:`LabError` when there is no compiler or it refuses.
    """
    digest = hashlib.sha256(source.read_bytes() + repr(_FLAGS).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastha"
    target = cache / f"{source.stem}-{digest}"
    if target.exists():
        return target
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        raise LabError(f"{source.name} must be compiled and there is no cc: apt-get install gcc libc6-dev")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = Path(scratch) / source.stem
        run(compiler, *_FLAGS, "-o", str(made), str(source), timeout=60)
        made.replace(target)  # whole or not at all: another lab may be compiling the same
    return target

"""A Linux kernel of its own for what this machine's kernel may not have: IPVS (`tests/uml/run`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastha.lab import LabError

ROOT = Path(__file__).parent.parent
NOTE = """Measured in a kernel of its own, run as a process (User-Mode Linux), because few kernels of test
machines have IPVS: everything costs several times as much there as on a host, so only ratios count."""


def in_kernel(subject: str, **parameters: Any) -> dict[str, list[float]]:
    """The samples of a subject of :mod:`bench.guest`. Raises :exc:`LabError`."""
    if shutil.which("linux.uml") is None:
        raise LabError("no kernel with IPVS: apt-get install user-mode-linux")
    command = [str(ROOT / "tests/uml/run"), "--timeout", "240", "--", sys.executable, "-m", "bench.guest"]
    done = subprocess.run(
        [*command, subject, json.dumps(parameters)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise LabError(
            f"{subject} in the kernel: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-500:]}"
        )
    samples: dict[str, list[float]] = json.loads(lines[-1])
    return samples

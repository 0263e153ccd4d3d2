"""Runs `guest_clock.py` in a kernel of its own: nobody sets the clock of the machine that tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.uml
@pytest.mark.timeout(200)
@pytest.mark.skipif(shutil.which("linux.uml", path="/usr/bin:/usr/sbin") is None, reason="no user-mode-linux")
def test_clock_steps() -> None:
    done = subprocess.run(
        [
            str(ROOT / "tests/uml/run"), "--timeout", "180", "--", sys.executable, "-m", "pytest",
            "-p", "no:cacheprovider", "--color=no", "-q", "--timeout=150", "-o", "python_files=guest_*.py",
            "tests/uml/guest_clock.py",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_XDIST_WORKER": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]

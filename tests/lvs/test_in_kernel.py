"""Runs each `guest_*.py` of this directory in a kernel with IPVS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.uml
@pytest.mark.timeout(240)
@pytest.mark.parametrize("guest", sorted(path.stem for path in HERE.glob("guest_*.py")))
def test_in_kernel(guest: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            str(ROOT / "tests/uml/run"), "--timeout", "220", "--log", str(tmp_path / "kernel.log"), "--",
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "-q", "--timeout=120",
            "-x", "-o", "python_files=guest_*.py", f"tests/lvs/{guest}.py",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0, (
        f"{guest}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
    )

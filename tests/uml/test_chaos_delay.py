"""A story of faults with late packets, in a kernel of its own, for the machine's may have no netem."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = 4
"""A story with delays; the tests of the story itself are beside the other units."""


@pytest.mark.uml
@pytest.mark.timeout(200)
@pytest.mark.skipif(shutil.which("linux.uml", path="/usr/bin:/usr/sbin") is None, reason="no user-mode-linux")
def test_a_story_with_late_packets() -> None:
    done = subprocess.run(
        [
            str(ROOT / "tests/uml/run"), "--timeout", "180",
            "--module", "sch_netem", "--module", "nft_numgen",
            "--",
            sys.executable, "-c", "from fastha.cli.main import main; main()",
            "lab", "chaos", "--seed", str(SEED), "--time", "14", "--slack", "1",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "ms late" in done.stdout
    assert "no netem" not in done.stdout

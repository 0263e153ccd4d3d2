"""The daemon makes room for as many sockets as it has checks."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource, sys
from fastha.daemon.balance import allow_descriptors
hard = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
said = allow_descriptors(int(sys.argv[1]))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], said)
"""


SAID = (
    "9000 checks can need 10024 open files, and 4096 are allowed: "
    "raise LimitNOFILE= of the unit, or ulimit -n"
)


@pytest.mark.parametrize(
    ("checks", "hard", "wanted"), [(100, 4096, "1124"), (3072, 4096, "4096"), (9000, 4096, f"4096 {SAID}")]
)
def test_the_limit_is_raised_as_far_as_it_may(checks: int, hard: int, wanted: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(checks), str(hard)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.strip() == wanted

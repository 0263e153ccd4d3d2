"""Stories of faults on real daemons. CHAOS_SEED and CHAOS_SECONDS repeat or prolong them.

A seed is fixed here, so that a failure is one of the code; `fastha lab chaos` draws new ones.
"""

from __future__ import annotations

import os
import shutil

import pytest

from fastha.lab import chaos

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root"),
]
SEED = int(os.environ.get("CHAOS_SEED", "5"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))


@pytest.mark.parametrize(("peers", "bfd"), [("fastha", False), ("mixed", False), ("fastha", True)])
def test_a_story_of_faults(peers: str, bfd: bool) -> None:
    if peers == "mixed" and shutil.which("keepalived") is None:
        pytest.skip("needs Debian's keepalived")
    # a noisy machine adds to every bound, but not half a second
    outcome = chaos.run(
        SEED, SECONDS, peers, vmac=peers == "fastha" and not bfd, bfd=bfd, slack=0.5, say=print
    )
    if outcome.violations:
        for name, log in outcome.logs.items():
            print(f"---- {name}\n{log[-4000:]}")
    assert not outcome.violations, f"seed {SEED}"
    assert outcome.terms >= 2

"""Every fuzz target takes its kept corpus and a moment of new inputs; `make fuzz` goes on longer."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import fuzz_config
import fuzz_control
import pytest

ROOT = Path(__file__).parents[2]
SEED = random.randrange(1 << 32)
"""New inputs every time; a failure prints it."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("clang-14") is None, reason="needs clang-14, see tools/debian-setup fuzz")
def test_the_core_stands_its_corpora_and_more() -> None:
    done = subprocess.run(
        ["make", "fuzz", "FUZZ_SECONDS=2"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_configuration_stands_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fuzz_config.main(5, SEED) == 0, SEED


@pytest.mark.wire
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_control_socket_stands_any_request() -> None:
    assert fuzz_control.main(5, SEED) == 0, SEED

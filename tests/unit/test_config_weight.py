"""What reading a configuration costs: start-up is part of the product, and large files must stay usable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastha.config import load
from fastha.config.diff import compare
from fastha.config.render import render

CORPUS = Path(__file__).parents[1] / "data" / "corpus"

_MEASURE = """
import json, resource, sys
from fastha import config
found = config.load(sys.argv[1])
used = resource.getrusage(resource.RUSAGE_SELF)
servers = found.config.lvs.virtual_servers
# not ru_maxrss, which a process inherits from the one that started it
peak = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps([used.ru_utime + used.ru_stime, peak // 1024, len(servers),
                  sum(len(s.real_servers) for s in servers)]))
"""


def test_the_language_loads_nothing_that_it_does_not_need() -> None:
    heavy = (
        "rich",
        "click",
        "pyroute2",
        "asyncio",
        "uvloop",
        "aiohttp",
        "difflib",
        "ssl",
        "fastha.config.render",
    )
    code = "import sys, fastha.config; print(*[m for m in sys.argv[1:] if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_twenty_thousand_lines(tmp_path: Path) -> None:
    lines = []
    for v in range(2000):
        lines += [
            f"virtual_server 10.{v >> 8}.{v & 255}.1 80 {{",
            "protocol TCP",
            "lvs_sched rr",
            "lvs_method NAT",
        ]
        lines += [f"real_server 192.168.{v % 250}.{r + 1} 80 {{ TCP_CHECK {{ }} }}" for r in range(10)]
        lines.append("}")
    file = tmp_path / "big.conf"
    file.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(file)], capture_output=True, text=True, check=True, timeout=100
    )
    cpu, mebibytes, virtual, real = json.loads(done.stdout)
    assert (virtual, real) == (2000, 20000)
    assert cpu < 8  # measured: 0.9 s; the bound is for a busy machine
    assert mebibytes < 200


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.conf")), ids=lambda f: f.stem)
def test_what_people_write_reads_back_from_what_is_shown(file: Path) -> None:
    config = load(file).config
    if config is None:
        return  # refused, as the table of the corpus says
    text = render(config)
    again = load("-", text=text).config
    assert again is not None
    assert [c.render() for c in compare(config, again)] == []
    assert render(again) == text

"""Files that mean harm: a clear error, in bounded time and memory, never a traceback."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastha.config import LoadResult, load

INSTANCE = "vrrp_instance A {{\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {{ {0} }}\n}}\n"


def _codes(result: LoadResult, severity: str = "error") -> set[str]:
    return {d.code for d in result.diagnostics if d.severity == severity}


def _text(text: str) -> LoadResult:
    return load("test.conf", text=text)


def test_a_missing_file() -> None:
    result = load("/nonexistent/keepalived.conf")
    assert not result.ok
    assert _codes(result) == {"FH0001"}
    assert "No such file" in result.diagnostics[0].message


def test_a_directory(tmp_path: Path) -> None:
    assert _codes(load(tmp_path)) == {"FH0001"}


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.conf"
    path.write_bytes(b"")
    assert load(path).ok


def test_a_file_that_includes_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("include a.conf\n" + INSTANCE.format("10.0.0.1"))
    result = load(path)
    assert _codes(result) == {"FH0002"}
    assert result.diagnostics[0].span.line == 1


def test_a_loop_of_includes(tmp_path: Path) -> None:
    for at in range(5):
        (tmp_path / f"{at}.conf").write_text(f"include {(at + 1) % 5}.conf\n")
    assert _codes(load(tmp_path / "0.conf")) == {"FH0002"}


def test_includes_that_multiply_are_bounded(tmp_path: Path) -> None:
    """Twelve files, each including every later one six times over, would be read billions of times."""
    for at in range(12):
        later = "".join(f"include {n:02}.conf\n" for n in range(at + 1, 12))
        (tmp_path / f"{at:02}.conf").write_text(later * 6)
    start = time.monotonic()
    assert "FH0002" in _codes(load(tmp_path / "00.conf"))
    assert time.monotonic() - start < 30


def test_a_strict_include_that_finds_nothing(tmp_path: Path) -> None:
    for word, severity in (("include", "note"), ("includem", "error"), ("includea", "error")):
        path = tmp_path / "main.conf"
        path.write_text(f"{word} missing.conf\n")
        assert _codes(load(path), severity) == {"FH0003"}, word


def test_a_fifo_and_a_device_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.conf")
    path = tmp_path / "main.conf"
    path.write_text(f"include {tmp_path}/pipe.conf\n" + INSTANCE.format("10.0.0.1"))
    assert load(path).ok


@pytest.mark.parametrize("seed", range(4))
def test_binary_files(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "binary.conf"
    if seed == 0:
        path.write_bytes(bytes(range(256)) * 400)
    elif seed == 1:
        path.write_bytes(Path(sys.executable).read_bytes()[:300_000])
    elif seed == 2:
        path.write_bytes(b"\x7fELF{{{{{}}}}{}{\n$A=${A}\n~SEQ(\n@^ \n\\" * 500)
    else:
        path.write_bytes(os.urandom(200_000))
    result = load(path)
    assert result.diagnostics
    assert len(result.diagnostics) <= 600
    for diagnostic in result.diagnostics:
        diagnostic.render()


def test_a_line_of_100_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "long.conf"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + INSTANCE.format("10.0.0.1").encode())
    start = time.monotonic()
    result = load(path)
    assert result.ok
    assert _codes(result, "warning") == {"FH0004"}
    assert result.diagnostics[0].span.line == 1
    assert time.monotonic() - start < 20


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "huge.conf"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    assert _codes(load(path)) == {"FH0006"}


@pytest.mark.parametrize(
    "text",
    [
        "$A=${A}\nrouter_id ${A}\n",
        "$A=${B}\n$B=${A}\nglobal_defs {\n router_id ${A}\n}\n",
        "$A= \\\n x \\\n ${A}\n$A\n",
        "$A=~SEQ(I,1,9) ${A}\n${A}\n",
    ],
)
def test_definitions_that_refer_to_themselves(text: str) -> None:
    start = time.monotonic()
    result = _text(text)
    assert "FH0005" in _codes(result)
    assert time.monotonic() - start < 20


def test_a_billion_fold_expansion() -> None:
    """Ten names, each ten times the one before: ten thousand million words."""
    text = "$L0=lol\n" + "".join(f"$L{n}={' '.join([f'${{L{n - 1}}}'] * 10)}\n" for n in range(1, 11))
    start = time.monotonic()
    result = _text(text + "global_defs {\n router_id ${L10}\n}\n")
    assert "FH0005" in _codes(result)
    assert time.monotonic() - start < 30


def test_a_billion_lines() -> None:
    text = "$L0=router_id x\n" + "".join(
        f"$L{n}= \\\n" + f"${{L{n - 1}}} \\\n" * 9 + f"${{L{n - 1}}}\n" for n in range(1, 11)
    )
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from fastha.config import load\n"
        "r = load('x', text=sys.stdin.read())\n"
        "print(sorted({d.code for d in r.diagnostics if d.severity == 'error'}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=text + "${L10}\n",
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert "FH0005" in run.stdout


def test_sequences_without_end() -> None:
    for text in ("~SEQ(A,1,999999999999) x ${A}\n", "~SEQ(A,1,1000000) ~SEQ(B,1,1000000) ~SEQ(C,1,9) x\n"):
        start = time.monotonic()
        assert "FH0005" in _codes(_text(text))
        assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    "text",
    [
        "{" * 999,
        "}\n" * 5000,
        "a {\n" * 3000,
        "vrrp_instance A {" * 50,
        "global_defs\n{\n{\n",
        "{ } } { \n }{",
    ],
)
def test_unbalanced_braces(text: str) -> None:
    result = _text(text)
    assert "FH0108" in {d.code for d in result.diagnostics}


def test_quotes_that_do_not_end() -> None:
    assert "FH0113" in _codes(_text('global_defs {\n router_id "abc\n}\n'), "warning")


def test_one_problem_does_not_hide_the_next() -> None:
    result = _text(
        "global_defs {\n router_idd x\n vrrp_version 7\n}\n"
        + INSTANCE.format("10.0.0.300")
        + "vrrp_instance B {\n interface eth0\n priority 999\n}\n"
    )
    lines = {d.span.line for d in result.diagnostics if d.severity != "note"}
    assert {2, 3, 8, 10, 12} <= lines
    assert not result.ok


def test_memory_stays_bounded_on_deep_nesting() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _text("virtual_server 10.0.0.1 80 {\n" + "real_server 10.0.0.2 80 {\n" * 20_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_an_error_counts_after_any_number_of_warnings() -> None:
    """What is no longer shown must not make a broken file a good one."""
    text = "nonsense\n" * 2000 + "vrrp_instance A {\n interface eth0\n}\n"
    result = _text(text)
    assert not result.ok
    assert any(d.code == "FH0202" for d in result.diagnostics)
    assert result.diagnostics[-1].code == "FH0007"
    assert len(result.diagnostics) < 600


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.conf"
    path.write_bytes(INSTANCE.format("10.0.0.1").replace("A {", "\xff\xe9 {").encode("latin-1"))
    for command in (
        ["check"],
        ["check", "--json"],
        ["config", "show"],
        ["config", "show", "--json"],
        ["compat"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "fastha.cli.main", *command, str(path)], capture_output=True, check=False
        )
        assert run.returncode == 0, (command, run.stderr[-400:])
        assert b"Traceback" not in run.stderr


def test_twenty_thousand_real_servers_in_bounded_time_and_memory() -> None:
    """2,000 virtual servers of 10 real servers: 2 s and 200 MiB are wanted (here the time has some room)."""
    parts = []
    for v in range(2000):
        head = (
            f"virtual_server 10.{v // 250}.{v % 250}.1 80 {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n"
        )
        real = "".join(
            f" real_server 192.168.{v % 250}.{n} 80 {{\n  TCP_CHECK {{\n  }}\n }}\n" for n in range(1, 11)
        )
        parts.append(head + real + "}\n")
    code = (
        "import re, sys, time\n"
        "from fastha.config import load\n"
        "text = sys.stdin.read()\n"
        "start = time.process_time()\n"
        "config = load('x', text=text).config\n"
        "print(time.process_time() - start, sum(len(v.real_servers) for v in config.lvs.virtual_servers),\n"
        "      int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input="".join(parts), capture_output=True, text=True, check=True
    )
    seconds, servers, mebibytes = (float(word) for word in run.stdout.split())
    assert servers == 20_000
    assert seconds < 8
    assert mebibytes < 200

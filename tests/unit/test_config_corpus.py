"""Real configurations from many hands: fastha's verdict is keepalived's, or the difference has a reason here.

`tests/data/corpus/index.tsv` holds what keepalived 2.2.7 and 2.4.3+ say of each file on a machine that has
every interface, script and user: clean, complaints (it goes on without what it complains of), or refused (it
ends).
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from fastha.config import LoadResult, load

CORPUS = Path(__file__).parent.parent / "data" / "corpus"

#: What fastha says of a file where that is not what keepalived 2.2.7 says, and why.
DIFFERENCES = {
    "118": ("complaints", "SNMP is not built: fastha names every keyword whose function is missing (FH0111)"),
    "140": ("refused", "$IF=${IF}: keepalived hangs for ever, fastha names the line"),
    "143": ("clean", "vrrp_iptables: Debian's keepalived is built without iptables, fastha uses it"),
    "170": ("clean", "vrrp_iptables: Debian's keepalived is built without iptables, fastha uses it"),
    "180": ("clean", "vrrp_iptables: Debian's keepalived is built without iptables, fastha uses it"),
}


def _rows() -> list[tuple[str, str, str]]:
    lines = (CORPUS / "index.tsv").read_text().splitlines()
    return [(f[0], f[1], f[2]) for line in lines if not line.startswith("#") for f in [line.split("\t")]]


def verdict(result: LoadResult) -> str:
    """As the index has it."""
    severities = {d.severity for d in result.diagnostics}
    if "error" in severities:
        return "refused"
    return "complaints" if "warning" in severities else "clean"


def _load(name: str, tmp_path: Path) -> LoadResult:
    """Loads a file with what it includes, as if it were in /etc/keepalived."""
    extra = CORPUS / f"{name}.d"
    if extra.is_dir():
        shutil.copytree(extra, tmp_path, dirs_exist_ok=True)
    raw = (CORPUS / f"{name}.conf").read_bytes()
    raw = raw.replace(b"/etc/keepalived/conf.d", bytes(tmp_path / "conf.d"))
    (tmp_path / "keepalived.conf").write_bytes(raw)
    return load(tmp_path / "keepalived.conf")


@pytest.mark.parametrize(("name", "keepalived", "later"), _rows())
def test_the_verdict_is_keepaliveds(name: str, keepalived: str, later: str, tmp_path: Path) -> None:
    result = _load(name, tmp_path)
    ours = verdict(result)
    told = "\n".join(d.render() for d in result.diagnostics)
    expected = DIFFERENCES[name][0] if name in DIFFERENCES else keepalived
    assert ours == expected, f"keepalived: {keepalived} (2.4.3+: {later}); fastha: {ours}\n{told}"
    assert result.ok == (ours != "refused")


def test_every_difference_is_one() -> None:
    """A row of DIFFERENCES that says what keepalived says is stale."""
    said = {name: keepalived for name, keepalived, _ in _rows()}
    stale = [name for name, (ours, _) in DIFFERENCES.items() if said[name] == ours]
    assert not stale


@pytest.mark.parametrize("name", [row[0] for row in _rows()])
def test_every_diagnostic_has_a_place_and_a_code(name: str, tmp_path: Path) -> None:
    for diagnostic in _load(name, tmp_path).diagnostics:
        assert diagnostic.code.startswith("FH")
        assert diagnostic.span.line >= 1
        assert diagnostic.span.column >= 1
        assert Path(diagnostic.span.file).exists()
        assert diagnostic.message in diagnostic.render()


def test_the_whole_corpus_is_quick(tmp_path: Path) -> None:
    start = time.monotonic()
    for name, _, _ in _rows():
        _load(name, tmp_path)
    assert time.monotonic() - start < 20

"""The keyword reference: complete, up to date, and true to the tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fastha.cli.main import cli
from fastha.config import codes, load, manual, reference
from fastha.config.diagnostics import CODES, Reporter
from fastha.config.lexer import words_of
from fastha.config.reader import Reader
from fastha.config.tree import Statement

ROOT = Path(__file__).parents[2]
KEEPALIVED = [
    line
    for line in (ROOT / "tests/data/keepalived-keywords.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_keyword_of_keepalived_is_in_the_tables() -> None:
    have = {p.path for p in reference.places()}
    assert len(KEEPALIVED) > 500
    assert [path for path in KEEPALIVED if path not in have] == []


def test_what_keepalived_does_not_have_is_marked_as_fasthas_own() -> None:
    known = set(KEEPALIVED)
    unmarked = [
        p.path
        for p in reference.places()
        if p.path not in known
        and not p.keyword.extension
        and not any(".".join(p.blocks[: n + 1]) not in known for n in range(len(p.blocks)))
    ]
    assert unmarked == []


@pytest.mark.parametrize("name", sorted(manual.PAGES_WRITTEN))
def test_the_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == manual.PAGES_WRITTEN[name](), (
        "run: python -m fastha.config.manual docs"
    )


def test_every_code_has_a_page() -> None:
    assert set(codes.PAGES) == set(CODES)


def _single_values() -> list[reference.Place]:
    kinds = ("int", "seconds", "millis", "bool", "choice", "ip", "flag", "word", "text")
    return [p for p in reference.places() if p.keyword.kind in kinds]


@pytest.mark.parametrize("place", _single_values(), ids=lambda p: p.path)
def test_every_example_is_accepted_by_the_reader(place: reference.Place) -> None:
    reporter = Reporter()
    words, problem = words_of(reference.example(place.keyword), "-", 1)
    assert problem is None
    value = Reader(reporter).value(Statement(words), place.keyword)
    assert value is not None
    assert reporter.found == []


def test_explain_says_values_default_and_place() -> None:
    result = CliRunner().invoke(cli, ["explain", "auth_type"])
    assert result.exit_code == 0
    assert "PASS | AH" in result.output
    assert "vrrp_instance > authentication" in result.output


def test_explain_tells_the_same_keyword_of_different_blocks_apart() -> None:
    result = CliRunner().invoke(cli, ["explain", "weight"])
    assert "vrrp_script" in result.output
    assert "virtual_server > real_server" in result.output


def test_explain_of_an_unknown_word_suggests_one() -> None:
    result = CliRunner().invoke(cli, ["explain", "virtual_ipadress"])
    assert result.exit_code == 1
    assert "did you mean 'virtual_ipaddress'" in result.output


def test_explain_of_a_code() -> None:
    result = CliRunner().invoke(cli, ["explain", "FH0201"])
    assert result.exit_code == 0
    assert "VRID" in result.output
    assert CliRunner().invoke(cli, ["explain", "FH9999"]).exit_code == 1


@pytest.mark.parametrize(
    "line",
    [
        "auth_pass sesame-and-more",
        'auth_pass "sesame and more" excess',
        "    auth_hmac { key 1 sesame }",
    ],
)
def test_no_message_shows_a_password(line: str) -> None:
    block = line if "{" in line else f"authentication {{\nauth_type PASS\n{line}\n}}"
    block = block.replace("{ ", "{\n").replace(" }", "\n}")
    text = f"vrrp_instance A {{\ninterface e\nvirtual_router_id 1\nno_virtual_ipaddress\n{block}\n}}\n"
    said = [d.render() for d in load("-", text=text).diagnostics]
    assert any("****" in s for s in said), said
    assert not any("sesame" in s for s in said), said

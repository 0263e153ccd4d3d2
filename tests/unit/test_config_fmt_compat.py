"""`fastha config fmt` changes nothing but blanks; `fastha compat` judges every line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fastha.cli.main import cli
from fastha.config.compat import compat
from fastha.config.diagnostics import Reporter
from fastha.config.fmt import fmt
from fastha.config.source import Line
from fastha.config.tree import Statement, parse

DATA = Path(__file__).parents[1] / "data"


def tree(text: str) -> list[object]:
    def shape(statements: list[Statement]) -> list[object]:
        return [
            ([(w.text, w.quoted) for w in s.words], shape(s.block) if s.block is not None else None)
            for s in statements
        ]

    lines = (Line(t.removesuffix("\r"), "-", n) for n, t in enumerate(text.split("\n"), 1))
    return shape(parse(lines, Reporter()))


PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "word",
            '"two words"',
            "# a comment {",
            "! }",
            "\n",
            "\n\n",
            "  ",
            "\t",
            "\r\n",
            "'q }'",
            "a{b",
        ]
    ),
    max_size=40,
).map(" ".join)


@given(PIECES)
def test_fmt_changes_neither_words_nor_blocks(text: str) -> None:
    assert tree(fmt(text)) == tree(text)


@given(PIECES)
def test_fmt_twice_is_fmt(text: str) -> None:
    assert fmt(fmt(text)) == fmt(text)


def test_fmt_indents_by_blocks_and_keeps_comments() -> None:
    text = "vrrp_instance A\n{\n# why\ninterface eth0   # here\n\n\n\ttrack_script { chk\n}}\r\n"
    assert fmt(text) == (
        "vrrp_instance A\n{\n    # why\n    interface eth0   # here\n\n    track_script { chk\n}}\n"
    )


def test_fmt_leaves_the_lines_of_a_definition_alone() -> None:
    text = "$BODY= interface eth0 \\\n        weird   {  \\\n    }\nvrrp_instance A {\n$BODY\n}\n"
    assert fmt(text) == (
        "$BODY= interface eth0 \\\n        weird   {  \\\n    }\nvrrp_instance A {\n    $BODY\n}\n"
    )


def test_fmt_of_the_sample_changes_nothing() -> None:
    text = (DATA / "everything.conf").read_text()
    assert fmt(text) == text


def test_fmt_writes_a_file_in_place_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "k.conf"
    file.write_text("vrrp_instance A {\ninterface e\n}\n")
    file.chmod(0o640)
    run = CliRunner()
    assert run.invoke(cli, ["config", "fmt", "--check", str(file)]).exit_code == 1
    assert run.invoke(cli, ["config", "fmt", "-w", str(file)]).exit_code == 0
    assert file.read_text() == "vrrp_instance A {\n    interface e\n}\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert run.invoke(cli, ["config", "fmt", "--check", str(file)]).exit_code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["k.conf"]


TEXT = """
global_defs {
    router_id r
    enable_dbus
    fastha_main_timeout 5
    nonsense
}
vrrp_instance A {
    linkbeat_use_polling
    virtual_ipaddress {
        192.0.2.1
    }
    authentication {
        auth_type PASS
    }
}
"""


def test_compat_judges_every_keyword() -> None:
    report = compat("-", text=TEXT)
    judged = {line.path: (line.verdict, line.span.line) for line in report.lines}
    assert judged == {
        "global_defs": ("same", 2),
        "global_defs.router_id": ("same", 3),
        "global_defs.enable_dbus": ("not yet", 4),
        "global_defs.fastha_main_timeout": ("more", 5),
        "global_defs.nonsense": ("unknown", 6),
        "vrrp_instance": ("same", 8),
        "vrrp_instance.linkbeat_use_polling": ("old", 9),
        "vrrp_instance.virtual_ipaddress": ("same", 10),
        "vrrp_instance.authentication": ("same", 13),
        "vrrp_instance.authentication.auth_type": ("same", 14),
    }


@pytest.mark.parametrize(("keyword", "code"), [("router_id x", 0), ("enable_dbus", 1)])
def test_compat_says_by_its_exit_code_whether_something_waits(
    tmp_path: Path, keyword: str, code: int
) -> None:
    file = tmp_path / "k.conf"
    file.write_text(f"global_defs {{\n{keyword}\n}}\n")
    result = CliRunner().invoke(cli, ["compat", str(file)])
    assert result.exit_code == code
    assert ("not yet: global_defs.enable_dbus" in result.output) == bool(code)


def test_compat_of_what_cannot_be_read_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "loop.conf"
    file.write_text("include loop.conf\n")
    result = CliRunner().invoke(cli, ["compat", str(file)])
    assert result.exit_code == 2
    assert "FH0002" in result.output


@pytest.mark.parametrize("command", [["check"], ["compat", "--all"]])
def test_what_a_terminal_would_obey_is_not_printed(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "k.conf"
    file.write_bytes(b"\x1b[31mred \xff\n")
    result = CliRunner().invoke(cli, [*command, str(file)])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "?[31mred" in result.output

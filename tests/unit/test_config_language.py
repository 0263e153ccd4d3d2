"""The language below the keywords: words, comments, includes, definitions, conditions, repetitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastha.config import load
from fastha.config.diagnostics import Reporter
from fastha.config.lexer import words_of
from fastha.config.source import Source, braces, without_comment
from fastha.config.tree import parse


def lines(text: str, **more: str) -> list[str]:
    """The lines of a text after all expansion, empty ones left out."""
    reporter = Reporter()
    found = [line.text.strip() for line in Source(reporter, config_id="this", **more).lines("test", text)]
    assert not [d for d in reporter.found if d.severity == "error"], [d.message for d in reporter.found]
    return [line for line in found if line]


def words(text: str) -> list[str]:
    return [w.text for w in words_of(text, "test", 1)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tc\r", ["a", "b", "c"]),
        ("a # b", ["a"]),
        ("a ! b", ["a"]),
        ("a\\#b c\\!d", ["a#b", "c!d"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ('a "b # c"', ["a", "b # c"]),
        ("a { b }", ["a", "{", "b", "}"]),
        ('"{"', ["{"]),
        ("", []),
        ("   \t ", []),
        ('"a b"c', ["a bc"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_places_of_words() -> None:
    found, _ = words_of("  abc  {  def", "file", 7)
    assert [(w.text, w.span.line, w.span.column) for w in found] == [
        ("abc", 7, 3),
        ("{", 7, 8),
        ("def", 7, 11),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a # b", "a "),
        ('a "x # y" # z', 'a "x # y" '),
        ("a \\# b", "a \\# b"),
        ("plain", "plain"),
    ],
)
def test_comments(text: str, expected: str) -> None:
    assert without_comment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A=1\nx $A", ["x 1"]),
        ("$A=1\nx ${A}y", ["x 1y"]),
        ("$A=1\nx $Ay", ["x $Ay"]),
        ("$A=1\n$A=2\nx $A", ["x 2"]),
        ("$A=$B\n$B=2\nx $A", ["x 2"]),
        ("$B=1\n$A=$B\n$B=2\nx $A", ["x 2"]),  # expanded when it is used, not when it is defined
        ("x $NOPE ${NOPE}", ["x $NOPE ${NOPE}"]),
        ('$A=b\nx "$A ${A}c"', ['x "b bc"']),
        ("$A= \\\n one \\\n two\n$A", ["one", "two"]),
        ("$A= \\\n one # no \\\n two\n$A", ["one", "two"]),
        ("$P=1.2.3.\nx ${P}4", ["x 1.2.3.4"]),
        ("x ${_INSTANCE}", ["x this"]),
        ("$H=${_HASH}\n${H} a comment\nx", ["x"]),
    ],
)
def test_definitions(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@this a\n@other b\n@^this c\n@^other d\ne", ["a", "d", "e"]),
        ("@this\nx", ["x"]),
        ("@this $A=1\n@other $A=2\nx $A", ["x 1"]),
        ("$A=9\n@other $A= \\\n one \\\n two\nx $A", ["x 9"]),
        ("$A=@other\n$A no\nyes", ["yes"]),
    ],
)
def test_conditions(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~SEQ(i,1,3) x $i", ["x 1", "x 2", "x 3"]),
        ("~SEQ(i,3,1) x $i", ["x 3", "x 2", "x 1"]),
        ("~SEQ(i,3) x $i", ["x 1", "x 2", "x 3"]),
        ("~SEQ(i,1,2,5) x $i", ["x 1", "x 3", "x 5"]),
        ("~SEQ(i,0x10,010) x $i", [f"x {n}" for n in range(16, 7, -1)]),
        ("~SEQx(i,9,11) x ${i}", ["x 9", "x a", "x b"]),
        ("$E=2\n~SEQ(i,1,$E) x $i", ["x 1", "x 2"]),
        ("~SEQ(i,1,2) ~SEQ(j,1,2) $i$j ${i}${j}", ["$i1 11", "$i2 12", "$i1 21", "$i2 22"]),
        ("~LST(i,a,b) x $i", ["x a", "x b"]),
        ("~LST({i,j},{a,1},{b}) x $i-${j}", ["x $i-1", "x $i-"]),
        ("~LST({i,j},{a,1},{b}) x ${i} ${j}", ["x a 1", "x b"]),
        ("$M= \\\n a $i \\\n b\n~SEQ(i,1,2) $M", ["a 1", "b", "a 2", "b"]),
        ("$R=r $i\n$M= \\\n v { \\\n ~SEQ(i,1,2) $R \\\n }\n$M", ["v {", "r 1", "r 2", "}"]),
        ("~SEQ(i,1,2) x $i\ny $i", ["x 1", "x 2", "y $i"]),
    ],
)
def test_repetitions(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


def test_random_within_bounds() -> None:
    found = {int(line.split()[1]) for line in lines("~SEQ(i,1,200) x ${_RANDOM 3 6}")}
    assert found == {3, 4, 5, 6}


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTHA_TEST_WORD", "there")
    assert lines("x ${_ENV FASTHA_TEST_WORD}") == ["x there"]


def test_includes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one.conf").write_text("one ${_PWD}\ninclude two.txt\n")
    (tmp_path / "d" / "two.txt").write_text("two\n")  # beside the file that includes it
    (tmp_path / "d" / "run.conf").write_text("never\n")
    (tmp_path / "d" / "run.conf").chmod(0o755)  # executable: skipped
    main = tmp_path / "main.conf"
    main.write_text("a\ninclude d/*.conf\nb\n")
    found = [line.text for line in Source(Reporter()).lines(main) if line.text]
    assert found == ["a", f"one {tmp_path}/d", "two", "b"]


def test_an_include_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.conf").write_text("\n\nglobal_defs {\n  nonsense\n}\n")
    main = tmp_path / "main.conf"
    main.write_text("include bad.conf\n")
    (diagnostic,) = load(main).diagnostics
    assert (Path(diagnostic.span.file).name, diagnostic.span.line, diagnostic.span.column) == (
        "bad.conf",
        4,
        3,
    )
    assert diagnostic.line_text == "  nonsense"
    assert "\n      nonsense\n      ^" in diagnostic.render()


def test_include_check(tmp_path: Path) -> None:
    main = tmp_path / "main.conf"
    for words_, refused in (("", True), ("match", True), ("read", False), ("-match", False)):
        main.write_text(f"global_defs {{\n include_check {words_}\n}}\ninclude missing.conf\n")
        assert load(main).ok != refused, words_


def test_braces_of_globs() -> None:
    assert braces("a{b,c}d{,e}") == ["abd", "abde", "acd", "acde"]
    assert braces("plain") == ["plain"]


def tree(text: str) -> list[object]:
    def shape(statements: list[object]) -> list[object]:
        return [
            (" ".join(w.text for w in s.words), shape(s.block) if s.block is not None else None)  # type: ignore[attr-defined]
            for s in statements
        ]

    return shape(list(parse(Source(Reporter()).lines("test", text), Reporter(), frozenset({"needs"}))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {\n b c\n}\nd", [("a", [("b c", None)]), ("d", None)]),
        ("a\n{\n b\n}", [("a", [("b", None)])]),
        ("a { b { c } d }", [("a", [("b", [("c", None)]), ("d", None)])]),
        ("a { b } c { d }", [("a", [("b", None)]), ("c", [("d", None)])]),
        ("a }\nb", [("a", None), ("b", None)]),
        ("a {\n b", [("a", [("b", None)])]),
        ("needs x\n b\n}\nc", [("needs x", [("b", None)]), ("c", None)]),
    ],
)
def test_trees(text: str, expected: list[object]) -> None:
    assert tree(text) == expected


def test_a_name_is_suggested() -> None:
    result = load("test", text="vrrp_instance A {\n virtual_ipadress {\n 10.0.0.1\n }\n}\n")
    assert any(d.suggestion == "did you mean 'virtual_ipaddress'?" for d in result.diagnostics)


@pytest.mark.parametrize(
    ("text", "argv"),
    [  # each as `keepalived -d` shows it
        ("\"/bin/true a 'b c'\"", ["/bin/true", "a", "b c"]),
        ("/bin/true", ["/bin/true"]),
        ("/bin/true a b", ["/bin/true"]),
        ("'/bin/true x'", ["/bin/true", "x"]),
        ('"/bin/true \\"a b\\" c"', ["/bin/true", "a b", "c"]),
        ('"/bin/true a\\ b"', ["/bin/true", "a", "b"]),
        ('"/bin/true a\\tb"', ["/bin/true", "a", "b"]),
        ("\"/bin/true a'b c'd\"", ["/bin/true", "ab cd"]),
        ('"/bin/true   a    b"', ["/bin/true", "a", "b"]),
        ('"/bin/true" root', ["/bin/true"]),
        ('"/bin/true a#b"', ["/bin/true", "a#b"]),
    ],
)
def test_commands(text: str, argv: list[str]) -> None:
    config = load("test", text=f"vrrp_script s {{\n script {text}\n}}\n").config
    assert config is not None
    (script,) = config.scripts
    assert script.command is not None
    assert list(script.command.argv) == argv
    assert script.command.user is None


def test_who_runs_a_notify_script() -> None:
    lines_ = 'notify_master /bin/a joe\n notify_backup "/bin/b x" joe users\n'
    head = "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {\n 10.0.0.1\n }\n"
    text = f"{head} {lines_}}}\n"
    config = load("test", text=text).config
    assert config is not None
    notify = config.instances[0].settings.notify
    assert notify.master is not None
    assert (notify.master.argv, notify.master.user, notify.master.group) == (("/bin/a",), "joe", None)
    assert notify.backup is not None
    assert (notify.backup.argv, notify.backup.user, notify.backup.group) == (("/bin/b", "x"), "joe", "users")

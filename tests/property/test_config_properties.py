"""Properties of the language: no text at all brings it down, and what it says has a place."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fastha.config import load
from fastha.config.diagnostics import Reporter
from fastha.config.keywords import TABLES
from fastha.config.lexer import words_of
from fastha.config.source import Source

_WORDS = sorted({name for table in TABLES.values() for name in table})
_PIECES = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(["{", "}", "\n", "\n", "\n", '"', "'", "#", "!", "\\\n"]),
    st.sampled_from(["$A=", "${A}", "~SEQ(i,1,3)", "@x", "~LST("]),
    st.sampled_from(["10.0.0.1", "fe80::1/64", "1", "0", "-1", "80", "1.5"]),
    st.sampled_from(["eth0", "dev", "weight", "on", "A", "via"]),
    st.text(max_size=8),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=60))
def test_no_text_brings_it_down(pieces: list[str]) -> None:
    text = " ".join(pieces)
    result = load("test.conf", text=text)
    count = text.count("\n") + 1
    for diagnostic in result.diagnostics:
        assert 1 <= diagnostic.span.line <= count
        assert diagnostic.render()
    assert result.ok == all(d.severity != "error" for d in result.diagnostics)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_no_octets_bring_it_down(raw: bytes) -> None:
    load("test.conf", text=raw.decode("utf-8", "surrogateescape"))


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\n\r$~@"), max_size=80))
def test_words_lie_within_their_line(text: str) -> None:
    found, _ = words_of(text, "test", 3)
    columns = [w.span.column for w in found]
    assert columns == sorted(set(columns))
    assert all(1 <= column <= len(text) for column in columns)


@given(st.lists(st.text(alphabet="abc123./ \t", max_size=20), max_size=20))
def test_text_without_magic_is_left_alone(rows: list[str]) -> None:
    found = [line.text for line in Source(Reporter()).lines("test", "\n".join(rows))]
    assert found == "\n".join(rows).split("\n")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 255), st.integers(1, 254), st.integers(1, 4095)),
        min_size=1,
        max_size=8,
        unique_by=lambda t: t[0],
    )
)
def test_numbers_arrive(rows: list[tuple[int, int, int]]) -> None:
    text = "".join(
        f"vrrp_instance I{vrid} {{\n interface eth0\n version 3\n virtual_router_id {vrid}\n"
        f" priority {priority}\n advert_int {steps / 100}\n virtual_ipaddress {{ 10.0.{vrid}.1 }}\n}}\n"
        for vrid, priority, steps in rows
    )
    config = load("test", text=text).config
    assert config is not None
    found = [(i.vrid, i.priority, i.settings.advert_int_ns // 10_000_000) for i in config.instances]
    assert found == rows

"""From lines to a tree of statements: a keyword, its words, and perhaps a block. Recovers from every
error."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .diagnostics import Reporter
from .lexer import Word, words_of
from .model import Span
from .source import Line

_BRACES = ("{", "}")


class Statement(msgspec.Struct):
    """A line's keyword with its words; `block` when one was opened."""

    words: list[Word]
    block: list[Statement] | None = None

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0].text

    @property
    def arguments(self) -> list[Word]:
        """The words after it."""
        return self.words[1:]

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.words[0].span

    @property
    def line_text(self) -> str:
        """The line that it stands in."""
        return self.words[0].line_text


def parse(
    lines: Iterable[Line],
    reporter: Reporter,
    expects_block: frozenset[str] = frozenset(),
    commands: frozenset[str] = frozenset(),
) -> list[Statement]:
    """Builds the tree. A brace may stand on the line of its keyword or on the next one; where it is missing
    after a keyword that is nothing without a block (`expects_block`), it is taken as given."""
    root: list[Statement] = []
    open_blocks: list[tuple[list[Statement], Statement | None]] = [(root, None)]
    last: Statement | None = None  # a statement that a brace on the next line would belong to
    for line in lines:
        words, problem = words_of(line.text, line.file, line.number, commands)
        if problem is not None:
            reporter.add("warning", "FH0113", problem, words[-1].span, line.text)
        statement: list[Word] = []
        if (
            words
            and last is not None
            and last.block is None
            and last.words[0].text in expects_block
            and not words[0].opens
        ):
            text = f"'{{' is missing after {last.keyword}; the block is taken to begin here"
            reporter.add("warning", "FH0108", text, last.span, last.line_text)
            last.block = []
            open_blocks.append((last.block, last))
            last = None
        for word in words:
            if word.quoted or word.text not in _BRACES:
                statement.append(word)
                continue
            if statement:
                last = Statement(statement)
                open_blocks[-1][0].append(last)
                statement = []
            if word.opens:
                if last is None or last.block is not None:
                    text = "a block is opened that belongs to no keyword; it is skipped"
                    reporter.add("warning", "FH0108", text, word.span, word.line_text)
                    last = Statement([word])
                last.block = []
                open_blocks.append((last.block, last))
                last = None
            else:
                last = None
                if len(open_blocks) == 1:
                    reporter.add("warning", "FH0108", "a closing brace in excess", word.span, word.line_text)
                else:
                    open_blocks.pop()
        if statement:
            last = Statement(statement)
            open_blocks[-1][0].append(last)
    for _, owner in open_blocks[:0:-1]:
        assert owner is not None
        text = f"the block of {owner.keyword} is not closed"
        reporter.add("warning", "FH0108", text, owner.span, owner.line_text)
    return root


def flat_lines(statements: Iterable[Statement]) -> Iterable[list[Word]]:
    """The lines of a block as words, also of blocks that have no business there."""
    for statement in statements:
        yield statement.words
        if statement.block is not None:
            yield from flat_lines(statement.block)

"""`fastha explain`: a keyword of the configuration, or the code of a diagnostic."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def _known(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from fastha.config.diagnostics import CODES  # noqa: PLC0415  (only when completing)
    from fastha.config.reference import places  # noqa: PLC0415

    found = {p.keyword.name: p.keyword.help for p in places()} | CODES
    return [CompletionItem(n, help=found[n]) for n in sorted(found) if n.startswith(incomplete)]


@click.command(name="explain")
@click.argument("keyword", shell_complete=_known)
def command(keyword: str) -> None:
    """Say what a KEYWORD means, which values it takes, its default, an example and where it may stand.

    KEYWORD may be the end of a path (authentication.auth_type), or a diagnostic's code (FH0203).
    """
    from fastha.config import codes, reference  # noqa: PLC0415

    if keyword.upper().startswith("FH") and keyword[2:].isdigit():
        try:
            click.echo(codes.page(keyword.upper()))
        except LookupError:
            raise click.ClickException(f"there is no diagnostic {keyword}") from None
        return
    try:
        click.echo(reference.explain(keyword))
    except LookupError as error:
        near = f"; {error}" if str(error) else ""
        raise click.ClickException(f"there is no keyword {keyword}{near}") from None

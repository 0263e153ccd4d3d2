"""What comes of reading a configuration. Apart from what reads it, which is not needed to hold this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .diagnostics import Diagnostic
    from .model import Config


class LoadResult(msgspec.Struct, frozen=True):
    """What came of a file: the model, unless there are errors, and every problem."""

    config: Config | None
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...] = ()
    """Every file that was read."""

    @property
    def ok(self) -> bool:
        """Whether there is a model."""
        return self.config is not None

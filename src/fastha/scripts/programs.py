"""From a command of the configuration to a program that may be run: its user found, its path checked.

One `Resolver` serves one load of the configuration, so that what it has to say is said once.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastha.scripts import security as checks
from fastha.scripts.identity import Identity, IdentityError, default_identity, resolve
from fastha.scripts.runner import Program


class Resolver:
    """Turns commands into programs. `messages` collects what an operator should read, each line once."""

    def __init__(
        self,
        *,
        script_user: str | None = None,
        script_group: str | None = None,
        supplementary: bool = False,
        security: bool = False,
        follow_links: bool = True,
        path: str | None = None,
    ) -> None:
        """`security` is enable_script_security, `follow_links` the opposite of use_symlink_paths."""
        self._default = (script_user, script_group)
        self._supplementary = supplementary
        self._security = security
        self._follow_links = follow_links
        self._path = path
        self._messages: dict[str, None] = {}
        self._insecure = False
        self._any = False

    @property
    def messages(self) -> tuple[str, ...]:
        """All that was said, with the warning of insecure scripts that run all the same at the end."""
        said = tuple(self._messages)
        if self._insecure and not self._security:
            said += (checks.VIOLATION,)
        return said

    def program(
        self,
        argv: Sequence[str],
        user: str | None = None,
        group: str | None = None,
        *,
        supplementary: bool = False,
        what: str = "script",
    ) -> Program | None:
        """The program, or None (with a message) when it may not or cannot run. `what` names it in
        messages."""
        if not argv:
            self._say(f"{what} has no command - disabling")
            return None
        try:
            identity = self._identity(user, group, supplementary)
        except IdentityError as error:
            self._say(f"{what}: {error} - disabling")
            return None
        verdict = checks.check(
            argv[0], identity, security=self._security, follow_links=self._follow_links, path=self._path
        )
        for message in verdict.messages:
            self._say(message)
        self._insecure |= verdict.usable is checks.Usable.INSECURE
        if not verdict.may_run(self._security):
            why = "insecure" if verdict.usable is checks.Usable.INSECURE else "not found/accessible"
            self._say(f"Disabling {what} due to {why}")
            return None
        return Program(verdict.path, tuple(argv), identity)

    def _identity(self, user: str | None, group: str | None, supplementary: bool) -> Identity:
        wanted = supplementary or self._supplementary
        if user is not None:
            return resolve(user, group, supplementary=wanted)
        return default_identity(*self._default, security=self._security, supplementary=wanted)

    def _say(self, text: str) -> None:
        self._messages[text] = None

"""Whom a script runs as: users and groups by name or number, and the default user.

keepalived.conf(5), `script_user`: the default is `script_user`, else the user `keepalived_script` if there
is one, else the daemon's own user; a group defaults to the primary group of the user. With
`enable_script_security` the daemon's own user is no default.
"""

from __future__ import annotations

import grp
import os
import pwd

import msgspec

DEFAULT_USER = "keepalived_script"


class IdentityError(ValueError):
    """A user or group that does not exist, or no user to run a script as."""


class Identity(msgspec.Struct, frozen=True):
    """The ids a script runs with. `groups` are its supplementary groups; () means none."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    user: str = ""

    @property
    def is_root(self) -> bool:
        """Whether a script with these ids could do anything that an ordinary user may not."""
        return self.uid == 0 or self.gid == 0

    def describe(self) -> str:
        """`nobody (65534:65534)`, for messages."""
        return f"{self.user or self.uid} ({self.uid}:{self.gid})"


def own_identity() -> Identity:
    """The ids that the daemon itself has, with its supplementary groups left out."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Identity(uid, gid, (), name)


def resolve(user: str, group: str | None = None, *, supplementary: bool = False) -> Identity:
    """The identity of `user` (a name, or a number as text) and `group` (default: the user's primary group).

    With `supplementary`, or a group written with a leading colon, the user's supplementary groups are
    included. Raises IdentityError, naming what does not exist.
    """
    if group is not None and group.startswith(":"):
        supplementary = True
        group = group[1:] or None
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
    except KeyError:
        if not user.isdigit():
            raise IdentityError(
                f"script user '{user}' does not exist (add it, or name another with 'user' or 'script_user')"
            ) from None
        uid, gid, name = int(user), int(user), user
        supplementary = False
    if group is not None:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise IdentityError(f"script group '{group}' does not exist") from None
    groups = tuple(sorted(set(os.getgrouplist(name, gid)))) if supplementary else ()
    return Identity(uid, gid, groups, name)


def default_identity(
    script_user: str | None,
    script_group: str | None = None,
    *,
    security: bool = False,
    supplementary: bool = False,
) -> Identity:
    """Whom scripts without a user of their own run as.

    Raises IdentityError when `script_user` does not exist, or when `security` is asked for and there is
    neither `script_user` nor the user `keepalived_script`.
    """
    if script_user is not None:
        return resolve(script_user, script_group, supplementary=supplementary)
    try:
        return resolve(DEFAULT_USER, supplementary=supplementary)
    except IdentityError:
        if security:
            raise IdentityError(
                f"enable_script_security needs a user to run scripts as: set script_user, or add the user "
                f"'{DEFAULT_USER}'"
            ) from None
    return own_identity()

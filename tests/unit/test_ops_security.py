"""Whether a script may run: keepalived's checks, with the path element and its mode named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastha.scripts import security
from fastha.scripts.identity import Identity, IdentityError, default_identity, own_identity, resolve
from fastha.scripts.programs import Resolver
from fastha.scripts.security import Usable, check

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="ownership of files needs root")
ROOT = Identity(0, 0, (), "root")
NOBODY = Identity(65534, 65534, (), "nobody")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that root alone can write to, as /etc is (tmp_path's parents are made so)."""
    folder = tmp_path_factory.mktemp("scripts")
    for parent in (folder, *folder.parents):
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    return folder


def put(path: Path, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


def test_a_sound_script(place: Path) -> None:
    verdict = check(str(put(place / "ok.sh")), ROOT, security=True)
    assert (verdict.usable, verdict.messages) == (Usable.YES, ())


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "word"),
    [
        (0o757, 0, 0, "writable by everybody"),
        (0o775, 0, 60, "writable by group 60"),
        (0o755, 65534, 0, "owned by uid 65534"),
    ],
)
def test_insecure_files_name_themselves_and_their_mode(
    place: Path, mode: int, uid: int, gid: int, word: str
) -> None:
    path = put(place / "x.sh", mode, uid, gid)
    verdict = check(str(path), ROOT, security=True)
    assert verdict.usable is Usable.INSECURE and not verdict.may_run(security=True)
    assert verdict.may_run(security=False)
    assert f"Unsafe permissions found for script '{path}' - disabling." in verdict.messages[-1]
    assert word in verdict.messages[-1] and f"mode {mode:04o}" in verdict.messages[-1]


def test_a_group_of_roots_may_write(place: Path) -> None:
    assert check(str(put(place / "x.sh", 0o775)), ROOT).usable is Usable.YES


def test_insecure_directories_are_named(place: Path) -> None:
    folder = place / "open"
    path = put(folder / "x.sh")
    folder.chmod(0o777)
    verdict = check(str(path), ROOT)
    assert verdict.usable is Usable.INSECURE
    assert f"{folder} is writable by everybody (mode 0777)" in verdict.messages[-1]
    folder.chmod(0o1777)  # sticky: nobody can replace another's file
    assert check(str(path), ROOT).usable is Usable.YES


def test_only_what_runs_as_root_is_held_to_this(place: Path) -> None:
    path = put(place / "x.sh", 0o757, 65534)
    assert check(str(path), NOBODY, security=True).usable is Usable.YES
    assert check(str(path), Identity(65534, 0), security=True).usable is Usable.INSECURE
    setuid = put(place / "suid.sh", 0o757)
    setuid.chmod(0o4757)
    assert check(str(setuid), NOBODY, security=True).usable is Usable.INSECURE


def test_links_are_followed_and_both_sides_checked(place: Path) -> None:
    target = put(place / "real" / "x.sh")
    (place / "dirlink").symlink_to("real")
    (place / "filelink").symlink_to(target)
    for written in (place / "dirlink" / "x.sh", place / "filelink"):
        verdict = check(str(written), ROOT, security=True)
        assert (verdict.usable, verdict.path) == (Usable.YES, str(target))
        assert check(str(written), ROOT, follow_links=False).path == str(written)
    exposed = place / "exposed"
    exposed.mkdir()
    (exposed / "link").symlink_to(target)
    exposed.chmod(0o777)
    assert check(str(exposed / "link"), ROOT).usable is Usable.INSECURE
    (place / "loop").symlink_to("loop")
    assert check(str(place / "loop"), ROOT).usable is Usable.MISSING


def test_a_merged_usr_is_no_obstacle() -> None:
    """/bin is a link on many systems."""
    verdict = check("/bin/sh", ROOT, security=True)
    assert verdict.usable is Usable.YES and os.access(verdict.path, os.X_OK)


def test_what_cannot_run_never_does(place: Path) -> None:
    for written, word in (
        (str(place / "absent"), "No such file"),
        (str(put(place / "plain", 0o644)), "is not executable for uid:gid 0:0"),
        (str(place), "Wrong file type"),
        ("no-such-program-at-all", "Cannot find script"),
    ):
        verdict = check(written, ROOT)
        assert verdict.usable is Usable.MISSING and not verdict.may_run(security=False)
        assert word in verdict.messages[-1]
    closed = place / "closed"
    path = put(closed / "x.sh")
    closed.chmod(0o700)
    verdict = check(str(path), NOBODY)
    assert verdict.usable is Usable.MISSING and f"{closed}, mode 0700" in verdict.messages[-1]


def test_bare_names_are_searched(place: Path) -> None:
    path = put(place / "tool")
    verdict = check("tool", ROOT, path=f"/nonexistent:{place}")
    assert verdict.path == str(path)
    assert "resolved by path search" in verdict.messages[0]


def test_users() -> None:
    assert resolve("nobody") == Identity(65534, 65534, (), "nobody")
    assert resolve("nobody", "games").gid == 60
    assert resolve("0").uid == 0
    assert resolve("nobody", ":games").groups  # a colon asks for supplementary groups
    with pytest.raises(IdentityError, match="'no-such-user' does not exist"):
        resolve("no-such-user")
    with pytest.raises(IdentityError, match="group 'no-such-group'"):
        resolve("nobody", "no-such-group")
    assert default_identity("nobody").uid == 65534
    assert default_identity(None) == own_identity()
    with pytest.raises(IdentityError, match="enable_script_security"):
        default_identity(None, security=True)


def test_the_resolver_says_things_once(place: Path) -> None:
    path = put(place / "x.sh", 0o757)
    loose = Resolver(script_user="root")
    assert loose.program([str(path), "arg"]) is not None
    assert loose.program([str(path)]) is not None
    assert len([m for m in loose.messages if "Unsafe" in m]) == 1
    assert loose.messages[-1] == security.VIOLATION
    strict = Resolver(script_user="root", security=True)
    assert strict.program([str(path)], what="track script a") is None
    assert "Disabling track script a due to insecure" in strict.messages
    assert security.VIOLATION not in strict.messages
    assert strict.program(["/bin/true"], "no-such-user", what="notify script of VI_1") is None
    assert any("no-such-user" in message for message in strict.messages)
    assert strict.program([], what="empty") is None

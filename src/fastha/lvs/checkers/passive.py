"""FILE_CHECK and BFD_CHECK: fed by whoever watches the file or the session, never started."""

from __future__ import annotations

from fastha.config.model_lvs import BfdCheck, FileCheck
from fastha.lvs.checkers.base import Check, Done, Result

_DOWN = -(1 << 31)


class PassiveCheck(Check):
    """A check that is told."""

    passive = True

    def start(self, up: bool, done: Done) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """There is nothing to end."""


class FileChecker(PassiveCheck):
    """The number in a track_file. keepalived.conf(5), FILE_CHECK."""

    def __init__(self, conf: FileCheck) -> None:
        self.conf = conf

    def read(self, value: int) -> Result:
        """What a value means: with weight 0 non-zero is down (reverse: zero is), else it is a weight."""
        conf = self.conf
        if conf.weight == 0:
            ok = (value != 0) == conf.reverse
            return Result(ok=ok, reason=f"{conf.file.path} holds {value}")
        delta = value * conf.weight * (-1 if conf.reverse else 1)
        if delta <= _DOWN:
            return Result(ok=False, reason=f"{conf.file.path} holds {value}: the weight is below all bounds")
        return Result(ok=True, reason=f"{conf.file.path} holds {value}", weight=delta)


class BfdChecker(PassiveCheck):
    """A BFD session, up or not."""

    def __init__(self, conf: BfdCheck) -> None:
        self.conf = conf

    def session(self, up: bool, cause: str = "") -> Result:
        """What the session's state means."""
        word = "up" if up else "down"
        return Result(
            ok=up, reason=f"BFD session {self.conf.name} is {word}" + (f": {cause}" if cause else "")
        )

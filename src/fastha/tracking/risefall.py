"""keepalived's counter of a track script: how results become up or down. Pure.

The counter runs from 0 to rise+fall-1, and the script is up while it is at least `rise`. The first result
decides by itself, whatever `rise` and `fall` say; from then on it takes `rise` successes in a row to come
up and `fall` failures in a row to go down.
"""

from __future__ import annotations


class RiseFall:
    """The counter of one script. `result` is None until the first run has ended."""

    def __init__(self, rise: int, fall: int, result: int | None = None) -> None:
        self.rise = max(1, rise)
        self.fall = max(1, fall)
        self.result = result

    @property
    def up(self) -> bool | None:
        """Whether it is up; None before the first result."""
        return None if self.result is None else self.result >= self.rise

    def record(self, success: bool) -> bool:
        """Counts one result; whether up or down changed (the first result always is a change)."""
        before = self.up
        top = self.rise + self.fall - 1
        if self.result is None:
            self.result = top if success else 0
        elif success:
            self.result = top if self.result + 1 >= self.rise else self.result + 1
        else:
            self.result = 0 if self.result - 1 < self.rise else self.result - 1
        return self.up != before

    def adjust(self, rise: int, fall: int) -> None:
        """New limits (a reload): stays up or down, as firmly as it can be."""
        up = self.up
        self.rise, self.fall = max(1, rise), max(1, fall)
        if up is not None:
            self.result = self.rise + self.fall - 1 if up else 0

"""Why an instance is in fault, with the names of what is meant: `its interface is down (eth0)`."""

from __future__ import annotations

from collections.abc import Callable

from fastha._core.events import FAULT_WORDS, Fault, fault_words
from fastha.config.model import VrrpInstance


def fault_cause(conf: VrrpInstance, faults: int, is_up: Callable[[str], bool]) -> str:
    """The faults of a mask in words; `is_up` tells the state of a link by its name."""
    text = fault_words(faults)
    if faults & Fault.LINK and conf.interface:
        words = FAULT_WORDS[Fault.LINK]
        text = text.replace(words, f"{words} ({conf.interface})")
    if faults & Fault.TRACK_LINK:
        words = FAULT_WORDS[Fault.TRACK_LINK]
        down = [t.name for t in conf.settings.track_interfaces if not t.weight and is_up(t.name) == t.reverse]
        if down:
            text = text.replace(words, f"{words} ({', '.join(down)})")
    return text

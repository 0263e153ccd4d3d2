"""Fuzzes the configuration language: damaged files of the corpus, in bounded time, without a traceback.

    python tests/fuzz/fuzz_config.py [SECONDS] [SEED]

Every input that raises, or takes longer than ten seconds, is written to the current directory, and the exit
code is 1.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from pathlib import Path

from fastha.config import load
from fastha.config.keywords import TABLES

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
WORDS = sorted({name for table in TABLES.values() for name in table})
JUNK = (
    *("{", "}", '"', "'", "\\", "#", "!", "\n", "\t", "\r\n", "\0", "\ufeff", "é", "}\n}\n", "{\n{\n"),
    *(
        "$A=",
        "${A}",
        "$A",
        "~SEQ(i,1,9) ",
        "~LST({a,b},{1,2}) ",
        "@x ",
        "@^x ",
        "include fuzz\n",
        "${_RANDOM 1 2}",
    ),
    *(
        "0",
        "-1",
        "256",
        "65536",
        "4294967296",
        "1e9",
        "0x10",
        "1.5.2",
        "255.255.255.255/33",
        "::/129",
        "fe80::1%eth0",
    ),
)
SLOW = 10.0


def damaged(text: str, others: list[str], r: random.Random) -> str:
    """A text with a few things wrong."""
    for _ in range(r.randint(1, 8)):
        at = r.randrange(len(text) + 1)
        until = min(len(text), at + r.randint(0, 60))
        kind = r.randrange(6)
        if kind == 0:
            text = text[:at] + text[until:]
        elif kind == 1:
            text = text[:at] + r.choice(JUNK) + text[at:]
        elif kind == 2:
            text = text[:at] + f" {r.choice(WORDS)} " + text[at:]
        elif kind == 3:
            text = text[:at] + text[at:until] * r.randint(2, 5) + text[until:]
        elif kind == 4:
            other = r.choice(others)
            start = r.randrange(len(other) + 1)
            text = text[:at] + other[start : start + 200] + text[at:]
        else:
            rows = text.split("\n")
            r.shuffle(rows)
            text = "\n".join(rows)
    return text


def main(seconds: float, seed: int) -> int:
    """Runs for so long; the number of inputs that failed."""
    r = random.Random(seed)
    texts = [p.read_bytes().decode("utf-8", "surrogateescape") for p in sorted(CORPUS.glob("*.conf"))]
    end = time.monotonic() + seconds
    tried = failed = 0
    while time.monotonic() < end:
        text = damaged(r.choice(texts), texts, r)
        tried += 1
        start = time.monotonic()
        try:
            for diagnostic in load("fuzz", text=text).diagnostics:
                diagnostic.render()
        except Exception:
            traceback.print_exc()
        else:
            if time.monotonic() - start < SLOW:
                continue
        failed += 1
        path = Path(f"fuzz-config-{seed}-{tried}.conf")
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        print(f"failed: {path}", file=sys.stderr)
    print(f"{tried} inputs, {failed} failed")
    return failed


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(bool(main(float(arguments[0]) if arguments else 60, int(arguments[1]) if arguments[1:] else 1)))

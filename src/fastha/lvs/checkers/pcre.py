"""Regular expressions exactly as keepalived has them: PCRE2, through the library that every Debian has.

Only loaded where a url has a regex. A bound on the steps of a match keeps a bad pattern from holding up the
event loop: past it the pattern counts as not found, and the reason says so.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

_OPTIONS = {
    "allow_empty_class": 0x00000001,
    "alt_bsux": 0x00000002,
    "auto_callout": 0x00000004,
    "caseless": 0x00000008,
    "dollar_endonly": 0x00000010,
    "dotall": 0x00000020,
    "dupnames": 0x00000040,
    "extended": 0x00000080,
    "firstline": 0x00000100,
    "match_unset_backref": 0x00000200,
    "multiline": 0x00000400,
    "never_ucp": 0x00000800,
    "never_utf": 0x00001000,
    "no_auto_capture": 0x00002000,
    "no_auto_possess": 0x00004000,
    "no_dotstar_anchor": 0x00008000,
    "no_start_optimize": 0x00010000,
    "ucp": 0x00020000,
    "ungreedy": 0x00040000,
    "utf": 0x00080000,
    "never_backslash_c": 0x00100000,
    "alt_circumflex": 0x00200000,
    "alt_verbnames": 0x00400000,
    "use_offset_limit": 0x00800000,
}
_NO_MATCH = -1
_MATCH_LIMIT = 1_000_000


class PatternError(ValueError):
    """A pattern that PCRE2 does not take, or no PCRE2 to take it."""


def _library() -> Any:
    for name in ("libpcre2-8.so.0", ctypes.util.find_library("pcre2-8")):
        if not name:
            continue
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        pointer, size, u32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
        for function, result, arguments in (
            ("compile", pointer, [ctypes.c_char_p, size, u32, pointer, pointer, pointer]),
            ("match", ctypes.c_int, [pointer, ctypes.c_char_p, size, size, u32, pointer, pointer]),
            ("match_data_create_from_pattern", pointer, [pointer, pointer]),
            ("match_context_create", pointer, [pointer]),
            ("set_match_limit", ctypes.c_int, [pointer, u32]),
            ("get_ovector_pointer", ctypes.POINTER(size), [pointer]),
            ("get_error_message", ctypes.c_int, [ctypes.c_int, ctypes.c_char_p, size]),
            ("code_free", None, [pointer]),
            ("match_data_free", None, [pointer]),
            ("match_context_free", None, [pointer]),
        ):
            call = getattr(lib, f"pcre2_{function}_8")
            call.restype, call.argtypes = result, arguments
        return lib
    raise PatternError("regex needs PCRE2: apt-get install libpcre2-8-0")


class Pattern:
    """A compiled pattern. Raises PatternError with the place in the pattern."""

    _lib: Any = None

    def __init__(self, pattern: str, options: tuple[str, ...] = ()) -> None:
        if Pattern._lib is None:
            Pattern._lib = _library()
        flags = 0
        for word in options:
            flags |= _OPTIONS[word]
        raw = pattern.encode()
        code, offset = ctypes.c_int(), ctypes.c_size_t()
        self._code = self._lib.pcre2_compile_8(
            raw, len(raw), flags, ctypes.byref(code), ctypes.byref(offset), None
        )
        if not self._code:
            raise PatternError(f"regex '{pattern}': {self._words(code.value)} at octet {offset.value}")
        self._data = self._lib.pcre2_match_data_create_from_pattern_8(self._code, None)
        self._context = self._lib.pcre2_match_context_create_8(None)
        self._lib.pcre2_set_match_limit_8(self._context, _MATCH_LIMIT)

    def __del__(self) -> None:
        if getattr(self, "_code", None):
            self._lib.pcre2_code_free_8(self._code)
            self._lib.pcre2_match_data_free_8(getattr(self, "_data", None))
            self._lib.pcre2_match_context_free_8(getattr(self, "_context", None))

    def _words(self, code: int) -> str:
        text = ctypes.create_string_buffer(256)
        self._lib.pcre2_get_error_message_8(code, text, len(text))
        return text.value.decode("ascii", "replace")

    def search(self, subject: bytes, start: int = 0) -> int | None:
        """Where the first match from `start` on begins, or None. Raises PatternError when matching fails."""
        if start > len(subject):
            return None
        found = self._lib.pcre2_match_8(
            self._code, subject, len(subject), start, 0, self._data, self._context
        )
        if found == _NO_MATCH:
            return None
        if found < 0:
            raise PatternError(f"regex could not be matched: {self._words(found)}")
        return int(self._lib.pcre2_get_ovector_pointer_8(self._data)[0])

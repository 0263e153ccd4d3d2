# cython: language_level=3
"""inotify(7), which Python's library lacks: three calls and their flags."""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t
from libc.string cimport memcpy


cdef extern from "sys/inotify.h" nogil:
    cdef struct inotify_event:
        int wd
        uint32_t mask
        uint32_t cookie
        uint32_t len

    int inotify_init1(int flags)
    int inotify_add_watch(int fd, const char *path, uint32_t mask)
    int inotify_rm_watch(int fd, int wd)
    enum:
        _NONBLOCK "IN_NONBLOCK"
        _CLOEXEC "IN_CLOEXEC"
        _CLOSE_WRITE "IN_CLOSE_WRITE"
        _MOVED_FROM "IN_MOVED_FROM"
        _MOVED_TO "IN_MOVED_TO"
        _CREATE "IN_CREATE"
        _DELETE "IN_DELETE"
        _DELETE_SELF "IN_DELETE_SELF"
        _MOVE_SELF "IN_MOVE_SELF"
        _Q_OVERFLOW "IN_Q_OVERFLOW"
        _IGNORED "IN_IGNORED"
        _ONLYDIR "IN_ONLYDIR"

IN_CLOSE_WRITE = _CLOSE_WRITE
IN_MOVED_FROM = _MOVED_FROM
IN_MOVED_TO = _MOVED_TO
IN_CREATE = _CREATE
IN_DELETE = _DELETE
IN_DELETE_SELF = _DELETE_SELF
IN_MOVE_SELF = _MOVE_SELF
IN_Q_OVERFLOW = _Q_OVERFLOW
IN_IGNORED = _IGNORED
IN_ONLYDIR = _ONLYDIR


def init():
    cdef int fd = inotify_init1(_NONBLOCK | _CLOEXEC)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


def add_watch(int fd, bytes path, uint32_t mask):
    cdef int wd = inotify_add_watch(fd, path, mask)
    if wd < 0:
        raise OSError(errno, os.strerror(errno), os.fsdecode(path))
    return wd


def rm_watch(int fd, int wd):
    inotify_rm_watch(fd, wd)


def parse(bytes data):
    cdef const char *start = data
    cdef size_t size = len(data)
    cdef size_t at = 0
    cdef inotify_event event
    cdef list found = []
    while size - at >= sizeof(inotify_event):
        memcpy(&event, start + at, sizeof(inotify_event))
        at += sizeof(inotify_event)
        if event.len > size - at:
            break
        found.append((event.wd, event.mask, data[at:at + event.len].split(b"\0", 1)[0]))
        at += event.len
    return found

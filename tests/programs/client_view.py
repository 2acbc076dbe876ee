# SPDX-License-Identifier: BSD-3-Clause
"""client_view.py - what ranks may see of a write, by the kind of client that the shared filesystem has.

The writer and its node see it at once. Other nodes do after $CLIENT_TIME seconds at the latest; until then what they
see of each thing is what it is or what it was. 0: they see it when the writing call returns. All functions but
kernel_knows() are collective.
"""
import ctypes
import json
import os
import socket
import sys
import time

import mioc_mpi

CLIENT_TIME = float(os.environ.get("CLIENT_TIME", "0"))
PATIENCE = 30  # seconds after which what is still old is old for good
libc = ctypes.CDLL(None)
STATX, OPENAT, GETDENTS = 332, 257, 217  # x86-64, the cache's only one
AT_FDCWD, AT_SYMLINK_NOFOLLOW, BASIC_STATS = -100, 0x100, 0x7ff


def end_job(*error):
    """Of a rank that fails: the others would wait for it in their barriers."""
    sys.__excepthook__(*error)
    sys.stderr.flush()
    mioc_mpi.abort(1)


sys.excepthook = end_job


def kernel_knows(paths):
    """This node's kernel looks, whatever the cache knows: what it keeps of these names, missing ones too, is of now."""
    buffer = ctypes.create_string_buffer(32768)
    for path in map(os.fsencode, paths):
        for flags in 0, AT_SYMLINK_NOFOLLOW:
            libc.syscall(STATX, AT_FDCWD, path, flags, BASIC_STATS, buffer)
        fd = libc.syscall(OPENAT, AT_FDCWD, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if fd >= 0:
            libc.syscall(GETDENTS, fd, buffer, len(buffer))
            libc.close(fd)


def of_rank(root, value):
    """That rank's value, for all."""
    return json.loads(mioc_mpi.bcast_bytes(json.dumps(value).encode() if mioc_mpi.rank() == root else b"", root))


def must_see_at_once(writer):
    here = socket.gethostname()
    return of_rank(writer, here) == here or CLIENT_TIME == 0


def settled(writer, look):
    """What this rank sees: at once, or once it is what the writer sees, if that comes. `look` returns what JSON can
    hold. When it returns, no client has anything of before: who writes next finds all that there is."""
    at_once, certain = must_see_at_once(writer), time.monotonic() + CLIENT_TIME
    truth = of_rank(writer, look())
    until = time.monotonic() + PATIENCE
    while (seen := json.loads(json.dumps(look()))) != truth and not at_once and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(max(0, certain - time.monotonic()))
    mioc_mpi.barrier()
    return seen


class History:
    """What the writer has seen since all agreed: what others may see. `look` takes things and returns {thing: [part,
    ...]}, each part a question of its own; `all_things` are those that are ever looked at. Parts that begin with "mode"
    are attributes: they are a file's, and an old name of it may lead to new ones."""

    def __init__(self, writer, look, all_things):
        self.writer, self.look, self.all_things, self.states, self.attributes = writer, look, all_things, {}, set()
        self.at_once = must_see_at_once(writer)

    def judge(self, things):
        """Behind a barrier. Returns what to print: what this rank sees where that is certain, else what the writer
        sees, and what this rank sees that never was."""
        wrong = []
        if CLIENT_TIME:
            truth = of_rank(self.writer, self.look(self.all_things) if mioc_mpi.rank() == self.writer else None)
            for thing, parts in truth.items():
                for part, known in zip(parts, self.states.setdefault(thing, [set() for _ in parts])):
                    known.add(part)
            self.attributes |= {part for parts in truth.values() for part in parts if str(part).startswith("mode")}
        seen = self.look(things)
        if self.at_once:
            return list(seen.values())
        for thing, parts in seen.items():
            for part, known in zip(parts, self.states[thing]):
                if not self.was_so(part, known):
                    wrong.append("%s: %s" % (thing, part))
        return [[truth[thing] for thing in things], wrong]

    def was_so(self, part, known):
        return part in known or (part in self.attributes and any(str(other).startswith("mode") for other in known))

    def settle(self):
        """All things are what they are."""
        seen = settled(self.writer, lambda: self.look(self.all_things))
        self.states, self.attributes = {}, set()
        return seen

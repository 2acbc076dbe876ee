# SPDX-License-Identifier: BSD-3-Clause
"""property_writes.py - what a writing call may come to: outcomes(judge, call, view) gives (errno, effects) for each
possibility.

An effect is (key of a register, values, step). A call that writes twice, as it empties a file and fills it, has two
steps.
"""
import itertools
from errno import EBADF, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM

from property_history import ANY, MISSING


class Outcomes:
    def __init__(self, judge, call, view):
        self.judge, self.history, self.call, self.view = judge, judge.history, call, view

    def ends(self, which="path", is_followed=False):
        return self.judge.walk(self.call, self.view, is_followed, which).ends

    def kind(self, inode):
        return self.history.kinds[inode]

    def make(self, end, kind, *more):
        """The effects of making something at the end of a path."""
        _, _, above, name = end
        new = self.judge.new(self.call, kind)
        effects = [(("name", above, name), {new}, 0), (("mode", new), {self.call.get("mode", 0o777)}, 0)]
        return effects + [((what, new), values, step) for what, values, step in more]

    def is_empty(self, inode):
        """{True}, {False} or both: whether a directory can have no names."""
        names = [self.history.values(("name", inode, name), self.view) for name in self.history.names.get(inode, ())]
        out = set()
        if all(None in values for values in names):
            out.add(True)
        if any(values != MISSING for values in names):
            out.add(False)
        return out

    def is_above(self, inode, below):
        """Whether that directory is the other one or above it: {True}, {False}, or both may be."""
        answers, known, todo = set(), set(), [below]
        while todo:
            at = todo.pop()
            above = self.history.values(("up", at), self.view) - {None}
            if at == inode or not above:
                answers.add(at == inode)
            elif at not in known:
                known.add(at)
                todo += above
        return answers

    def changed(self, change):
        """The values of a file's data after `change`."""
        def of(inode, step=0):
            values = self.history.values(("data", inode), self.view)
            return (("data", inode), ANY if values is ANY else {change(value) for value in values}, step)
        return of

    # --- Names come and go ---

    def mkdir(self):
        for end in self.ends():
            if end[0] == ENOENT and end[2] is not None:
                effects = self.make(end, "d")
                yield 0, effects + [(("up", effects[0][1].copy().pop()), {end[2]}, 0)]
            else:
                yield end[0] or EEXIST, []

    def symlink(self):
        for end in self.ends():
            if end[0] == ENOENT and end[2] is not None:
                effects = self.make(end, "l")
                self.history.targets[effects[0][1].copy().pop()] = self.call["target"]
                yield 0, effects
            else:
                yield end[0] or EEXIST, []

    def taken_for_removed(self, ends, inode):
        """Directories that the node's kernel may have believed to be what it removed, in the place of `inode`."""
        others = {end[1] for end in ends if not end[0] and self.kind(end[1]) == "d"} - {inode}
        return [(("dead", other), {True}, 0) for other in others]

    def rmdir(self):
        ends = self.ends()
        for error, inode, above, name in ends:
            if error:
                yield error, []
            elif self.kind(inode) != "d":
                yield ENOTDIR, []
            else:
                for is_empty in self.is_empty(inode):
                    effects = [(("name", above, name), MISSING, 0)] + self.taken_for_removed(ends, inode)
                    yield (0, effects) if is_empty else (ENOTEMPTY, [])

    def unlink(self):
        for error, inode, above, name in self.ends():
            if error or self.kind(inode) == "d":
                yield error or EISDIR, []
            else:
                yield 0, [(("name", above, name), MISSING, 0)]

    def link(self):
        sources = self.ends()
        for source, target in itertools.product(sources, self.ends("to")):
            if source[0] or target[0] != ENOENT or target[2] is None:
                yield source[0] or target[0] or EEXIST, []
            elif self.kind(source[1]) == "d":
                yield EPERM, []
            else:
                yield 0, [(("name",) + target[2:], {source[1]}, 0)]
                if len(sources) > 1:  # what was found may be gone by then
                    yield ENOENT, []

    @staticmethod
    def way(end):
        """The error on the way to the last name, if there is one: that of both paths comes first."""
        return 0 if end[2] is not None or not end[0] else end[0]

    def moved(self, inode, end):
        out = [(("name",) + end[2:], {inode}, 0)]
        return out + [(("up", inode), {end[2]}, 0)] if self.kind(inode) == "d" else out

    def rename(self, is_replacing=True):
        targets = self.ends("to")
        for source, target in itertools.product(self.ends(), targets):
            error = self.way(source) or self.way(target) or source[0]
            if error:
                yield error, []
                continue
            if not target[0] and not is_replacing:
                yield EEXIST, []
                continue
            errors = set(self.refusals(source, target))
            for error in errors - {0}:
                yield error, []
            if 0 not in errors:
                continue
            if target[1] == source[1] or source[2:] == target[2:]:
                yield 0, []
            else:
                dead = self.taken_for_removed(targets, target[1]) if self.kind(source[1]) == "d" else []
                yield 0, [(("name",) + source[2:], MISSING, 0)] + self.moved(source[1], target) + dead

    def noreplace(self):
        return self.rename(is_replacing=False)

    def refusals(self, source, target):
        """Errors, or 0, of a rename from one end of a path to another."""
        over, kind = target[1], self.kind(source[1])
        if source[1] == over:
            yield 0
            return
        for error, answers in ((EINVAL, self.is_above(source[1], target[2]) if kind == "d" else {False}),
                               (ENOTEMPTY, self.is_above(over, source[2]) if over is not None else {False})):
            if True in answers:
                yield error
            if False not in answers:
                return
        if over is None:
            yield 0
        elif self.kind(over) == "d":
            if kind != "d":
                yield EISDIR
            for is_empty in self.is_empty(over):
                if not is_empty or kind == "d":
                    yield 0 if is_empty else ENOTEMPTY
        else:
            yield ENOTDIR if kind == "d" else 0

    def exchange(self):
        for source, target in itertools.product(self.ends(), self.ends("to")):
            error = self.way(source) or self.way(target) or source[0] or target[0]
            if error:
                yield error, []
            elif source[1] == target[1]:
                yield 0, []
            else:
                ways = self.is_above(source[1], target[2]), self.is_above(target[1], source[2])
                if True in ways[0] | ways[1]:
                    yield EINVAL, []
                if False in ways[0] and False in ways[1]:
                    yield 0, self.moved(target[1], source) + self.moved(source[1], target)

    # --- Files ---

    def create(self):
        text = self.call["text"].encode()
        for end in self.ends():
            if end[0] == ENOENT and end[2] is not None:
                yield 0, self.make(end, "f", ("data", {b""}, 0), ("data", {text}, 1))
            else:
                yield end[0] or EEXIST, []

    def put(self):
        text = self.call["text"].encode()
        for end in self.ends(is_followed=True):
            if end[0] == ENOENT and end[2] is not None:
                yield 0, self.make(end, "f", ("data", {b""}, 0), ("data", {text}, 1))
            elif end[0] or self.kind(end[1]) == "d":
                yield end[0] or EISDIR, []
            else:
                yield 0, [(("data", end[1]), {b""}, 0), (("data", end[1]), {text}, 1)]

    fput = put

    def change(self, effect, directories=EISDIR):
        """A call that changes what is there: effect(inode)."""
        for error, inode, _, _ in self.ends(is_followed=True):
            if error or (directories and self.kind(inode) == "d"):
                yield error or directories, []
            else:
                yield 0, effect(inode)

    def append(self):
        text = self.call["text"].encode()
        return self.change(lambda inode: [self.changed(lambda old: old + text)(inode)])

    def truncate(self):
        return self.change(lambda inode: [self.changed(self.cut)(inode)])

    def cut(self, old):
        return old[:self.call["size"]].ljust(self.call["size"], b"\0")

    def chmod(self):
        return self.change(lambda inode: [(("mode", inode), {self.call["mode"]}, 0)], 0)

    def utime(self):
        return self.change(lambda inode: [], 0)

    # --- By descriptors ---

    def held(self, effect, refused):
        held = self.judge.held(self.call)
        if held is None:
            yield EBADF, []
        elif refused(held):
            yield refused(held), []
        else:
            for inode in held.inodes:
                yield 0, effect(inode)

    def held_write(self):
        text = self.call["text"].encode()
        return self.held(lambda inode: [self.changed(lambda old: old + text)(inode)],
                         lambda held: 0 if held.is_to_write else EBADF)

    def held_truncate(self):
        return self.held(lambda inode: [self.changed(self.cut)(inode)], lambda held: 0 if held.is_to_write else EINVAL)

    def held_chmod(self):
        return self.held(lambda inode: [(("mode", inode), {self.call["mode"]}, 0)], lambda held: 0)

    def held_utime(self):
        return self.held(lambda inode: [], lambda held: 0)


WRITES = {name for name in vars(Outcomes)} & {
    "mkdir", "symlink", "rmdir", "unlink", "link", "rename", "noreplace", "exchange", "create", "put", "fput", "append",
    "truncate", "chmod", "utime", "held_write", "held_truncate", "held_chmod", "held_utime"}

FOLLOWING_WRITES = {"put", "fput", "append", "truncate", "chmod", "utime"}


def outcomes(judge, call, view):
    return list(getattr(Outcomes(judge, call, view), call["call"])())


def effects_of(possible):
    """[(key, values, step, is_sure)] of a call that succeeded: what all possibilities have in common is sure."""
    good, merged = [effects for error, effects in possible if error == 0], {}
    for number, effects in enumerate(good):
        for key, values, step in effects:
            entry = merged.setdefault((key, step), [set(), set()])
            entry[0] = ANY if values is ANY or entry[0] is ANY else entry[0] | set(values)
            entry[1].add(number)
    return [(key, values if values is ANY else frozenset(values), step, len(numbers) == len(good))
            for (key, step), (values, numbers) in merged.items()]

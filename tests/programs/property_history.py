# SPDX-License-Identifier: BSD-3-Clause
"""property_history.py - what was true of a tree, when, and who could still believe what.

The tree is a set of registers: ("name", directory, name) holds an inode or None, ("up", directory) the directory
above, and ("mode" | "data" | "mtime" | "nlink", inode) what stat and read show. ("dead", directory) is written to where
a node's kernel may have taken that directory for the one that it removed. An Event is a write to one: since
`start` at the earliest and `end` at the latest it holds one of `values`. Epochs are the phases' (even numbers) and the
moments between two of them (odd ones). A reader may see an event that has begun, and after which, in any order that is
possible, no other write was certainly done before the reader began. For a client that keeps what it knows (`kept`
seconds), the writes of other nodes count from that much later on. What a node has seen it does not unsee: an
observation ends what was certainly before it.

An inode that a call made is a New until the next snapshot shows its number.
"""
from errno import ELOOP, ENOENT, ENOTDIR

ANY = None  # the values of an event of which nothing is known
FIRST = float("-inf")
MISSING = frozenset([None])
LINKS = 40  # that one path may follow


class New:
    """An inode that a call of phase `phase` made."""

    def __init__(self, kind, phase, call):
        self.kind, self.phase, self.call = kind, phase, call

    def __repr__(self):
        return "what call %d made" % self.call


class Event:
    __slots__ = ("values", "start", "end", "epoch", "call", "step", "node", "is_sure")

    def __init__(self, values, start, end, epoch, call=None, step=0, node=None, is_sure=True):
        self.values, self.start, self.end, self.epoch = values, start, end, epoch
        self.call, self.step, self.node, self.is_sure = call, step, node, is_sure

    def copy(self, is_sure):
        return Event(self.values, self.start, self.end, self.epoch, self.call, self.step, self.node, is_sure)

    def is_after(self, other):
        """Whether it took effect after the other, whatever the order of what overlaps."""
        if self.epoch != other.epoch:
            return self.epoch > other.epoch
        if self.call is not None and self.call == other.call:
            return self.step > other.step
        return other.end < self.start


NOTHING = Event(MISSING, FIRST, FIRST, -2)  # before what was there from the start


class View:
    """Who looks, and when: a call's interval, its phase's epoch and its node. `but` is a call that does not see
    itself. is_kept: the node may have kept what it knew. is_bound: what it saw before counts."""

    def __init__(self, start, end, epoch, node, but=None, is_kept=True):
        self.start, self.end, self.epoch, self.node, self.but, self.is_kept = start, end, epoch, node, but, is_kept
        self.is_bound = True


class Walk:
    """Where a path may lead: ends are (errno, inode or None, directory, name); the directory is None unless only the
    last name is at stake. is_sure: on the way to it there was no choice. is_out: it may lead to what is not judged, as
    out of the tree."""

    def __init__(self):
        self.ends, self.is_sure, self.is_out, self.looked = set(), True, False, set()

    def last(self):
        """The register of the last name, if there is just one."""
        places = {end[2:] for end in self.ends}
        place = places.pop()
        return ("name",) + place if self.is_sure and not places and place[0] is not None else None


class History:
    def __init__(self, top, kept=0, is_strict=True):
        """`top` is the root's inode. is_strict: a node that has seen what was written does not see what was before, as
        it has one kernel. With the cache that holds for what its own failing calls have shown: one answer comes from
        the root's kernel, the next from the node's, which may keep what was before for as long as it may; and while a
        write is under way, nodes hear of it one after the other."""
        self.top, self.kept, self.is_strict = top, int(kept * 1e9), is_strict
        self.registers, self.seen_by = {}, {}
        self.kinds, self.targets = {}, {}
        self.known = {}  # inode: the phase in which it was new
        self.bound = {}  # New: the inode that it is
        self.maybe = {}  # New: the inodes that it could be
        self.names = {}  # directory: all names that it ever had
        self.writers = {}  # register: the calls that wrote to it
        self.lost = set()  # registers of which nodes need not have heard: not judged

    # --- Writing ---

    def add(self, key, event):
        events = self.registers.get(key)
        if events is None:
            events = self.registers[key] = [NOTHING] if key[0] == "name" else []
            if key[0] == "name":
                self.names.setdefault(key[1], set()).add(key[2])
        events.append(event)
        if event.call is not None:
            self.writers.setdefault(key, set()).add(event.call)

    def drop(self, epoch):
        """Takes back what that epoch wrote."""
        for key, events in list(self.registers.items()):
            self.registers[key] = [event for event in events if event.epoch != epoch]

    def forget(self, now):
        """Names that nobody can see any more."""
        for key, events in self.registers.items():
            if len(events) > 1 and key[0] == "name":
                last = [event for event in events if event.is_sure and event.end + self.kept < now]
                self.registers[key] = [event for event in events if not any(e.is_after(event) for e in last)]
        self.seen_by = {key: seen for key, seen in self.seen_by.items() if self.kept and seen[-1][0] + self.kept > now}

    # --- Reading ---

    def is_dead(self, inode, view):
        """Whether the view's kernel may take the directory for removed: it looks for no name in there any more, and
        says ENOENT. That lasts as long as it knows the inode, for it marks that, and not the name."""
        return any(event.node == view.node and event.epoch <= view.epoch and event.start <= view.end
                   for event in self.registers.get(("dead", inode), ()))

    def events(self, key, view):
        """The events that the view may see."""
        events = self.registers.get(key)
        if events is None:
            return [NOTHING] if key[0] == "name" else []
        events = [e for e in events if e.epoch <= view.epoch and (view.but is None or e.call != view.but)]
        if key[0] == "up" and view.is_kept:  # a kernel goes up by what it knows itself; it does not ask again
            mine = [event for event in events if event.node == view.node]
            return [event for event in events if event.start <= view.end and not self.is_over(event, mine, view)]
        out = [event for event in events if event.start <= view.end and not self.is_over(event, events, view)]
        for time, node, seen in self.seen_by.get(key, ()) if view.is_bound else ():
            if time < view.start and node == view.node:
                out = [event for event in out if not all(s.is_after(event) for s in seen)]
        return out

    def is_over(self, event, events, view):
        kept = self.kept if view.is_kept else 0
        return any(e.is_sure and e.is_after(event) and e.end + (0 if e.node == view.node else kept) < view.start
                   for e in events)

    def values(self, key, view):
        if key in self.lost and key[0] not in ("name", "up"):
            return ANY
        out = set()
        for event in self.events(key, view):
            if event.values is ANY:
                return ANY
            out |= event.values
        return set().union(*(self.identities(value) for value in out)) if key[0] in ("name", "up") else out

    def identities(self, value):
        """What stands for the same inode: its number, once it is known, or what that may be."""
        if not isinstance(value, New):
            return (value,)
        return (self.bound[value],) if value in self.bound else self.maybe.get(value, set()) | {value}

    def saw(self, key, view, fits, is_taught=False):
        """The view saw a value for which fits(value) is true: its node sees none from before any more."""
        if not self.is_strict and not is_taught:
            return
        seen = [event for event in self.events(key, view)
                if event.values is ANY or any(fits(value) for value in event.values)]
        if seen:
            self.seen_by.setdefault(key, []).append((view.end, view.node, seen))

    def is_same(self, value, inode):
        """Whether a register's value can be the inode of that number."""
        if value == inode:
            return True
        if not isinstance(value, New):
            return False
        bound = self.bound.get(value)
        return bound == inode if bound is not None else self.known.get(inode, float("inf")) >= value.phase

    def walk(self, view, start, path, is_followed):
        """Where the path leads from the directories `start`, or from the root if it is absolute."""
        out, names = Walk(), path.split("/")
        names = [name for name in names[:-1] if name] + [names[-1] or "."]
        out.is_sure = len(start) == 1
        todo = [(inode, tuple(names), 0, None, None) for inode in start]
        while todo:
            inode, names, links, above, name = todo.pop()
            if not names:
                out.ends.add((0, inode, above, name))
            elif self.kinds[inode] != "d":
                out.ends.add((ENOTDIR, None, None, None))
            else:
                self.step(view, out, todo, inode, names, links, is_followed, above, name)
        return out

    def step(self, view, out, todo, inode, names, links, is_followed, above, name):
        first, rest = names[0], names[1:]
        if first == ".":
            todo.append((inode, rest, links, above, name))
            return
        if first != ".." and self.is_dead(inode, view):
            out.ends.add((ENOENT, None, None, None))
            out.is_sure = False
        key = ("up", inode) if first == ".." else ("name", inode, first)
        values = self.values(key, view)
        out.looked.add(key)
        out.is_out |= key in self.lost
        if len(values) > 1 and (rest or first == ".."):
            out.is_sure = False
        out.is_out |= first == ".." and inode == self.top
        for value in values:
            if first == "..":
                todo.append((value, rest, links, None, None))
            elif value is None:
                out.ends.add((ENOENT, None) + ((None, None) if rest else (inode, first)))
            elif self.kinds[value] == "l" and (rest or is_followed):
                out.is_sure &= len(values) == 1
                self.follow(out, todo, inode, self.targets[value], rest, links)
            else:
                todo.append((value, rest, links, inode, first))

    def follow(self, out, todo, inode, target, rest, links):
        if links == LINKS:
            out.ends.add((ELOOP, None, None, None))
            return
        names = tuple(name for name in target.split("/") if name)
        if target.startswith("ROOT/"):
            inode, names = self.top, names[1:]
        todo.append((inode, names + rest, links + 1, None, None))

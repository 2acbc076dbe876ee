# SPDX-License-Identifier: BSD-3-Clause
"""property_reads.py - whether a reading call's answer is one that plain could have given.

Each check_NAME returns None, or what plain would have said. Reads.check() is the way in.
"""
from errno import EACCES, EBADF, EINVAL, EISDIR, ENOENT, ENOTDIR, ESTALE, errorcode

from property_history import ANY, NOTHING, View

FIELDS = {"mode": 2, "mtime": 4, "nlink": 5}  # places in what `told` gives: inode, type, mode, size, mtime, links
NOT_FOLLOWING = {"lstat", "readlink"}
OPENING = {"open", "hold", "hold_to_write"}
PAGE = 4096


def is_mix(text, versions):
    """Whether a reader of a file that is being rewritten can get that: byte by byte from one version or another, or
    not there yet."""
    return has_size(len(text), versions) and all(
        byte == 0 or any(i < len(v) and v[i] == byte for v in versions) for i, byte in enumerate(text))


def has_size(size, versions):
    """Whether a file can be that long, now and then: what is longer than a page is written page by page."""
    return any(len(v) == size for v in versions) or (
        len(versions) > 1 and size % PAGE == 0 and any(size < len(v) for v in versions))


class Reads:
    def __init__(self, judge, call, view):
        self.judge, self.history, self.call, self.view = judge, judge.history, call, view

    def check(self):
        call = self.call
        if call.name in ("held_stat", "held_read", "close"):
            return getattr(self, "check_" + call.name)()
        self.at = self.judge.walk(call, self.view, call.name not in NOT_FOLLOWING)
        if self.at.is_out or (call.name == "realpath" and call.get("at") and not self.has_its_name()):
            return None
        if call.error:
            text = self.check_error()
        else:
            text = getattr(self, "check_" + call.name)([end for end in self.at.ends if end[0] == 0])
        if not text:
            self.learn()
        return text

    def has_its_name(self):
        """Whether getcwd(), with which realpath() begins, says where the working directory is: no client asks again for
        it, and of a name that the server took back from the client it says ENOENT, as plain runs show."""
        return self.call.error != ENOENT and self.is_unmoved()

    def is_unmoved(self):
        """Whether the working directory has always had its name."""
        events, inodes = self.history.registers, self.judge.state(self.call.rank).cwd - {self.history.top}
        while inodes:
            inode = inodes.pop()
            ups = events.get(("up", inode), [])
            if len(ups) != 1 or ups[0].epoch != -1:
                return False
            (above,) = ups[0].values
            names = [events[("name", above, name)] for name in self.history.names[above]]
            if not any(self.always_leads_to(inode, of_name) for of_name in names):
                return False
            inodes |= {above} - {self.history.top}
        return True

    @staticmethod
    def always_leads_to(inode, events):
        return all(event is NOTHING or event.values == {inode} for event in events) and events[-1] is not NOTHING

    # --- What is learnt ---

    def learn(self):
        key, call = self.at.last(), self.call
        if key is None or (call.error and call.error != ENOENT):
            return
        inode = self.inode_of(call.value) if call.error == 0 else None
        if call.error:
            self.history.saw(key, self.view, lambda value: value is None)
        elif inode is not None:
            self.history.saw(key, self.view, lambda value: self.history.is_same(value, inode))
        else:
            self.history.saw(key, self.view, lambda value: value is not None)

    def inode_of(self, value):
        if self.call.name in ("stat", "lstat", "statx", "hold", "hold_to_write"):
            return value[0]
        return value[0][0] if self.call.name == "open" else None

    # --- Errors ---

    def check_error(self):
        allowed = {end[0] for end in self.at.ends} - {0}
        for end in self.at.ends:
            if end[0] == 0:
                allowed |= self.refusals(end[1])
        if self.call.error in allowed or (self.call.error == ESTALE and self.judge.may_be_stale(self.call, self.view)):
            return None
        good = [self.shown(end) for end in self.at.ends if end[0] == 0 and not self.refusals(end[1])]
        return " or ".join(sorted(errorcode.get(e, str(e)) for e in allowed) + sorted(good)) or "nothing"

    def refusals(self, inode):
        """Errors that the call gives for what it finds."""
        kind, name = self.history.kinds[inode], self.call.name
        if name in ("listdir", "scandir", "cscandir", "chdir") and kind != "d":
            return {ENOTDIR}
        if name == "hold_to_write" and kind == "d":
            return {EISDIR}
        if name == "readlink" and kind != "l":
            return {EINVAL}
        if name == "access" and self.call["mode"] & 1 and kind != "d":
            modes = self.history.values(("mode", inode), self.view)
            return {EACCES} if modes is ANY or any(not mode & 0o111 for mode in modes) else set()
        return set()

    def shown(self, end):
        values = {field: self.history.values((field, end[1]), self.view) for field in ("mode", "data")}
        parts = ["%s %s" % (field, self.judge.listed(v)) for field, v in values.items() if v]
        return "inode %r (%s)" % (end[1], ", ".join(parts))

    # --- What stat shows ---

    def fresh(self):
        """Where open() was asked, which looks at the file anew."""
        return View(self.view.start, self.view.end, self.view.epoch, self.view.node, is_kept=False)

    def check_told(self, ends, told):
        """Whether one of the ends can look like that."""
        inode, kind = told[:2]
        fitting = [end for end in ends if self.history.is_same(end[1], inode)]
        if not fitting:
            return " or ".join(sorted(self.shown(end) for end in ends) + sorted(
                errorcode[end[0]] for end in self.at.ends if end[0])) or "nothing"
        view = self.fresh() if self.call.name in OPENING and told[1] == "f" else self.view
        texts = [self.check_fields(end[1], told, view) for end in fitting]
        return None if None in texts else texts[0]

    def check_fields(self, inode, told, view):
        if self.history.kinds[inode] != told[1]:
            return "type " + self.history.kinds[inode]
        for field, at in FIELDS.items():
            if (told[1] == "l" and field == "mode") or (field == "nlink" and inode in self.judge.linked):
                continue
            if field == "nlink" and self.history.is_dead(inode, view):  # the kernel counted its links down
                continue
            values = self.history.values((field, inode), view)
            if values and values is not ANY and told[at] not in values:
                self.judge.keys.add((field, inode))
                return "%s %s" % (field, self.judge.listed(values))
        if told[1] == "f":
            values = self.history.values(("data", inode), view)
            if values and values is not ANY and not has_size(told[3], values):
                self.judge.keys.add(("data", inode))
                return "size %s" % self.judge.listed({len(v) for v in values})
        for field, at in FIELDS.items():
            self.history.saw((field, inode), view, lambda value, at=at: value == told[at])
        return None

    def check_stat(self, ends):
        return self.check_told(ends, self.call.value)

    check_lstat = check_statx = check_hold = check_hold_to_write = check_stat

    # --- Contents ---

    def check_data(self, inode, text, view):
        if self.history.kinds[inode] == "d":
            return None if text is None else "a directory"
        values = self.history.values(("data", inode), view)
        if not values or text in values or (text is not None and len(values) > 1 and is_mix(text, values)):
            if text is not None:
                self.history.saw(("data", inode), view, lambda value: value == text)
            return None
        if text is not None and len(values) > 1 and is_mix(text, values | self.before(inode)):
            return None
        self.judge.keys.add(("data", inode))
        return "content " + self.judge.listed(values)

    def before(self, inode):
        """What a file that is written to has held since the phase began. A kernel may still take its size from that."""
        view = View(self.judge.began, self.view.end, self.view.epoch, None, is_kept=False)
        view.is_bound = False
        return self.history.values(("data", inode), view) or set()

    def check_open(self, ends):
        told, text = self.call.value
        wrong = self.check_told(ends, told)
        if wrong:
            return wrong
        texts = [self.check_data(end[1], text, self.fresh()) for end in ends if self.history.is_same(end[1], told[0])]
        return None if None in texts else texts[0]

    def check_fopen(self, ends):
        texts = [self.check_data(end[1], self.call.value, self.fresh()) for end in ends]
        return (None if None in texts else " or ".join(sorted(texts))) if texts else self.check_error_instead()

    def check_error_instead(self):
        return " or ".join(sorted(errorcode[end[0]] if end[0] else "another error" for end in self.at.ends))

    # --- The rest ---

    def check_access(self, ends):
        if not ends:
            return self.check_error_instead()
        if not self.call["mode"] & 1 or any(self.history.kinds[end[1]] == "d" for end in ends):
            return None
        modes = [self.history.values(("mode", end[1]), self.view) for end in ends]
        return None if any(m is ANY or any(mode & 0o111 for mode in m) for m in modes) else "EACCES"

    def check_chdir(self, ends):
        if any(self.history.kinds[end[1]] == "d" for end in ends):
            return None
        return self.check_error_instead() or "ENOTDIR"

    def check_readlink(self, ends):
        links = {self.history.targets[end[1]] for end in ends if self.history.kinds[end[1]] == "l"}
        if self.call.value in links:
            return None
        return " or ".join(sorted(links)) or "EINVAL or " + self.check_error_instead()

    def check_realpath(self, ends):
        """Only where there was no choice on the way: it looks at each name from the root again."""
        if not self.at.is_sure or len(self.at.ends) > 1:
            return None
        if not ends:
            return self.check_error_instead()
        names, inode = [], ends[0][1]
        if ends[0][3] is not None and self.history.kinds[inode] != "d":
            names, inode = [ends[0][3]], ends[0][2]
        while inode != self.history.top:
            above = self.history.values(("up", inode), self.view)
            if len(above) != 1:
                return None
            above = next(iter(above))
            mine = [name for name in self.history.names.get(above, ())
                    if inode in self.history.values(("name", above, name), self.view)]
            if len(mine) != 1:
                return None
            names, inode = mine + names, above
        return None if self.call.value == "".join("/" + name for name in names) else "/" + "/".join(names)

    def check_listdir(self, ends):
        return self.check_names(ends, [[name, "?", None] for name in self.call.value])

    def check_scandir(self, ends):
        return self.check_names(ends, self.call.value)

    check_cscandir = check_scandir

    def check_names(self, ends, listed):
        self.view.is_bound = not self.history.kept  # a client keeps listings apart from names
        texts = [self.check_names_of(end[1], listed) for end in ends if self.history.kinds[end[1]] == "d"]
        if not texts:
            return self.check_error_instead() or "ENOTDIR"
        return None if None in texts else texts[0]

    def check_names_of(self, inode, listed):
        if not listed and self.history.is_dead(inode, self.view):  # readdir() takes the kernel's ENOENT for the end
            return None
        names = [entry[0] for entry in listed]
        if len(set(names)) < len(names):
            return "each name once"
        entries = {entry[0]: entry for entry in listed}
        for name in set(names) | self.history.names.get(inode, set()):
            key = ("name", inode, name)
            if key in self.history.lost:
                continue
            values = self.history.values(key, self.view)
            if name not in entries:
                if None not in values:
                    self.judge.keys.add(key)
                    return "'%s' is there: %s" % (name, self.judge.listed(values))
            elif not any(value is not None and self.fits(value, entries[name]) for value in values):
                self.judge.keys.add(key)
                return "'%s' is %s" % (name, self.judge.listed(values))
        return None

    def fits(self, value, entry):
        kinds = "?", self.history.kinds[value]
        return entry[2] is None or (self.history.is_same(value, entry[2]) and entry[1] in kinds)

    # --- Descriptors ---

    def check_held_stat(self):
        held = self.judge.held(self.call)
        if held is None:
            return None if self.call.error == EBADF else "EBADF"
        if self.call.error:
            return None if self.call.error == ESTALE and self.is_removed(held) else "success"
        view = View(held.since, self.view.end, self.view.epoch, self.view.node)
        inodes = [inode for inode in held.inodes if self.history.is_same(inode, self.call.value[0])]
        texts = [self.check_fields(inode, self.call.value, view) for inode in inodes]
        if None in texts or not held.inodes:
            return None
        return texts[0] if texts else "inode " + self.judge.listed(held.inodes)

    def is_removed(self, held):
        """Whether it may be a directory that is gone: an NFS-like client's server does not know it any more."""
        return self.history.kept and any(
            self.history.kinds[inode] == "d" and inode not in self.judge.last for inode in held.inodes)

    def check_held_read(self):
        held = self.judge.held(self.call)
        if held and not held.inodes:  # of something that is not judged
            return None
        if held is None or held.is_to_write:
            return None if self.call.error == EBADF else "EBADF"
        view = View(held.since, self.view.end, self.view.epoch, self.view.node)
        if self.call.error:
            is_directory = any(self.history.kinds[inode] == "d" for inode in held.inodes)
            return None if self.call.error == EISDIR and is_directory else "success"
        texts = [self.check_data(inode, self.call.value, view) for inode in held.inodes]
        return None if None in texts or not texts else texts[0]

    def check_close(self):
        held = self.judge.held(self.call)
        return None if (held is None) == (self.call.error == EBADF) else "EBADF" if held is None else "success"

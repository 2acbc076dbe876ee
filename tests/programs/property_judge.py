# SPDX-License-Identifier: BSD-3-Clause
"""property_judge.py - whether plain could have given each answer, by the history of the tree.

judge.phase(done, truth) takes what the ranks did between two moments at which nobody was at work, and the tree as it
was behind all mounts at the second one. First the writing calls that succeeded tell what may have been true when
(effects); the tree at the end must be one of these; then each answer is looked at. Wrong ones are noted in
judge.wrong.
"""
from errno import EBADF, EEXIST, ENOENT, ESTALE, errorcode

from property_history import ANY, FIRST, Event, History, New, View, Walk
from property_reads import Reads, is_mix
from property_writes import FOLLOWING_WRITES, WRITES, effects_of, outcomes

FREE = ("mtime", "nlink")  # not foretold from the calls: what the tree says at the end of the phase
MOVING = {"rename", "noreplace", "exchange"}
REMOVING = {"unlink", "rmdir"}  # ENOENT ends what an NFS-like client knew; where others fail, it goes on believing


class Held:
    """A descriptor: what it may stand for, since when."""

    def __init__(self, inodes, since, is_to_write):
        self.inodes, self.since, self.is_to_write = inodes, since, is_to_write


class Rank:
    def __init__(self):
        self.cwd, self.slots = set(), {}


class Call:
    """One call that was made, and its answer."""

    def __init__(self, number, rank, fields, began, ended, error, value):
        self.number, self.rank, self.fields, self.name = number, rank, fields, fields["call"]
        self.began, self.ended, self.error, self.value = began, ended, error, value

    def __getitem__(self, key):
        return self.fields[key]

    def get(self, key, default=None):
        return self.fields.get(key, default)


def error_name(error):
    return errorcode.get(error, str(error))


def short(value):
    """As text: a long content is a word and how often it comes."""
    if value is None:
        return "missing"
    if isinstance(value, bytes) and len(value) > 40:
        return "%r… (%d bytes)" % (value[:12], len(value))
    return repr(value)


class Wrong:
    """An answer that plain could not have given: the phase, the call if it is one, what could have been, and the
    registers at stake."""

    def __init__(self, phase, call, text, keys):
        self.phase, self.call, self.text, self.keys = phase, call, text, keys


class Judge:
    def __init__(self, root, truth, kept=0, is_plain=True, per_node=2):
        top, found = truth
        self.history, self.root, self.per_node = History(top, kept, is_plain), root, per_node
        self.is_plain = is_plain
        self.calls, self.wrong, self.phases = [], [], 0
        self.ranks, self.made, self.keys = {}, {}, set()
        self.is_out = False  # the last walk may have led out of the tree
        self.linked = set()  # inodes that had two names: who holds one of them need not hear of the other
        for inode, entry in found.items():
            self.learn(inode, entry, -1)
        for inode, entry in found.items():
            for key, value in self.registers_of(inode, entry):
                self.history.add(key, Event(frozenset([value]), FIRST, FIRST, -1))
        self.last = found

    # --- What the tree is ---

    def learn(self, inode, entry, phase):
        history = self.history
        history.kinds[inode] = entry[0]
        history.known[inode] = phase
        if entry[0] == "l":
            history.targets[inode] = self.short(entry[4])

    def short(self, target):
        return "ROOT" + target[len(self.root):] if target.startswith(self.root + "/") else target

    def registers_of(self, inode, entry):
        kind, mode, mtime, nlink, more = entry
        out = [(("mode", inode), mode), (("mtime", inode), mtime), (("nlink", inode), nlink)]
        if kind == "f":
            out.append((("data", inode), more))
        if kind == "d":
            out += [(("name", inode, name), child) for name, child in more.items()]
            out += [(("up", child), inode) for child in more.values() if self.history.kinds[child] == "d"]
        return out

    def new(self, call, kind):
        """What that call makes, the same in each round of finding out."""
        made = self.made.setdefault((call.number, kind), New(kind, self.phases, call.number))
        self.history.kinds[made] = kind
        return made

    # --- Where a call looks ---

    def state(self, rank):
        return self.ranks.setdefault(rank, Rank())

    def held(self, call):
        return self.state(call.rank).slots.get(call["slot"])

    def view(self, call):
        but = call.number if call.name in WRITES else None
        return View(call.began, call.ended, 2 * self.phases, call.rank // self.per_node, but)

    def walk(self, call, view, is_followed, which="path"):
        at = call.get("at")
        if at is None or (which == "to" and "to_via" in call.fields):
            start = {self.history.top}
        elif at == "cwd":
            start = self.state(call.rank).cwd
        else:
            held = self.state(call.rank).slots.get(at)
            start = held.inodes if held else set()
            if held is None:
                out = Walk()
                out.ends.add((EBADF, None, None, None))
                return out
        out = self.history.walk(view, start, call[which], is_followed)
        out.is_out |= not start  # elsewhere, or something was wrong with it before
        self.is_out |= out.is_out
        self.keys |= out.looked
        return out

    # --- A phase ---

    def phase(self, done, truth):
        self.made = {}
        calls = [Call(len(self.calls) + i, *entry) for i, entry in enumerate(sorted(done, key=lambda entry: entry[2]))]
        self.calls += calls
        before = {rank: (state.cwd, dict(state.slots)) for rank, state in self.ranks.items()}
        self.find_effects(calls, before)
        self.close(calls, truth)
        self.reset(before)
        for call in calls:
            self.keys = set()
            self.check(call)
            self.move(call)
        if calls:
            self.history.forget(max(call.ended for call in calls))
        self.phases += 1

    def reset(self, before):
        for rank, state in self.ranks.items():
            cwd, slots = before.get(rank, (set(), {}))
            state.cwd, state.slots = cwd, dict(slots)

    def find_effects(self, calls, before):
        """Until what each call may have done, given what the others may have done, does not change any more."""
        writes = [call for call in calls if call.name in WRITES and call.error == 0]
        effects = {}
        for _ in range(8 if len(writes) > 1 else 1):
            last, effects = effects, {}
            self.reset(before)
            for call in calls:
                if call.name in WRITES and call.error == 0:
                    self.keys = set()
                    effects[call.number] = effects_of(outcomes(self, call, self.view(call)))
                    call.looked = self.keys - {key for key, _, _, _ in effects[call.number]}
                    if not last:
                        self.write(call, effects[call.number])
                self.move(call)
            if last == effects:
                break
            self.history.drop(2 * self.phases)
            for call in writes:
                self.write(call, effects[call.number])
        if not self.is_plain:
            for call in writes:
                self.find_lost(call, effects[call.number])

    def find_lost(self, call, effects):
        """What is written by a path on which another rank renames or replaces something at that moment is not heard of
        (README), until it is written again."""
        keys = {key for key, _, _, _ in effects}
        keys |= {(field, key[1]) for key in keys if key[0] in ("name", "data", "mode") for field in FREE}
        if any(event.call not in (None, call.number) and event.epoch == 2 * self.phases
               and event.start <= call.ended and call.began <= event.end
               for key in call.looked for event in self.history.registers.get(key, ())):
            self.history.lost |= keys
        else:
            self.history.lost -= {key for key, _, _, is_sure in effects if is_sure}

    def write(self, call, effects):
        node = call.rank // self.per_node
        if call.name == "link":
            self.linked.update(*(values for _, values, _, _ in effects))
        for key, values, step, is_sure in effects:
            event = Event(values, call.began, call.ended, 2 * self.phases, call.number, step, node, is_sure)
            self.history.add(key, event)

    def move(self, call):
        """What a call changes for those that its rank makes later."""
        state = self.state(call.rank)
        if call.error:
            return
        if call.name == "chdir":
            walk = self.walk(call, self.view(call), True)  # out of the tree nothing is judged
            state.cwd = {end[1] for end in walk.ends if end[0] == 0 and not walk.is_out}
        elif call.name in ("hold", "hold_to_write"):
            ends = self.walk(call, self.view(call), True).ends
            inodes = {end[1] for end in ends if end[0] == 0 and self.history.is_same(end[1], call.value[0])}
            state.slots[call["slot"]] = Held(inodes, call.began, call.name == "hold_to_write")
        elif call.name == "close":
            state.slots.pop(call["slot"], None)

    # --- The end of a phase ---

    def close(self, calls, truth):
        """The tree at the end. Where one call alone was at work, it is what that call did."""
        writes = [call for call in calls if call.name in WRITES and call.error == 0]
        nodes = {call.rank // self.per_node for call in writes}
        self.began = min((call.began for call in writes), default=0)
        self.ended = max((call.ended for call in writes), default=0)
        self.node = nodes.pop() if len(nodes) == 1 else None
        self.writes = writes
        found = truth[1]
        for inode, entry in found.items():
            if inode not in self.history.known:
                self.learn(inode, entry, self.phases)
        changes = list(self.changes(found))
        for key, value, _ in changes:
            self.bind(key, value)
        for key, value, is_new in changes:
            self.close_register(key, value, is_new)
        for key in list(self.history.registers):
            if key[0] in FREE and key[1] not in found and key[1] in self.last:  # what is gone
                self.history.add(key, Event(ANY, self.began, self.ended, 2 * self.phases, is_sure=False))
        self.last = found

    def changes(self, found):
        """(key, value, whether it is another than before) of all registers that changed or were written to; of a
        directory before those below it."""
        epoch, seen = 2 * self.phases, set()
        touched = {key[1] for key in self.history.registers if key[0] != "dead" and self.is_written(key, epoch)}
        for inode, entry in reversed(found.items()):
            old = dict(self.registers_of(inode, self.last[inode])) if inode in self.last else {}
            for key, value in self.registers_of(inode, entry):
                seen.add(key)
                is_new = key not in old or old[key] != value
                if is_new or self.is_written(key, epoch) or (key[0] in FREE and inode in touched):
                    yield key, value, is_new
            for key in old:
                if key[0] == "name" and key not in seen:
                    seen.add(key)
                    yield key, None, True
        for key in list(self.history.registers):
            if key[0] == "name" and key not in seen and key[1] in found and self.is_written(key, epoch):
                yield key, None, False

    def is_written(self, key, epoch):
        return any(event.epoch == epoch for event in self.history.registers.get(key, ()))

    def quiet(self):
        """The view of one who looks when all is done."""
        return View(self.ended + 1, self.ended + 1, 2 * self.phases, self.node, is_kept=False)

    def bind(self, key, value):
        """A number for what was new: what is known of it is the inode's."""
        history = self.history
        if key[0] != "name" or value is None or history.known[value] != self.phases:
            return
        values = history.values(key, self.quiet())
        news = [v for v in values
                if isinstance(v, New) and history.kinds[v] == history.kinds[value] and history.is_same(v, value)]
        for new in news:
            if len(news) == 1 and new not in history.bound:
                history.bound[new] = value
            else:
                history.maybe.setdefault(new, set()).add(value)
            keys = [(what, new) for what in ("mode", "data", "up", "dead")]
            for key in keys + [("name", new, name) for name in history.names.get(new, ())]:
                for event in history.registers.get(key, ()):
                    history.add((key[0], value) + key[2:], event.copy(event.is_sure and len(news) == 1))

    def close_register(self, key, value, is_new):
        history, epoch, fields = self.history, 2 * self.phases, (self.began, self.ended)
        mine = [event for event in history.registers.get(key, ()) if event.epoch == epoch]
        is_sure = is_new or any(event.is_sure for event in mine)
        # A client that renames what another node has replaced moves what it knew: it goes on believing in that.
        is_known = is_sure and not (
            key[0] == "name" and any(event.values is ANY or len(event.values) > 1 for event in mine))
        if len(self.writes) == 1 and not is_sure:  # it is not what this call did
            history.registers[key] = [event for event in history.registers.get(key, ()) if event.epoch != epoch]
            return
        if key[0] not in FREE:
            self.check_effect(key, value)
        elif len(self.writes) == 1:
            history.add(key, Event(ANY, *fields, epoch, self.writes[0].number, 0, self.node, is_sure=False))
            history.add(key, Event(frozenset([value]), *fields, epoch, self.writes[0].number, 1, self.node))
        else:
            history.add(key, Event(ANY, *fields, epoch, is_sure=False))
        history.add(key, Event(frozenset([value]), *fields, epoch + 1, node=self.node if is_known else None))

    def check_effect(self, key, value):
        values = self.history.values(key, self.quiet())
        if not self.writes:
            text = "%s changed to %r though nobody wrote" % (self.describe(key), value)
            self.wrong.append(Wrong(self.phases, None, text, {key}))
        elif values is not ANY and not any(self.history.is_same(v, value) or v == value for v in values) and not (
                key[0] == "data" and len(values) > 1 and is_mix(value, values)):
            self.wrong.append(Wrong(self.phases, None, "%s is %r in the filesystem; by the calls it is %s" % (
                self.describe(key), short(value), self.listed(values)), {key}))

    def describe(self, key):
        return "%s of inode %s" % (key[0] if key[0] != "name" else "name '%s'" % key[2], key[1])

    @staticmethod
    def listed(values):
        return " or ".join(sorted(short(v) for v in values)) or "nothing"

    # --- Answers ---

    def check(self, call):
        view = self.view(call)
        if call.name in WRITES:
            self.is_out = False
            possible = outcomes(self, call, view)
            if self.is_out or (call.error == ESTALE and self.may_be_stale(call, view)):
                return
            allowed = {error for error, _ in possible}
            if call.error not in allowed:
                names = sorted(error_name(error) if error else "success" for error in allowed)
                self.say(call, "plain: " + (" or ".join(names) or "nothing"))
            elif call.error == EEXIST or (call.error == ENOENT and (call.name in REMOVING or not self.history.kept)):
                self.learn_from_error(call, view)
            return
        text = Reads(self, call, view).check()
        if text:
            self.say(call, "plain: " + text)

    def may_be_stale(self, call, view):
        """Whether the call may come upon what another node has removed or moved: something on its way changes, or it
        begins in a directory that an NFS-like client cannot know to be gone, or it renames what another node has
        moved: the kernel cannot take over that move while a rename has the mount's lock. With the cache a descriptor
        for reading is a copy's, and the file that is to be changed is looked for by its name (README)."""
        if call.name.startswith("held_"):
            held = self.held(call)
            return held and not self.is_plain and not held.is_to_write
        if call.get("at") is not None and self.history.kept:
            return True
        values = [(key, self.history.values(key, view)) for key in self.keys]
        if any(found is ANY or len(found) > 1 for _, found in values):
            return True
        inodes = [inode for key, found in values if key[0] == "name" for inode in found]
        return call.name in MOVING and any(len(self.history.registers.get(("up", inode), ())) > 1 for inode in inodes)

    def learn_from_error(self, call, view):
        """A call that fails teaches its node at once."""
        which, is_followed = "path", call.name in FOLLOWING_WRITES
        if "to" in call.fields:
            needs_both = call.name == "exchange"
            ends = self.walk(call, view, False, "to").ends
            ways = [end for end in ends if end[0] and (end[2] is None or needs_both)]
            if call.error == ENOENT and ways:
                return
            which = "to" if call.error == EEXIST else "path"
        key = self.walk(call, view, is_followed, which).last()
        if key:
            is_there = call.error == EEXIST
            self.history.saw(key, view, lambda value: (value is not None) == is_there, is_taught=True)

    def say(self, call, text):
        self.wrong.append(Wrong(self.phases, call, text, set(self.keys)))

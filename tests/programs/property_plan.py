# SPDX-License-Identifier: BSD-3-Clause
"""property_plan.py - what a seed decides: the tree, and phases of calls that the ranks make.

A phase is {"kind", "wait", "calls"}: whether it waits until no client can know what is out of date, and [rank, calls]
of each rank that has something to do. Ranks make their calls at the same time, and no rank begins a phase before all
have done with the one before. While a plan is made its calls are made in a shadow of the tree, so that most of them
will find what they need. What is written to by one of its names while it has two is not asked for: README says that
the cache does not hear of that.
"""
import os
import random
import shutil
import stat
import tempfile

from property_calls import Tree

RANKS = 4
FIXED = 10**18  # mtime of what is there from the start
NAMES = ["f0", "f1", "f3", "f4", "n0", "n1", "n2", "d0", "d3", "d5", "m0.py", "l1", "x.so"]
READS = {"stat": 10, "lstat": 7, "statx": 3, "access": 6, "readlink": 5, "realpath": 4, "open": 12, "fopen": 4,
         "listdir": 7, "scandir": 4, "cscandir": 2, "chdir": 2, "hold": 3, "held_stat": 3, "held_read": 3, "close": 1}
WRITES = {"mkdir": 8, "rmdir": 6, "unlink": 10, "rename": 14, "exchange": 4, "noreplace": 2, "link": 4, "symlink": 6,
          "create": 8, "put": 10, "fput": 3, "place": 8, "append": 5, "truncate": 5,
          "chmod": 7, "utime": 5, "hold_to_write": 3, "held": 6}
IN_PLACE = {"put", "fput", "append", "truncate", "chmod", "utime", "hold_to_write"}
TWO_PATHS = {"rename", "exchange", "noreplace", "link"}
# Calls that cannot begin at a descriptor.
ALONE = {"truncate", "realpath", "fopen", "fput", "listdir", "scandir", "cscandir", "chdir"} | TWO_PATHS


def make_tree(top, root, seed=0):
    """`root` is the tree's name for those who see it."""
    for name in "d0/d3/d4", "d1", "d2":
        os.makedirs(os.path.join(top, name))
    for name in "d0/f0", "d0/f1", "d0/d3/f2", "d0/d3/d4/f7", "d1/f3", "f4", "f5", "d0/m0.py", "x.so":
        with open(os.path.join(top, name), "w") as file:
            file.write("%s of %d|" % (name, seed))
    links = {"l0": "d0", "l1": "f4", "d1/l2": "../d0/f0", "l3": "n0", "l4": root + "/d0/d3", "d2/l5": "l5"}
    for name, target in links.items():
        os.symlink(target, os.path.join(top, name))
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.utime(os.path.join(folder, name), ns=(FIXED, FIXED), follow_symlinks=False)
    for folder in "d0/d3/d4", "d0/d3", "d0", "d1", "d2", "":
        os.utime(os.path.join(top, folder), ns=(FIXED, FIXED))


def pick(rng, weights):
    return rng.choices(list(weights), list(weights.values()))[0]


class Maker:
    def __init__(self, seed):
        self.seed, self.rng, self.phases, self.hot, self.count = seed, random.Random(seed), [], [], 0
        self.top = tempfile.mkdtemp(prefix="mioc-shadow.") + "/t"
        os.mkdir(self.top)
        make_tree(self.top, self.top, seed)
        self.ranks = [Tree([self.top, self.top], is_shadow=True) for _ in range(RANKS)]
        self.look()

    def remove(self):
        for rank in self.ranks:
            rank.leave()
        shutil.rmtree(os.path.dirname(self.top))

    def look(self):
        """Notes what is in the shadow."""
        self.paths, self.folders, self.links = [], [""], []
        for folder, folders, files in os.walk(self.top):
            below = folder[len(self.top) + 1:]
            for name in folders + files:
                path = os.path.join(below, name)
                self.paths.append(path)
                full = os.path.join(self.top, path)
                if os.path.islink(full):
                    real = os.path.realpath(full)
                    if os.path.isdir(real) and real.startswith(self.top):
                        self.links.append((path, real[len(self.top) + 1:]))
                elif os.path.isdir(full):
                    self.folders.append(path)

    # --- Paths ---

    def path(self, focus=None):
        rng = self.rng
        if focus:
            return rng.choice(focus)
        chance = rng.random()
        if chance < 0.45 and self.hot:
            return rng.choice(self.hot)
        if chance < 0.85:
            return rng.choice(self.paths)
        return os.path.join(rng.choice(self.folders), rng.choice(NAMES))

    def spell(self, path, is_read):
        """The same path in other words."""
        rng = self.rng
        for link, folder in self.links:
            if folder and path.startswith(folder + "/") and rng.random() < 0.3:
                path = link + path[len(folder):]
        head, name = os.path.split(path)
        if rng.random() < 0.12:
            head = os.path.join(head, rng.choice(["", ".", "."]))
        if rng.random() < 0.12:
            head = os.path.join(rng.choice([f for f in self.folders if f and "/" not in f] or ["."]), "..", head)
        path = os.path.join(head, name) if rng.random() < 0.9 else head + "//" + name if head else name
        return path + rng.choice(["/", "/."]) if is_read and rng.random() < 0.08 else path

    def base(self, rank, call, path):
        """Sets where the path begins; returns it as spelled from there."""
        rng, tree = self.rng, self.ranks[rank]
        bases = [("cwd", tree.cwd)] if tree.cwd is not None else []
        if call["call"] not in ALONE:
            bases += [(slot, fd) for slot, fd in tree.held.items() if stat.S_ISDIR(os.fstat(fd).st_mode)]
        if bases and ".." not in path and rng.random() < 0.5:
            at, fd = rng.choice(bases)
            name = os.readlink("/proc/self/fd/%d" % fd)
            if name.startswith(self.top) and not name.endswith(" (deleted)"):
                end = path[len(path.rstrip("/.")):] if path.endswith(("/", "/.")) else ""
                there = os.path.relpath("/" + path, "/" + name[len(self.top) + 1:])  # lexically: through no link
                if os.path.basename(there) not in (".", "..") or call["call"] in READS:
                    call["at"] = at
                    return there + end
        if rng.random() < 0.2:
            call["via"] = 1
        return path

    # --- Calls ---

    def text(self):
        self.count += 1
        word = "s%d.%d|" % (self.seed, self.count)
        size = self.rng.choice([1, 1, 1, 3, 20, 20, 700, 9000])
        return word * size

    def read(self, rank, focus=None):
        rng, held = self.rng, self.ranks[rank].held
        name = pick(rng, READS)
        if name in ("held_stat", "held_read", "close"):
            if held:
                return {"call": name, "slot": rng.choice(list(held))}
            name = "open"
        call = {"call": name}
        path = self.path(focus)
        if name in ("listdir", "scandir", "cscandir", "chdir") and rng.random() < 0.7:
            path = os.path.dirname(path) or "."
        if name == "access":
            call["mode"] = rng.choice([0, 4, 2, 1, 5])
        if name == "hold":
            call["slot"] = rng.randrange(3)
        call["path"] = self.base(rank, call, self.spell(path, True) if path != "." else path)
        return call

    def writes(self, rank, focus=None):
        """One or two calls that belong together."""
        rng, tree = self.rng, self.ranks[rank]
        name = pick(rng, WRITES)
        if name == "held":
            return self.held_writes(rank)
        path = self.path(focus)
        if name in IN_PLACE and self.is_linked(path):
            name = "unlink"
        if name == "place":
            new = path + ".tmp"
            return [self.finish(rank, {"call": "create", "mode": 0o644, "text": self.text()}, new),
                    self.finish(rank, {"call": "rename"}, new, path)]
        call = {"call": name}
        if name in ("mkdir", "create", "put"):
            call["mode"] = rng.choice([0o755, 0o700] if name == "mkdir" else [0o644, 0o600, 0o755])
        if name == "fput":
            call["mode"] = 0o666
        if name in ("create", "put", "fput", "append"):
            call["text"] = self.text()
        if name == "chmod":
            call["mode"] = rng.choice([0o755, 0o711, 0o700, 0o644, 0o640])
        if name == "truncate":
            call["size"] = rng.choice([0, 1, 5, 300])
        if name == "utime":
            call["time"] = FIXED + rng.randrange(1, 10**9) * 10**9
        if name == "symlink":
            call["target"] = self.target(path)
        if name == "hold_to_write":
            call["slot"] = rng.randrange(3)
        return [self.finish(rank, call, path, self.other(path, name, focus))]

    def other(self, path, name, focus):
        if name not in TWO_PATHS:
            return None
        chance = self.rng.random()
        if name != "exchange" and not focus and chance < 0.5:
            return os.path.join(self.rng.choice(self.folders + [os.path.dirname(path)] * 3), self.rng.choice(NAMES))
        return self.path(focus)

    def finish(self, rank, call, path, other=None):
        self.hot = ([path] + ([other] if other else []) + self.hot)[:7]
        call["path"] = self.base(rank, call, self.spell(path, False))
        if other:
            call["to"] = self.spell(other, False)
            call["to_via"] = self.rng.randrange(2) if "at" in call else int(self.rng.random() < 0.2)
        return call

    def target(self, path):
        rng, folder = self.rng, os.path.dirname(path)
        there = rng.choice(self.folders[1:] + self.paths) if len(self.folders) > 1 else "n1"
        return rng.choice(["ROOT/" + there, os.path.relpath("/" + there, "/" + folder), rng.choice(NAMES)])

    def is_linked(self, path):
        try:
            st = os.stat(os.path.join(self.top, path))
        except OSError:
            return False
        return st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode)

    def held_writes(self, rank):
        rng, tree = self.rng, self.ranks[rank]
        slots = [slot for slot, fd in tree.held.items() if os.fstat(fd).st_nlink == 1]
        if not slots:
            return self.writes(rank)
        name = rng.choice(["held_write", "held_truncate", "held_chmod", "held_utime"])
        call = {"call": name, "slot": rng.choice(slots)}
        if call["call"] == "held_write":
            call["text"] = self.text()
        if call["call"] == "held_truncate":
            call["size"] = rng.choice([0, 2, 400])
        if call["call"] == "held_chmod":
            call["mode"] = rng.choice([0o600, 0o644, 0o755])
        if call["call"] == "held_utime":
            call["time"] = FIXED + rng.randrange(1, 10**9) * 10**9
        return [call]

    # --- Phases ---

    def add(self, kind, calls, wait=0):
        some = [[rank, mine] for rank, mine in sorted(calls.items()) if mine]
        self.phases.append({"kind": kind, "wait": wait, "calls": some})

    def make(self, rank, calls):
        for call in calls:
            self.ranks[rank].make(call)
        return calls

    def reads(self, count, focus=None):
        """Of some ranks, each."""
        out = {}
        for rank in self.rng.sample(range(RANKS), self.rng.randint(2, RANKS)):
            out[rank] = []
            for _ in range(count):
                out[rank] += self.make(rank, [self.read(rank, focus)])
        return out

    def near(self):
        """The paths that were written to last, and what is around them."""
        if not self.hot:
            return None
        return self.hot[:3] * 2 + [os.path.dirname(path) or "." for path in self.hot[:2]] + self.hot

    def in_turn(self):
        rank = self.rng.randrange(RANKS)
        for _ in range(self.rng.randint(1, 3)):
            for call in self.writes(rank):
                self.add("write", {rank: self.make(rank, [call])})
            self.look()
        self.add("read", self.reads(self.rng.randint(3, 7), self.near() if self.rng.random() < 0.7 else None))

    def own(self):
        """A rank looks at once at what it wrote."""
        rank, calls = self.rng.randrange(RANKS), []
        for _ in range(self.rng.randint(1, 3)):
            calls += self.make(rank, self.writes(rank))
            self.look()
            for _ in range(3):
                calls += self.make(rank, [self.read(rank, self.near())])
        self.add("own", {rank: calls})

    def at_once(self):
        rng = self.rng
        folder = rng.choice(self.folders)
        focus = [os.path.join(folder, name) for name in rng.sample(NAMES, 3)]
        focus += [path for path in self.paths if os.path.dirname(path) == folder][:3]
        writers = rng.sample(range(RANKS), rng.choice([1, 1, 2, 3]))
        calls = {rank: [] for rank in range(RANKS)}
        for turn in range(rng.randint(3, 6)):
            for rank in rng.sample(range(RANKS), RANKS):
                if rank in writers and turn % 2 == 0:
                    mine = [call for call in self.writes(rank, focus) if call["call"] != "link" or len(writers) == 1]
                    calls[rank] += self.make(rank, mine)
                for _ in range(2):
                    calls[rank] += self.make(rank, [self.read(rank, focus + [folder or "."])])
        self.add("at once", calls)
        self.look()


def make_plan(seed):
    maker = Maker(seed)
    try:
        maker.add("read", maker.reads(8))
        for _ in range(maker.rng.randint(5, 9)):
            maker.rng.choice([maker.in_turn, maker.in_turn, maker.in_turn, maker.own, maker.at_once])()
            if maker.rng.random() < 0.3:
                maker.add("late", maker.reads(5, maker.near()), wait=1)
        maker.add("all", sweep(maker), wait=1)
        return {"seed": seed, "phases": maker.phases}
    finally:
        maker.remove()


def sweep(maker):
    """Everything that is or was there, by one rank of each node."""
    paths = sorted(set(maker.paths) | set(maker.hot))
    calls = [{"call": name, "path": path} for path in paths for name in ("lstat", "open")]
    calls += [{"call": "listdir", "path": folder or "."} for folder in maker.folders]
    return {0: calls, maker.rng.choice([2, 3]): calls}

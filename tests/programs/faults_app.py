# SPDX-License-Identifier: BSD-3-Clause
"""faults_app.py - one rank of a job that tests/programs/faults disturbs: imports, reads and looks,
and notes what it saw.

    faults_app.py CONTROL    CONTROL is a JSON file of the driver's (see make_control there)

Each operation has a name and one result, a string that depends on the tree alone, so that ranks, runs and faults can be
compared. result.RANK in the control's folder has them all, with the longest operation; progress (one 64-bit word a
rank, in a mapped file) says how many are done.
"""
import hashlib
import importlib
import json
import mmap
import os
import random
import resource
import subprocess
import sys
import time

sys.dont_write_bytecode = True


def name_of(error):
    import errno

    return errno.errorcode.get(error.errno, str(error.errno)) if isinstance(error, OSError) else type(error).__name__


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def read(path):
    with open(path, "rb") as file:
        return digest(file.read())


def look(path):
    st = os.stat(path)
    return "%o %d %d" % (st.st_mode, st.st_size, st.st_mtime_ns)


def load(name):
    module = importlib.import_module(name)
    return "%s %s" % (getattr(module, "VALUE", None), module.__file__)


def guest(name):
    """What a subprocess imports; it is served from the node's store and knows no MPI."""
    code = ("import sys; sys.dont_write_bytecode = True; import %s as m; "
            "print(getattr(m, 'VALUE', None), m.__file__)" % name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout.strip()
    return done.stderr.strip().splitlines()[-1].split(":")[0] if done.stderr.strip() else "exit %d" % done.returncode


def names_in(path):
    return digest(" ".join(sorted(os.listdir(path))).encode())


def numpy_sum(_):
    import numpy

    return "%d %s" % (numpy.arange(1000).sum(), numpy.__file__)


OPERATIONS = {"read": read, "look": look, "load": load, "guest": guest, "names": names_in, "numpy": numpy_sum}


class Rank:
    def __init__(self, control):
        self.control = control
        self.rank = int(os.environ.get("PMI_RANK", "0"))
        self.results, self.wrong = {}, []
        self.longest, self.longest_name = 0.0, ""
        with open(os.path.join(control["folder"], "progress"), "r+b") as file:
            self.progress = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def run(self, kind, argument):
        began = time.monotonic()
        try:
            result = OPERATIONS[kind](argument)
        except (Exception, SystemExit) as error:  # a wrong result is a result
            result = name_of(error)
        took = time.monotonic() - began
        if took > self.longest:
            self.longest, self.longest_name = took, "%s %s" % (kind, argument)
        self.progress[self.rank] += 1
        return result

    def order(self):
        """Ranks in lockstep, as imports are, or each in its own order."""
        operations = list(self.control["operations"])
        if self.control["order"] == "shuffled":
            random.Random("%s %d" % (self.control["seed"], self.rank)).shuffle(operations)
        return operations

    def without_descriptors(self, operations):
        """All descriptors are used up for a while: opening fails as it must, and afterwards all is as before."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            if name_of(error) != "EMFILE":
                self.wrong.append("descriptors ran out with %s" % name_of(error))
        seen = [(kind, argument, self.run(kind, argument)) for kind, argument in operations]
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for kind, argument, result in seen:
            if kind == "read" and result != "EMFILE":
                self.wrong.append("without descriptors read %s gave %s" % (argument, result))
            elif kind == "look":
                self.note(kind, argument, result)

    def note(self, kind, argument, result):
        self.results["%s %s" % (kind, argument)] = result

    def wait_for_write(self):
        """A rank rewrites a module in the middle of the job; what others see of it once they were told must be new,
        soon."""
        write = self.control["write"]
        told = os.path.join(self.control["folder"], "told")
        if self.rank == write["rank"]:
            with open(write["path"] + ".new", "w") as file:
                file.write(write["text"])
            os.rename(write["path"] + ".new", write["path"])
            open(told, "w").close()
        until = time.monotonic() + write["patience"]
        while not os.path.exists(told):
            if time.monotonic() > until:
                return  # the writer is no more
            time.sleep(0.01)
        if self.rank in write["deaf"]:
            return
        wanted, until = digest(write["text"].encode()), time.monotonic() + write["bound"]
        while (seen := self.run("read", write["path"])) != wanted:
            if time.monotonic() > until:
                self.wrong.append("%s s after the write of rank %d %s is still %s" % (write["bound"], write["rank"],
                                                                                      write["path"], seen))
                return
            time.sleep(0.05)

    def go(self):
        folder = self.control["folder"]
        open(os.path.join(folder, "started.%d" % self.rank), "w").close()
        operations = self.order()
        starved = self.control.get("starved")
        for i, (kind, argument) in enumerate(operations):
            if starved and self.rank in starved["ranks"] and i == starved["at"]:
                self.without_descriptors([op for op in operations if op[0] in ("read", "look")][: starved["count"]])
            self.note(kind, argument, self.run(kind, argument))
        if self.control.get("write"):
            self.wait_for_write()
        for kind, argument in self.control["again"]:  # what a passing fault must not have left behind
            for _ in range(1 + self.control["passing"]):  # each server fails that many times
                self.results["again %s %s" % (kind, argument)] = result = self.run(kind, argument)
                if not result.startswith("E"):
                    break
        result = {"results": self.results, "wrong": self.wrong, "longest": self.longest,
                  "longest_name": self.longest_name}
        path = os.path.join(folder, "result.%d" % self.rank)
        with open(path + ".new", "w") as file:
            json.dump(result, file)
        os.rename(path + ".new", path)


if __name__ == "__main__":
    with open(sys.argv[1]) as control_file:
        Rank(json.load(control_file)).go()

# SPDX-License-Identifier: BSD-3-Clause
"""reparent.py SYNC LIB HOW - one rank a node, of a step of eight nodes; node 1 has the nodes 5, 6 and 7 below it.

Node 1's agent is killed (HOW is "killed"), or its rank ends first ("ended"). All others then look at the modules of
LIB again and again, for some seconds. Then the root's node and a node below the gone one write, and everybody looks.
Without the cache there are no agents, and all is the same."""
import os
import signal
import sys
import time

sync, lib, how = sys.argv[1:]
node = int(os.environ["SLURM_NODEID"])
GONE, LOOKS, NODES = 1, 1500, 8


def barrier(step, count):
    open("%s/%s.%d" % (sync, step, node), "w").close()
    while sum(name.startswith(step + ".") for name in os.listdir(sync)) < count:
        time.sleep(0.01)


def agents():
    """The agents of the gone node."""
    marks = {b"SLURM_NODEID=%d" % GONE, b"MIOC_TEST_ID=" + os.environ["MIOC_TEST_ID"].encode()}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as comm, open("/proc/%s/environ" % pid, "rb") as environ:
                if comm.read() == "mpiio_cache\n" and marks <= set(environ.read().split(b"\0")):
                    yield int(pid)
        except OSError:
            pass


def look(what):
    path = os.path.join(lib, what + ".py")
    with open(path) as file:
        print(node, os.path.getsize(path), file.read(), end="", flush=True)


def write(what, by):
    started = time.monotonic()
    if node == by:
        with open(os.path.join(lib, what + ".py"), "w") as file:
            file.write("value = %r\n" % what)
        print("%s: written in %.3f s" % (what, time.monotonic() - started), file=sys.stderr, flush=True)
    barrier("wrote-" + what, NODES - (how == "ended"))
    look(what)


modules = [os.path.join(lib, "m%d.py" % i) for i in range(20)]
for path in modules:
    os.stat(path)
for what in "first", "second":
    look(what)
barrier("started", NODES)
if node == GONE and how == "ended":
    sys.exit()
if node == GONE:
    for pid in agents():
        os.kill(pid, signal.SIGKILL)
while next(agents(), None) is not None:
    time.sleep(0.01)
for i in range(LOOKS):
    os.stat(modules[i % len(modules)])
    time.sleep(0.001)
barrier("looked", NODES - (how == "ended"))
write("first", 0)
write("second", 6)
